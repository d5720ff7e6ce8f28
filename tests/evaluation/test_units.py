import polars as pl
import pytest

from ab_assets.errors import CorruptArtifactError
from ab_assets.evaluation.units import UNITS, resampling_units


def nodes(**clusters):
    return pl.DataFrame({"row_id": list(clusters), "component": 0, "cluster": list(clusters.values())})


def units(curated, clusters, entries):
    rows = curated([{"row_id": row, "entry": entries.get(row)} for row in clusters])
    return dict(resampling_units(rows, nodes(**clusters)).iter_rows())


def test_without_entries_a_unit_is_a_cluster(curated):
    assert units(curated, {"a": "c1", "b": "c1", "c": "c2"}, {}) == {"a": "c1", "b": "c1", "c": "c2"}


def test_clusters_that_share_an_entry_are_one_unit_also_through_others(curated):
    found = units(
        curated,
        {"a": "c1", "b": "c2", "c": "c2", "d": "c3", "e": "c4"},
        {"a": "1abc", "b": "1abc", "c": "2xyz", "d": "2xyz", "e": "3def"},
    )
    assert found == dict.fromkeys("abcd", "c1") | {"e": "c4"}


def test_names_do_not_depend_on_the_order_of_rows(curated):
    clusters, entries = {"a": "z", "b": "y", "c": "x"}, {"a": "1abc", "b": "1abc", "c": "1abc"}
    turned = dict(reversed(clusters.items()))
    assert units(curated, clusters, entries) == units(curated, turned, entries) == dict.fromkeys("abc", "x")


def test_units_are_sorted_and_only_of_the_rows_given(curated):
    found = resampling_units(curated([{"row_id": "b"}, {"row_id": "a"}]), nodes(a="c1", b="c2", c="c3"))
    assert found.schema == UNITS
    assert found["row_id"].to_list() == ["a", "b"]


def test_a_row_without_a_cluster_is_refused_by_name(curated):
    with pytest.raises(CorruptArtifactError, match=r"1 antibodies have no cluster.*found b"):
        resampling_units(curated([{"row_id": "a"}, {"row_id": "b"}]), nodes(a="c1"))
