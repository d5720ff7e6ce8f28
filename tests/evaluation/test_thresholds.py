import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import matthews_corrcoef

from ab_assets.evaluation.thresholds import UNDECIDED, best_threshold, thresholds
from ab_assets.tables import THRESHOLDS


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=40))
def test_no_other_threshold_has_a_higher_mcc_on_validation(items):
    labels, scores = np.array([i[0] for i in items]), np.array([i[1] for i in items]) / 8
    threshold, mcc = best_threshold(labels, scores)
    if len(set(labels)) < 2 or len(set(scores)) < 2:
        assert (threshold, mcc) == (UNDECIDED, None)
        return
    tried = [matthews_corrcoef(labels, scores >= cut) for cut in np.unique(scores)[1:]]
    assert mcc == pytest.approx(max(tried), abs=1e-12)
    assert matthews_corrcoef(labels, scores >= threshold) == pytest.approx(mcc, abs=1e-12)


def test_the_threshold_lies_halfway_between_the_classes():
    assert best_threshold(np.array([False, False, True]), np.array([0.1, 0.2, 0.6])) == (pytest.approx(0.4), 1.0)


def test_of_equally_good_cuts_the_middle_one_is_taken():
    labels = np.array([True, False, True, False, True, False])
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    threshold, mcc = best_threshold(labels, scores)
    cuts = [0.85, 0.65, 0.45]
    values = [matthews_corrcoef(labels, scores >= cut) for cut in cuts]
    equal = [cut for cut, value in zip(cuts, values, strict=True) if value == pytest.approx(max(values))]
    assert mcc == pytest.approx(max(values))
    assert threshold == pytest.approx(equal[(len(equal) - 1) // 2])


def test_neighbouring_numbers_are_still_separated():
    low, high = 0.3, float(np.nextafter(0.3, 1))
    threshold, _ = best_threshold(np.array([False, True]), np.array([low, high]))
    assert low < threshold <= high


def test_each_method_fit_and_seed_has_its_own_threshold_from_validation_alone(antibodies):
    labels = [False, True, False, True]
    table = pl.concat(
        [
            antibodies([0.1, 0.9, 0.2, 0.8], labels, method="a"),
            antibodies([0.1, 0.3, 0.0, 0.4], labels, method="a", fit=1),
            antibodies([0.5, 0.5, 0.5, 0.5], labels, method="b"),
        ]
    )
    changed = table.with_columns(score=pl.when(pl.col("role") == "test").then(1 - pl.col("score")).otherwise("score"))
    found = thresholds(table)
    assert found.schema == THRESHOLDS
    assert found["threshold"].to_list() == pytest.approx([0.5, 0.2, 0.5])
    assert found["mcc"].to_list() == [1.0, 1.0, None]
    assert found.equals(thresholds(changed))


def test_one_class_or_no_validation_row_leaves_a_half_and_no_mcc(antibodies):
    one_class = antibodies([0.1, 0.9], [True, True])
    no_rows = antibodies([0.1, 0.9], [True, False], fit=1).filter(pl.col("role") == "test")
    found = thresholds(pl.concat([one_class, no_rows]))
    assert found.select("threshold", "mcc").rows() == [(UNDECIDED, None)] * 2


def test_items_without_a_score_take_no_part(antibodies):
    table = antibodies([0.1, 0.9, None], [False, True, True])
    assert thresholds(table)["threshold"].to_list() == [0.5]
