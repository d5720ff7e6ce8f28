"""Folds that go on: rows that have a fold keep it, and new rows join the fold of what they resemble.

New rows that resemble rows of two folds are removed; those that resemble none are packed where their class is short.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from ab_assets.splits.folds import REMOVED, pack, symmetric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

# A fold may be this much larger or smaller than the mean before folds are made anew.
TOLERANCE = 0.6


def continue_folds(
    previous: Integers, left: Integers, right: Integers, *, strata: Integers, units: Integers, folds: int
) -> Integers | None:
    """Return the fold of each row, or REMOVED; no edge (left, right) and no unit joins two folds. None: make them anew.

    previous: (row,) fold that the row had, REMOVED where it had none. strata, units, left, right as in `assign_folds`.
    No row that had a fold leaves it. Folds are to be made anew where no row had one, where an edge or a unit now joins
    two of them, or where they have become too uneven.
    """
    count = int(units.max(initial=-1)) + 1
    home = np.full(count, REMOVED, np.int64)
    placed = previous != REMOVED
    home[units[placed]] = previous[placed]
    crossing = placed[left] & placed[right] & (previous[left] != previous[right])
    if not placed.any() or crossing.any() or (home[units[placed]] != previous[placed]).any():
        return None
    edges = symmetric(left, right, len(units))
    fold = _joined(previous, edges, units, home)
    alone = np.flatnonzero((fold == REMOVED) & (home[units] == REMOVED) & (_folds_near(fold, edges, folds) == 0))
    component = _components(edges[alone][:, alone], units[alone])
    classes = int(strata.max(initial=0)) + 1
    weight, load = (np.zeros((items, classes), np.int64) for items in (int(component.max(initial=-1)) + 1, folds))
    np.add.at(weight, (component, strata[alone]), 1)
    np.add.at(load, (fold[fold != REMOVED], strata[fold != REMOVED]), 1)
    fold[alone] = pack(weight, folds, load=load)[component]
    size = np.bincount(fold[fold != REMOVED], minlength=folds)
    return fold if np.abs(size - size.mean()).max() <= max(1.0, TOLERANCE * size.mean()) else None


def _joined(previous: Integers, edges: csr_array, units: Integers, home: Integers) -> Integers:
    """Place, one after the other, rows that edges and their unit tie to one fold; `home` (unit,) follows."""
    fold = previous.copy()
    mates: dict[int, list[int]] = {}
    for row, unit in enumerate(units.tolist()):
        mates.setdefault(unit, []).append(row)
    waiting = deque(np.flatnonzero(fold == REMOVED).tolist())
    while waiting:
        row = waiting.popleft()
        unit = int(units[row])
        ends = edges.indices[edges.indptr[row] : edges.indptr[row + 1]]
        near = {*fold[ends].tolist(), int(home[unit])} - {REMOVED}
        if fold[row] == REMOVED and len(near) == 1:
            fold[row] = home[unit] = near.pop()
            waiting.extend(other for other in (*ends.tolist(), *mates[unit]) if fold[other] == REMOVED)
    return fold


def _folds_near(fold: Integers, edges: csr_array, folds: int) -> Integers:
    """Return in how many folds each row has neighbours."""
    placed = np.flatnonzero(fold != REMOVED)
    member = csr_array((np.ones(len(placed), np.int64), (placed, fold[placed])), shape=(len(fold), folds))
    near: Integers = np.diff(csr_array(edges @ member).indptr)
    return near


def _components(edges: csr_array, units: Integers) -> Integers:
    """Return the component of each row, joined by edges and by units."""
    _, first, of_unit = np.unique(units, return_index=True, return_inverse=True)
    links = coo_array((np.ones(len(units), np.int64), (np.arange(len(units)), first[of_unit])), shape=edges.shape)
    _, component = connected_components(csr_array(edges + links), directed=False)
    return np.asarray(component, dtype=np.int64)
