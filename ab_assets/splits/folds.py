"""Folds with no edge between them: whole components where they fit, the rest cut by removing few rows.

`assign_folds` sees integers only. The answer depends on the order of the rows, so callers bring them in an order that
follows from their content (`policies.in_canonical_order`); then neither row order nor names of rows change it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

REMOVED = -1
# A fold may be this much larger or smaller than the mean before a component is cut. GraphPart's folds of the same
# graphs lie between 0.4 and 1.6 times the mean.
TOLERANCE = 0.3
STARTS = 24
# Starts times edges: large graphs get fewer starts, so that the time grows with the graph and no faster.
EDGE_BUDGET = 12_000_000
# So many of the best cuts are finished; of those that lose hardly more rows than the best, by this share of all rows,
# the evenest is taken. A row by which a fold exceeds the tolerance counts as so many lost.
CUTS, HARDLY, CROWDED = 24, 0.0025, 2.0
# A component below this share of a fold is never cut: it fills up whichever fold is short.
LOOSE_SHARE = 0.05


def assign_folds(
    left: Integers, right: Integers, *, strata: Integers, units: Integers, folds: int, starts: int = STARTS
) -> Integers:
    """Return the fold of each row, or REMOVED; no edge (left, right) and no unit joins two folds.

    strata: (row,) class to balance, from 0. units: (row,) group that may not be divided, from 0. left, right: (edge,)
    rows. Fold 0 holds the most components: it is the test fold where only one is used. A row is removed only if it has
    neighbours left in two folds; a fold may be empty if the rows cannot fill it.
    """
    rows = len(strata)
    weight = np.zeros((int(units.max(initial=-1)) + 1, int(strata.max(initial=0)) + 1), np.int64)
    np.add.at(weight, (units, strata), 1)
    adjacency = symmetric(units[left], units[right], len(weight))
    _, component = connected_components(adjacency, directed=False)
    packed = pack(_totals(weight, component), folds)[component]
    fold = packed[units]
    if _crowding(fold, folds) <= TOLERANCE:
        return _most_diverse_first(fold, component[units], folds)
    cuts = _cuts(adjacency, weight, component, packed, folds=folds, starts=starts)
    edges = symmetric(left, right, rows)
    finished = [_finished(cut[units], left, right, edges, strata=strata, units=units, folds=folds) for cut in cuts]
    best = _evenest(finished, strata, folds)
    return _most_diverse_first(best, _kept_components(left, right, units, best != REMOVED), folds)


def _finished(
    cut: Integers,
    left: Integers,
    right: Integers,
    edges: csr_array,
    *,
    strata: Integers,
    units: Integers,
    folds: int,
) -> Integers:
    """Return a cut with every row back that may be: as it stands or, if that is more even, its pieces packed anew."""
    restored = _restore(cut, edges, units, folds)
    kept = restored != REMOVED
    pieces = _kept_components(left, right, units, kept)
    repacked = np.full(len(cut), REMOVED, np.int64)
    tally = np.zeros((int(pieces.max(initial=-1)) + 1, int(strata.max(initial=0)) + 1), np.int64)
    np.add.at(tally, (pieces[kept], strata[kept]), 1)
    repacked[kept] = pack(tally, folds)[pieces[kept]]
    better = min((repacked, restored), key=lambda item: _imbalance(item, strata, folds))
    # pieces that were packed into one fold need not be kept apart any more
    return _restore(better, edges, units, folds)


def pack(weights: Integers, folds: int, *, load: Integers | None = None) -> Integers:
    """Return a fold for each item of `weights` (item, class): largest first, where all classes stay most even.

    load: (fold, class) weight that the folds have already.
    """
    items, classes = weights.shape
    had = np.zeros((folds, classes), np.int64) if load is None else load
    mean = np.maximum((weights.sum(axis=0) + had.sum(axis=0)) / folds, 1).tolist()
    overall = max((weights.sum() + had.sum()) / folds, 1.0)
    filled = had.astype(float).tolist()
    size = had.sum(axis=1).astype(float).tolist()
    result = np.zeros(items, np.int64)
    total = weights.sum(axis=1)
    table, totals = weights.tolist(), total.tolist()
    for item in np.argsort(-total, kind="stable").tolist():
        weight, whole = table[item], totals[item]
        costs = [
            whole * (2 * size[fold] + whole) / overall
            + sum(w * (2 * held + w) / m for w, held, m in zip(weight, filled[fold], mean, strict=True))
            for fold in range(folds)
        ]
        choice = costs.index(min(costs))
        result[item] = choice
        size[choice] += whole
        filled[choice] = [held + w for held, w in zip(filled[choice], weight, strict=True)]
    return result


def symmetric(left: Integers, right: Integers, count: int) -> csr_array:
    """Return the adjacency of simple edges in both directions, without loops."""
    keep = left != right
    ends = np.concatenate([left[keep], right[keep]]), np.concatenate([right[keep], left[keep]])
    matrix = csr_array(coo_array((np.ones(len(ends[0]), np.int64), ends), shape=(count, count)))
    matrix.sum_duplicates()
    return matrix


def _totals(weight: Integers, group: Integers) -> Integers:
    total = np.zeros((int(group.max(initial=-1)) + 1, weight.shape[1]), np.int64)
    np.add.at(total, group, weight)
    return total


def _crowding(fold: Integers, folds: int) -> float:
    """Return how far the size of the worst fold is from the mean, as a share of it; a difference of one row is none."""
    size = np.bincount(fold[fold != REMOVED], minlength=folds)
    mean = size.sum() / folds
    return float(max(0.0, np.abs(size - mean).max() - 1) / max(mean, 1.0))


def _class_sizes(fold: Integers, strata: Integers, folds: int) -> NDArray[np.float64]:
    """Return how many rows of each class a fold has: (fold, class)."""
    kept = fold != REMOVED
    tally = np.zeros((folds, int(strata.max(initial=0)) + 1))
    np.add.at(tally, (fold[kept], strata[kept]), 1)
    return tally


def _imbalance(fold: Integers, strata: Integers, folds: int) -> float:
    """Return the sum of squared differences of class sizes and fold sizes from their means."""
    tally = _class_sizes(fold, strata, folds)
    parts: Sequence[NDArray[np.float64]] = (tally, tally.sum(axis=1, keepdims=True))
    return float(sum((((part - part.mean(axis=0)) ** 2) / np.maximum(part.mean(axis=0), 1)).sum() for part in parts))


def _evenest(answers: Sequence[Integers], strata: Integers, folds: int) -> Integers:
    """Return the answer with the most even folds among those that lose hardly more rows than the best."""
    judged = [(*_judged(fold, strata, folds), place) for place, fold in enumerate(answers)]
    least = min(judged)[0] + HARDLY * len(strata)
    _, place = min((unevenness, place) for loss, unevenness, place in judged if loss <= least)
    return answers[place]


def _judged(fold: Integers, strata: Integers, folds: int) -> tuple[float, float]:
    """Return (rows lost, rows by which folds have too many or too few, of a class and in all)."""
    tally = _class_sizes(fold, strata, folds)
    sizes = tally.sum(axis=1, keepdims=True)
    uneven = np.abs(sizes - sizes.mean())
    crowded = np.maximum(0.0, uneven - TOLERANCE * sizes.mean()).sum()
    leaning = np.abs(tally - sizes * tally.sum(axis=0) / max(1, tally.sum()))
    return float(np.count_nonzero(fold == REMOVED) + CROWDED * crowded), float(leaning.sum() + uneven.sum())


def _cuts(
    adjacency: csr_array, weight: Integers, component: Integers, packed: Integers, *, folds: int, starts: int
) -> list[Integers]:
    """Return folds of units after cutting large components in several ways; small ones stay where they were packed."""
    from ab_assets.splits.separation import Vertices, separate  # noqa: PLC0415 - loads numba, needed only here

    size = weight.sum(axis=1)
    large = np.bincount(component, weights=size) > LOOSE_SHARE * size.sum() / folds
    chosen = np.flatnonzero(large[component])
    part = csr_array(adjacency[chosen][:, chosen])
    part.sort_indices()
    graph = Vertices(
        part.indptr.astype(np.int64),
        part.indices.astype(np.int64),
        weight[chosen],
        weight.sum(axis=0) - weight[chosen].sum(axis=0),
    )
    affordable = max(3, EDGE_BUDGET // max(1, part.nnz // 2))
    starts = min(starts, affordable)
    results = []
    for place in separate(graph, folds=folds, tolerance=TOLERANCE, starts=starts, most=CUTS):
        result = packed.copy()
        result[chosen] = np.where(place == folds, REMOVED, place)
        results.append(result)
    return results


def _restore(fold: Integers, edges: csr_array, units: Integers, folds: int) -> Integers:
    """Return `fold` with every removed row put back that has, with its unit, neighbours in at most one fold."""
    fold = fold.copy()
    size = np.bincount(fold[fold != REMOVED], minlength=folds)
    home: dict[int, int] = {int(unit): int(place) for unit, place in zip(units, fold, strict=True) if place != REMOVED}
    changed = True
    while changed:
        changed = False
        for row in np.flatnonzero(fold == REMOVED):
            near = set(fold[edges.indices[edges.indptr[row] : edges.indptr[row + 1]]].tolist()) - {REMOVED}
            near |= {home[units[row]]} if units[row] in home else set()
            if len(near) > 1:
                continue
            fold[row] = near.pop() if near else int(size.argmin())
            home[int(units[row])] = int(fold[row])
            size[fold[row]] += 1
            changed = True
    return fold


def _kept_components(left: Integers, right: Integers, units: Integers, kept: NDArray[np.bool_]) -> Integers:
    """Return the component of each kept row, joined by edges between kept rows and by units; REMOVED for others."""
    stays = kept[left] & kept[right]
    rows = np.flatnonzero(kept)
    _, first, of_unit = np.unique(units[rows], return_index=True, return_inverse=True)
    adjacency = symmetric(
        np.concatenate([left[stays], rows]), np.concatenate([right[stays], rows[first][of_unit]]), len(kept)
    )
    _, label = connected_components(adjacency, directed=False)
    _, compact = np.unique(label[kept], return_inverse=True)
    result = np.full(len(kept), REMOVED, np.int64)
    result[kept] = compact
    return result


def _most_diverse_first(fold: Integers, component: Integers, folds: int) -> Integers:
    """Return the same folds, numbered by falling number of components."""
    kept = fold != REMOVED
    pairs = np.unique(np.stack([fold[kept], component[kept]]), axis=1)
    order = np.argsort(-np.bincount(pairs[0].astype(np.int64), minlength=folds), kind="stable")
    rank = np.empty(folds, np.int64)
    rank[order] = np.arange(folds)
    return np.where(kept, rank[fold], REMOVED)
