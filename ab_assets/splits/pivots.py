"""Which chains can lie within some edits of which others, told from their distances to a few of them, the pivots.

Why nothing is missed: the Levenshtein distance is a metric, so |d(x, p) - d(y, p)| <= d(x, y) for every pivot p. Chains
whose distances to any pivot differ by more than k are more than k edits apart, and are not compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Distances = NDArray[np.int16]

PIVOTS = 16
# Pivots are chosen among this many of the chains, spread evenly, each as far from the others as can be.
SAMPLE = 1500
# So many chains that are alike are compared together with all that any of them can be near to.
GROUP = 32


def candidate_blocks(texts: Sequence[str], edits: int, *, workers: int = 1) -> Iterator[tuple[Integers, Integers]]:
    """Yield (these, those): positions of chains to compare; every pair within `edits` is in some these x those.

    Of a pair in different groups one member is among `these`, the other among `those`, once; a group is compared with
    itself in both orders.
    """
    distance = _to_pivots(texts, workers)
    order = np.lexsort((*distance.T[::-1], distance.argmin(axis=1)))
    distance = distance[order]
    for first in range(0, len(order), GROUP):
        group = distance[first : first + GROUP]
        lowest, highest = group.min(axis=0) - edits, group.max(axis=0) + edits
        near = np.arange(first, len(order))
        for pivot in range(distance.shape[1]):
            column = distance[near, pivot]
            near = near[(column >= lowest[pivot]) & (column <= highest[pivot])]
        yield order[first : first + GROUP], order[near]


def _to_pivots(texts: Sequence[str], workers: int) -> Distances:
    """Return the distance of each chain to each pivot: (chain, pivot)."""
    spread = np.linspace(0, len(texts) - 1, min(SAMPLE, len(texts))).astype(np.int64)
    sample = [texts[place] for place in spread]
    chosen = [0]
    nearest = _distances(sample, [sample[0]], workers)[:, 0]
    while len(chosen) < PIVOTS and nearest.max() > 0:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, _distances(sample, [sample[chosen[-1]]], workers)[:, 0])
    return _distances(texts, [sample[place] for place in chosen], workers)


def _distances(texts: Sequence[str], pivots: Sequence[str], workers: int) -> Distances:
    found = process.cdist(texts, pivots, scorer=Levenshtein.distance, dtype=np.int16, workers=workers)
    return np.asarray(found, dtype=np.int16)
