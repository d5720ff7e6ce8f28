"""The labels of the most similar training antibodies, weighted by identity: what being related tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from ab_assets.evaluation.baselines.fitting import FitItems, Scores

    Floats = NDArray[np.float64]

# How many neighbours vote, and the power of identity they vote with; most and most even first.
NEIGHBOURS = (50, 20, 5, 1)
SHARPNESS = (1, 10, 50)

# Queries compared at once: bounds the memory for their identities to all training antibodies.
_QUERIES = 256


def nearest_neighbour(items: FitItems) -> Scores:
    """Return the share of positives among the nearest training antibodies, each weighing its identity to a power.

    Identity is the mean over the used chains of 1 - edit distance / longer length. The number of neighbours and the
    power are those with the lowest squared error on validation.
    """
    validation, test = (_neighbours(part, items) for part in (items.validation, items.test))
    choices = [(number, power) for number in NEIGHBOURS for power in SHARPNESS]
    number, power = min(choices, key=lambda choice: items.validation_error(_vote(*validation, *choice)))
    return _vote(*validation, number, power), _vote(*test, number, power)


def _neighbours(queries: pl.DataFrame, items: FitItems) -> tuple[Floats, NDArray[np.bool_]]:
    """Return identities and labels of the nearest training antibodies, each (query, neighbour), nearest first."""
    kept = min(max(NEIGHBOURS), items.train.height)
    identities, labels = [], []
    for part in queries.iter_slices(_QUERIES):
        identity = np.mean(
            [
                cdist(
                    part[chain].to_list(),
                    items.train[chain].to_list(),
                    scorer=Levenshtein.normalized_similarity,
                    dtype=np.float64,
                    workers=items.workers,
                )
                for chain in items.chain_names
            ],
            axis=0,
        )
        # stable, so that of equally near antibodies the first by row_id vote
        nearest = np.argsort(-identity, axis=1, kind="stable")[:, :kept]
        identities.append(np.take_along_axis(identity, nearest, axis=1))
        labels.append(items.labels[nearest])
    return np.concatenate(identities), np.concatenate(labels)


def _vote(identities: Floats, labels: NDArray[np.bool_], number: int, power: int) -> Floats:
    # relative to the nearest, because a high power of the identity itself may vanish
    identities, nearest = identities[:, :number], identities[:, :1]
    relative = np.divide(identities, nearest, out=np.ones_like(identities), where=nearest > 0)
    weights = relative**power
    share: Floats = (weights * labels[:, :number]).sum(axis=1) / weights.sum(axis=1)
    return share
