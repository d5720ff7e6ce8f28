import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_curve

from ab_assets.reports import curves
from ab_assets.reports.methods import describe


def rows(labels, scores, *, fit=0):
    return pl.DataFrame({"fit": fit, "seed": 1, "label": labels, "score": scores})


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=60))
def test_sensitivity_is_that_of_scikit_learn_at_every_false_positive_rate(pairs):
    labels, scores = [label for label, _ in pairs], [score / 6 for _, score in pairs]
    found = curves.curves(rows(labels, scores))
    if len(set(labels)) < 2:
        assert found is None
        return
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert found.sensitivity[1:] == pytest.approx(np.interp(curves.GRID[1:], fpr, tpr))


def test_area_under_the_precision_curve_is_average_precision():
    random = np.random.default_rng(2)
    labels = random.random(4000) < 0.3
    scores = random.normal(size=4000) + labels
    area = curves.curves(rows(labels, scores)).precision[1:].mean()
    assert area == pytest.approx(average_precision_score(labels, scores), abs=0.01)


def test_curves_are_averaged_over_fits_and_not_pooled():
    first, second = rows([True, False], [0.2, 0.1], fit=0), rows([True, False], [0.9, 0.8], fit=1)
    averaged = curves.curves(pl.concat([first, second]))
    assert averaged.fits == 2
    assert averaged.precision.min() == 1.0


def test_a_fit_with_one_class_takes_no_part():
    both, one = rows([True, False], [0.9, 0.1], fit=0), rows([False, False], [0.9, 0.1], fit=1)
    assert curves.curves(pl.concat([both, one])).fits == 1


def test_a_calibrated_method_lies_on_the_diagonal():
    random = np.random.default_rng(5)
    scores = random.random(20_000)
    found = curves.calibration(rows(random.random(20_000) < scores, scores))
    assert found.observed == pytest.approx(found.score, abs=0.05)
    assert found.rows.sum() == 20_000


def test_bins_with_few_rows_are_not_shown():
    found = curves.calibration(rows([True] * 12 + [False], [1.0] * 12 + [0.05]))
    assert found.score.tolist() == [1.0]


def test_unseen_residues_and_validation_rows_are_in_no_curve():
    frame = pl.DataFrame(
        {
            "method": "m",
            "role": ["test", "test", "validation"],
            "fit": 0,
            "seed": 1,
            "label": [True, False, True],
            "score": [0.5, None, 0.5],
        }
    )
    assert curves.test_rows(frame, "m").height == 1


def test_the_best_baseline_is_visible_whatever_its_rank(make_report):
    data = make_report()
    methods = [*[describe(f"m{i} fine-tuned", {}) for i in range(9)], describe("kmer-logistic", {})]
    predictions = pl.concat(
        data.predictions.filter(pl.col("method") == "majority").with_columns(method=pl.lit(method.name))
        for method in methods
    )
    figure = curves.curve_figure(predictions, methods, prevalence=0.4)
    visible = {trace.name for trace in figure.data if trace.visible is True}
    assert "k-mer logistic regression" in visible
    assert len(visible) == curves.SHOWN_AT_FIRST


def test_without_predictions_there_is_no_figure(make_report):
    none = make_report().predictions.clear()
    assert curves.curve_figure(none, [describe("majority", {})], prevalence=None) is None
    assert curves.calibration_figure(none, [describe("majority", {})]) is None
