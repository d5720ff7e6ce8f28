import numpy as np
import polars as pl
import pytest

from ab_assets.errors import CorruptArtifactError
from ab_assets.evaluation.samples import read_samples
from ab_assets.evaluation.thresholds import thresholds

LABELS = [True, False, True, False]
SCORES = [0.9, 0.1, 0.8, 0.2]


def read(predictions, units, *, views=False, decided=None):
    return read_samples(predictions, thresholds(predictions) if decided is None else decided, units, views=views)


def test_only_test_items_are_read_with_their_threshold_and_unit(antibodies, units_of):
    table = antibodies(SCORES, LABELS)
    tested = read(table, units_of(table, 3))
    (sample,) = tested.by_method["m"]
    assert (sample.labels.tolist(), sample.scores.tolist()) == (LABELS, SCORES)
    assert [tested.units[unit] for unit in sample.units] == ["u000", "u001", "u002", "u000"]
    assert sample.threshold == pytest.approx(0.5)


def test_items_have_the_same_index_in_every_method_whatever_the_order(antibodies, units_of):
    table = pl.concat([antibodies(SCORES, LABELS, method="a"), antibodies(SCORES, LABELS, method="b").reverse()])
    tested = read(table, units_of(table, 2))
    items = {method: samples[0].items for method, samples in tested.by_method.items()}
    assert items["a"].tolist() == items["b"][::-1].tolist() == [0, 1, 2, 3]


def test_views_are_chains_and_imgt_regions_with_closed_ends(residues, units_of):
    table = residues([[0.1, 0.2, 0.8, 0.9]] * 2, [[False, False, True, True]] * 2, first_position=103)
    tested = read(table, units_of(table, 4), views=True)
    assert tested.views == ("chain:vh", "region:fwr3", "region:cdr3")
    (sample,) = tested.by_method["m"]
    assert sample.of_view("region:fwr3").scores.tolist() == [0.1, 0.2] * 2
    assert sample.of_view("region:cdr3").scores.tolist() == [0.8, 0.9] * 2
    assert sample.of_view("all") is sample


def test_residues_without_a_position_are_in_no_region(residues, units_of):
    table = residues([[0.1, 0.9]] * 2, [[False, True]] * 2).with_columns(position=pl.lit(None, dtype=pl.String))
    assert read(table, units_of(table, 4), views=True).views == ("chain:vh",)


def test_items_without_a_score_are_left_out_and_counted_and_without_a_label_left_out(antibodies, units_of):
    table = pl.concat(
        [antibodies([0.9, 0.1, None], [True, False, None]), antibodies([None, 0.2], [True, False], fit=1)]
    )
    tested = read(table, units_of(table, 2))
    assert [len(sample.labels) for sample in tested.by_method["m"]] == [2, 1]
    assert tested.unseen == {"m": 1}


def test_the_key_says_which_units_and_test_rows_were_resampled(antibodies, units_of):
    table, other = antibodies(SCORES, LABELS, method="a"), antibodies(SCORES[::-1], LABELS, method="b")
    units = units_of(table, 2)
    key = read(table, units).key
    assert read(other, units).key == key
    assert read(table, units_of(table, 3)).key != key
    assert read(antibodies(SCORES[:3], LABELS[:3]), units).key != key


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_refused(antibodies, units_of, score):
    table = antibodies([*SCORES[:3], score], LABELS)
    with pytest.raises(CorruptArtifactError, match=r"1 scores are not finite numbers.*tab0003"):
        read(table, units_of(table, 2))


def test_an_item_scored_twice_is_refused(antibodies, units_of):
    table = antibodies(SCORES, LABELS)
    with pytest.raises(CorruptArtifactError, match="scored twice"):
        read(pl.concat([table, table.tail(1)]), units_of(table, 2))


@pytest.mark.parametrize("labels", [LABELS[:3], [not label for label in LABELS]])
def test_methods_tested_on_other_rows_or_labels_are_refused(antibodies, units_of, labels):
    table = pl.concat([antibodies(SCORES, LABELS, method="a"), antibodies(SCORES[: len(labels)], labels, method="b")])
    with pytest.raises(CorruptArtifactError, match=r"tested on different items in fit 0.*a: 4; b:"):
        read(table, units_of(table, 2))


def test_a_row_without_a_unit_is_refused_by_name(antibodies, units_of):
    table = antibodies(SCORES, LABELS)
    units = units_of(table, 2).filter(pl.col("row_id") != "tab0002")
    with pytest.raises(CorruptArtifactError, match=r"has no cluster.*found tab0002"):
        read(table, units)


def test_a_fit_without_a_threshold_is_refused(antibodies, units_of):
    table = antibodies(SCORES, LABELS)
    with pytest.raises(CorruptArtifactError, match="fit 0, seed 1: a tested antibody has no threshold"):
        read(table, units_of(table, 2), decided=thresholds(table).clear())


def test_labels_and_scores_are_plain_arrays(antibodies, units_of):
    table = antibodies(SCORES, LABELS)
    (sample,) = read(table, units_of(table, 2)).by_method["m"]
    assert (sample.labels.dtype, sample.scores.dtype, sample.units.dtype) == (np.bool_, np.float64, np.int32)
