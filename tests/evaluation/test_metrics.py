import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as theirs
from sklearn.calibration import calibration_curve

from ab_assets.evaluation.metrics import METRICS, from_sums, point_metrics, ranking, sums_by_group

SEEDS = st.integers(0, 10_000)
THRESHOLD = 0.4


def tied_items(seed, count=60):
    generator = np.random.default_rng(seed)
    labels = generator.random(count) < generator.uniform(0.1, 0.9)
    labels[:2] = True, False
    scores = generator.integers(0, 11, count) / 10
    scores[:2] = 0.4, 0.3
    scores[2:4] = 0.3, 0.4
    labels[2:4] = True, False
    weights = generator.integers(0, 4, count).astype(float)
    weights[:4] = 1
    return labels, scores, weights


@given(seed=SEEDS)
def test_each_metric_equals_scikit_learns_with_ties_and_weights(seed):
    labels, scores, weights = tied_items(seed)
    calls, given = scores >= THRESHOLD, {"sample_weight": weights}
    expected = {
        "ap": theirs.average_precision_score(labels, scores, **given),
        "auroc": theirs.roc_auc_score(labels, scores, **given),
        "mcc": theirs.matthews_corrcoef(labels, calls, **given),
        "f1": theirs.f1_score(labels, calls, **given),
        "precision": theirs.precision_score(labels, calls, **given),
        "recall": theirs.recall_score(labels, calls, **given),
        "specificity": theirs.recall_score(labels, calls, pos_label=False, **given),
        "fpr": 1 - theirs.recall_score(labels, calls, pos_label=False, **given),
        "balanced_accuracy": theirs.balanced_accuracy_score(labels, calls, **given),
        "brier": theirs.brier_score_loss(labels, scores, **given),
        "prevalence": np.average(labels, weights=weights),
    }
    found = point_metrics(labels, scores, threshold=THRESHOLD, weights=weights)
    assert {name: found[name].value for name in expected} == pytest.approx(expected, abs=1e-12)


@given(seed=SEEDS)
def test_calibration_error_is_the_gap_of_scikit_learns_curve_weighed_by_bin_size(seed):
    labels, scores, _ = tied_items(seed)
    observed, predicted = calibration_curve(labels, scores, n_bins=10)
    sizes = np.bincount(np.searchsorted(np.linspace(0, 1, 11)[1:-1], scores), minlength=10)
    expected = np.abs(observed - predicted) @ sizes[sizes > 0] / len(labels)
    assert point_metrics(labels, scores, threshold=THRESHOLD)["ece"].value == pytest.approx(expected)


@given(seed=SEEDS)
def test_a_weight_of_three_is_the_item_three_times(seed):
    labels, scores, weights = tied_items(seed)
    repeat = weights.astype(int)
    weighted = point_metrics(labels, scores, threshold=THRESHOLD, weights=weights)
    repeated = point_metrics(np.repeat(labels, repeat), np.repeat(scores, repeat), threshold=THRESHOLD)
    assert {n: p.value for n, p in weighted.items()} == pytest.approx({n: p.value for n, p in repeated.items()})


@given(seed=SEEDS, shift=st.floats(-3, 3), scale=st.floats(0.1, 5))
def test_ranking_does_not_see_a_monotone_change_of_scores_nor_the_order_of_items(seed, shift, scale):
    labels, scores, weights = tied_items(seed)
    order = np.random.default_rng(seed).permutation(len(labels))
    changed = np.exp(scale * scores + shift)[order]
    assert ranking(labels[order], changed, weights=weights[order]) == pytest.approx(
        ranking(labels, scores, weights=weights)
    )


def test_perfect_inverted_and_constant_scores():
    labels = np.array([True] * 3 + [False] * 7)
    assert ranking(labels, labels.astype(float)) == (1.0, 1.0)
    assert ranking(labels, 1.0 - labels) == (pytest.approx(0.3), 0.0)
    assert ranking(labels, np.full(10, 0.5)) == (pytest.approx(0.3), 0.5)
    perfect = point_metrics(labels, labels.astype(float), threshold=0.5)
    inverted = point_metrics(labels, 1.0 - labels, threshold=0.5)
    assert (perfect["mcc"].value, inverted["mcc"].value) == (pytest.approx(1), pytest.approx(-1))
    assert (perfect["brier"].value, inverted["ece"].value) == (0.0, pytest.approx(1))


@pytest.mark.parametrize(
    ("labels", "scores", "reasons"),
    [
        (
            [True, True],
            [0.2, 0.8],
            {
                "ap": "one class only",
                "auroc": "one class only",
                "mcc": "one class only",
                "balanced_accuracy": "one class only",
                "specificity": "no negatives",
                "fpr": "no negatives",
            },
        ),
        (
            [False, False],
            [0.2, 0.8],
            {
                "ap": "one class only",
                "auroc": "one class only",
                "mcc": "one class only",
                "balanced_accuracy": "one class only",
                "recall": "no positives",
                "f1": "no positives",
            },
        ),
        ([False, True], [0.1, 0.2], {"mcc": "every call is the same", "precision": "nothing is called positive"}),
        ([False, True], [-3.0, 2.0], {"brier": "scores are not probabilities", "ece": "scores are not probabilities"}),
        ([], [], dict.fromkeys(METRICS, "no rows")),
    ],
)
def test_what_is_undefined_is_none_with_its_reason_and_never_zero(labels, scores, reasons):
    found = point_metrics(np.array(labels, dtype=bool), np.array(scores, dtype=float), threshold=0.5)
    assert {name: point.reason for name, point in found.items() if point.value is None} == reasons
    assert all((point.value is None) == (point.reason is not None) for point in found.values())


@given(seed=SEEDS)
def test_sums_of_groups_add_up_to_those_of_all_items(seed):
    labels, scores, weights = tied_items(seed)
    groups = np.random.default_rng(seed).integers(0, 5, len(labels))
    parts = sums_by_group(labels, scores, groups, 5, threshold=THRESHOLD, weights=weights)
    together = from_sums(parts.sum(axis=0))
    whole = point_metrics(labels, scores, threshold=THRESHOLD, weights=weights)
    assert {n: float(v) for n, v in together.items()} == pytest.approx({n: whole[n].value for n in together})
