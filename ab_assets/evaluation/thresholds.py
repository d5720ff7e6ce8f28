"""The decision threshold of each fit: the one with the highest MCC on that fit's validation items, never on test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ab_assets.tables import THRESHOLDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Where validation cannot tell thresholds apart: the score is a probability, so the likelier class is called.
UNDECIDED = 0.5

_SAME = 1e-12  # MCC of equal counts differ by rounding only


def thresholds(predictions: pl.DataFrame) -> pl.DataFrame:
    """Return THRESHOLDS, one row per method, fit and seed of PREDICTIONS.

    The threshold is 0.5 and its MCC null where validation has one class only, has no item, or gives all the same score.
    """
    keys = ["method", "fit", "seed"]
    validation = predictions.filter(pl.col("role") == "validation").drop_nulls(["label", "score"])
    found = {
        key: best_threshold(part["label"].to_numpy(), part["score"].to_numpy())
        for key, part in validation.partition_by(keys, as_dict=True).items()
    }
    every = predictions.select(keys).unique().sort(keys)
    rows = [(*key, *found.get(key, (UNDECIDED, None))) for key in every.iter_rows()]
    return pl.DataFrame(rows, schema=THRESHOLDS, orient="row")


def best_threshold(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[float, float | None]:
    """Return (threshold, MCC) of the cut between two scores with the highest MCC; of equally good cuts the middle one.

    A cut lies halfway between neighbouring scores. Returns (0.5, None) with fewer than two classes or scores.
    """
    order = np.argsort(-scores, kind="stable")
    label, score = labels[order], scores[order]
    cuts = np.flatnonzero(score[1:] != score[:-1])  # a cut calls everything up to this item positive
    positives, total = int(label.sum()), len(label)
    if not cuts.size or positives in {0, total}:
        return UNDECIDED, None
    called = cuts + 1.0
    tp = np.cumsum(label)[cuts].astype(np.float64)
    # tp * tn - fp * fn, in counts of the called and of the positives
    product = tp * total - called * positives
    mcc = product / np.sqrt(called * (total - called) * positives * (total - positives))
    equal = cuts[mcc >= mcc.max() - _SAME]
    cut = int(equal[(len(equal) - 1) // 2])
    above, below = float(score[cut]), float(score[cut + 1])
    halfway = below + (above - below) / 2
    # next to each other there may be no number between two scores
    return (halfway if halfway > below else above), float(mcc.max())
