"""Point metrics of one set of scored items, weighted and vectorised; what is undefined is None with a reason.

Everything but the two ranking metrics follows from sums over items, so the same formulas serve single values, chains
and resamples. Each metric equals scikit-learn's where that is defined.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

RANKING = ("ap", "auroc")
METRICS = (
    *RANKING,
    "mcc",
    "f1",
    "precision",
    "recall",
    "specificity",
    "fpr",
    "balanced_accuracy",
    "brier",
    "ece",
    "prevalence",
)

# Expected calibration error over ten bins of equal width, closed on the right as in scikit-learn's calibration_curve.
BINS = 10
_EDGES = np.linspace(0, 1, BINS + 1)[1:-1]

# Columns of the sums: tp, fp, fn, tn, squared error, and per bin the sum of (score - label).
_CELLS = 4
WIDTH = _CELLS + 1 + BINS


@dataclass(frozen=True, slots=True)
class Point:
    """One metric: its value, or None and the reason why there is none."""

    value: float | None
    reason: str | None = None


def point_metrics(
    labels: Flags, scores: Floats, *, threshold: float, weights: Floats | None = None
) -> dict[str, Point]:
    """Return every metric of (item,) labels and scores; an item is called positive when its score >= threshold."""
    groups = np.zeros(len(labels), dtype=np.int64)
    sums = sums_by_group(labels, scores, groups, 1, threshold=threshold, weights=weights)[0]
    values = {name: float(value) for name, value in from_sums(sums).items()}
    values["ap"], values["auroc"] = ranking(labels, scores, weights=weights)
    return {
        name: Point(None, reason_of(name, sums)) if np.isnan(values[name]) else Point(values[name]) for name in METRICS
    }


def ranking(labels: Flags, scores: Floats, *, weights: Floats | None = None) -> tuple[float, float]:
    """Return (average precision, AUROC), both nan unless both classes have weight.

    Average precision is the step-wise sum of precision times gained recall; ties in the score are one step. AUROC
    counts tied pairs half.
    """
    order = np.argsort(-scores, kind="stable")
    label, score = labels[order], scores[order]
    weight = np.ones(len(order)) if weights is None else weights[order]
    last = np.flatnonzero(np.append(score[1:] != score[:-1], True))
    if not last.size or not len(order):
        return float("nan"), float("nan")
    tp, fp = np.cumsum(weight * label)[last], np.cumsum(weight * ~label)[last]
    if tp[-1] <= 0 or fp[-1] <= 0:
        return float("nan"), float("nan")
    gained, called = np.diff(tp, prepend=0), tp + fp
    precision = np.divide(tp, called, out=np.zeros_like(tp), where=called > 0)
    area = np.diff(fp, prepend=0) @ (tp - gained / 2)
    return float(gained @ precision / tp[-1]), float(area / (tp[-1] * fp[-1]))


def sums_by_group(
    labels: Flags,
    scores: Floats,
    groups: NDArray[np.integer],
    count: int,
    *,
    threshold: float,
    weights: Floats | None = None,
) -> Floats:
    """Return the (group, WIDTH) sums that `from_sums` reads; `groups` holds 0..count-1 for each item.

    Scores outside [0, 1] are no probabilities: their squared errors and calibration sums are nan.
    """
    weight = np.ones(len(labels)) if weights is None else weights
    calls = scores >= threshold
    cells = np.where(calls, np.where(labels, 0, 1), np.where(labels, 2, 3))
    error = scores - labels
    bins = np.searchsorted(_EDGES, scores)
    sums = np.empty((count, WIDTH))
    sums[:, :_CELLS] = np.bincount(groups * _CELLS + cells, weight, count * _CELLS).reshape(count, _CELLS)
    sums[:, _CELLS] = np.bincount(groups, weight * error**2, count)
    sums[:, _CELLS + 1 :] = np.bincount(groups * BINS + bins, weight * error, count * BINS).reshape(count, BINS)
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1):
        sums[:, _CELLS:] = np.nan
    return sums


def from_sums(sums: Floats) -> dict[str, Floats]:
    """Return every metric but the ranking ones from (..., WIDTH) sums, each (...), nan where undefined."""
    tp, fp, fn, tn = (sums[..., cell] for cell in range(_CELLS))
    positives, negatives = tp + fn, fp + tn
    total = positives + negatives
    gaps = np.abs(sums[..., _CELLS + 1 :]).sum(axis=-1)
    recall, specificity = _ratio(tp, positives), _ratio(tn, negatives)
    return {
        "mcc": _ratio(tp * tn - fp * fn, np.sqrt(positives * negatives * (tp + fp) * (tn + fn))),
        "f1": _ratio(2 * tp, np.where(positives > 0, 2 * tp + fp + fn, 0)),
        "precision": _ratio(tp, tp + fp),
        "recall": recall,
        "specificity": specificity,
        "fpr": _ratio(fp, negatives),
        "balanced_accuracy": (recall + specificity) / 2,
        "brier": _ratio(sums[..., _CELLS], total),
        "ece": _ratio(gaps, total),
        "prevalence": _ratio(positives, total),
    }


def reason_of(metric: str, sums: Floats) -> str:
    """Return why `metric` is undefined for items with these (WIDTH,) sums."""
    tp, fp, fn, tn = (float(cell) for cell in sums[:_CELLS])
    positives, negatives = tp + fn, fp + tn
    if positives + negatives == 0:
        return "no rows"
    if metric in {"brier", "ece"}:
        return "scores are not probabilities"
    if metric == "precision":
        return "nothing is called positive"
    if metric in {"f1", "recall"}:
        return "no positives"
    if metric in {"specificity", "fpr"}:
        return "no negatives"
    return "one class only" if positives == 0 or negatives == 0 else "every call is the same"


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)
