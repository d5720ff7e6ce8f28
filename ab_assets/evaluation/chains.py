"""Every metric of each antibody chain on its own, for means over chains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ab_assets.evaluation.metrics import METRICS, RANKING, from_sums, ranking, sums_by_group

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ab_assets.evaluation.samples import Sample


def chain_metrics(sample: Sample) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return (chain, metric) values, nan where undefined, metrics as in METRICS, and the (chain,) resampled unit."""
    _, first, chain = np.unique(sample.chains, return_index=True, return_inverse=True)
    sums = sums_by_group(sample.labels, sample.scores, chain, len(first), threshold=sample.threshold)
    order = np.argsort(chain, kind="stable")
    bounds = np.searchsorted(chain[order], np.arange(1, len(first)))
    ranked = [ranking(sample.labels[members], sample.scores[members]) for members in np.split(order, bounds)]
    values = from_sums(sums) | dict(zip(RANKING, np.array(ranked).T, strict=True))
    return np.column_stack([values[metric] for metric in METRICS]), sample.units[first]
