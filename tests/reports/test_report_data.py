import polars as pl
import pytest

from ab_assets.errors import CorruptArtifactError


def test_a_table_with_a_column_nobody_declared_is_refused(make_report, scores):
    with pytest.raises(CorruptArtifactError, match="surprise"):
        make_report(scores=scores.with_columns(surprise=pl.lit(1)))


def test_only_an_enforced_certificate_is_not_waived(make_report):
    assert not make_report().waived
    assert make_report(certificate={}).waived


def test_bounds_keep_what_is_reported_but_not_gated(make_report):
    assert make_report().bounds == {"vh": 0.9, "cdrh3": 0.8, "vl": None}
    assert make_report(certificate={}).bounds == {}


def test_a_score_that_does_not_exist_is_none(make_report):
    assert make_report().score("kmer-logistic", "ap")["value"] == 0.72
    assert make_report().score("kmer-logistic", "ece") is None
