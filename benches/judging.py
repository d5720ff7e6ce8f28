"""What a division is worth, counted from the pairs alone, by nothing that any of the splitters uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benches.problems import Integers, Problem

REMOVED = -1


class Verdict(TypedDict):
    """kept: rows in a fold. apart: of these, how many stay when rows leave until no pair crosses. imbalance: the
    largest difference of a class's share in a fold from its share in all rows. cross: pairs in different folds."""

    rows: int
    kept: int
    apart: int
    imbalance: float
    smallest: int
    largest: int
    cross: int


def judge(problem: Problem, fold: Integers, folds: int) -> Verdict:
    """Return the verdict on the fold of each row (REMOVED: in none)."""
    apart = without_crossing(problem, fold)
    size = np.bincount(fold[fold != REMOVED], minlength=folds)
    return {
        "rows": len(fold),
        "kept": int((fold != REMOVED).sum()),
        "apart": int((apart != REMOVED).sum()),
        "imbalance": round(_imbalance(problem.label, fold, folds), 4),
        "smallest": int(size.min()),
        "largest": int(size.max()),
        "cross": int(_crossing(problem, fold).sum()),
    }


def without_crossing(problem: Problem, fold: Integers) -> Integers:
    """Return the same folds after removing, one by one, the row that most crossing pairs have, until none crosses."""
    fold = fold.copy()
    while (crossing := _crossing(problem, fold)).any():
        ends = np.concatenate([problem.left[crossing], problem.right[crossing]])
        fold[np.bincount(ends, minlength=len(fold)).argmax()] = REMOVED
    return fold


def _crossing(problem: Problem, fold: Integers) -> NDArray[np.bool_]:
    one, other = fold[problem.left], fold[problem.right]
    return np.asarray((one != other) & (one != REMOVED) & (other != REMOVED), dtype=np.bool_)


def _imbalance(label: Integers, fold: Integers, folds: int) -> float:
    share = np.bincount(label) / len(label)
    tallies = (np.bincount(label[fold == number], minlength=len(share)) for number in range(folds))
    return max(float(np.abs(tally / max(tally.sum(), 1) - share).max()) for tally in tallies)
