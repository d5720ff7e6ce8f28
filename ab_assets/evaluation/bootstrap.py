"""Joint resampling of whole clusters: the same draws for every method, fit, seed and process."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ab_assets.evaluation.metrics import METRICS, RANKING, from_sums, sums_by_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ab_assets.evaluation.samples import Sample

    Floats = NDArray[np.float64]

CONFIDENCE = 0.95

# Numbers drawn at once, and resamples that a thread handles at once: their running sums stay in the processor's first
# cache. Neither changes a result.
_DRAWN_AT_ONCE = 10_000_000
_BLOCK = 512

# With many units a multiplicity is Poisson(1): more than this is not seen in the lifetime of any computer.
_MOST = np.iinfo(np.uint8).max


@dataclass(frozen=True, slots=True)
class Draws:
    """How often each unit was drawn, with replacement, as many units as there are.

    units: sorted names. multiplicities: (unit, resample) uint8, each column sums to the number of units.
    """

    units: tuple[str, ...]
    multiplicities: NDArray[np.uint8]

    @property
    def resamples(self) -> int:
        """The number of resamples."""
        return int(self.multiplicities.shape[1])


def seed_of(units: Sequence[str]) -> int:
    """Return the seed that a set of unit names stands for, the same in every process and order."""
    return int.from_bytes(hashlib.sha256("\n".join(sorted(units)).encode()).digest()[:8])


def draw(units: Sequence[str], resamples: int) -> Draws:
    """Return `resamples` multinomial draws of the units, decided by their names alone.

    The first n of a larger number of resamples are those of n resamples.
    """
    names = tuple(sorted(set(units)))
    generator = np.random.default_rng(seed_of(names))
    number = len(names)
    multiplicities = np.empty((number, resamples), dtype=np.uint8)
    at_once = max(1, _DRAWN_AT_ONCE // max(number, 1))
    for low in range(0, resamples, at_once):
        rows = min(at_once, resamples - low)
        drawn = (generator.random((rows, number)) * number).astype(np.int64)
        cells = drawn + np.arange(rows)[:, None] * number
        counted = np.bincount(cells.ravel(), minlength=rows * number).reshape(rows, number)
        multiplicities[:, low : low + rows] = np.minimum(counted, _MOST).T
    return Draws(names, multiplicities)


def resampled_metrics(sample: Sample, draws: Draws, *, workers: int = 1) -> dict[str, Floats]:
    """Return every metric of `sample` under each draw, (resample,) float64, nan where a draw leaves it undefined."""
    from ab_assets.evaluation.ranking_kernel import ranking_of_resamples  # noqa: PLC0415 - numba takes a while to load

    present, local = np.unique(sample.units, return_inverse=True)
    order = np.argsort(-sample.scores, kind="stable")
    scores, labels, units = sample.scores[order], sample.labels[order], local[order].astype(np.int32)
    last = np.append(scores[1:] != scores[:-1], True)
    sums = sums_by_group(sample.labels, sample.scores, local, len(present), threshold=sample.threshold)

    def block(low: int) -> dict[str, Floats]:
        weights = draws.multiplicities[present, low : low + _BLOCK]
        ranked = ranking_of_resamples(labels, units, last, weights)
        return from_sums(weights.T.astype(np.float64) @ sums) | dict(zip(RANKING, ranked, strict=True))

    with ThreadPoolExecutor(max_workers=workers) as pool:
        blocks = list(pool.map(block, range(0, draws.resamples, _BLOCK)))
    return {name: np.concatenate([part[name] for part in blocks]) for name in METRICS}


def resampled_means(values: Floats, units: NDArray[np.int32], draws: Draws) -> Floats:
    """Return the mean over items of (item, metric) values under each draw, leaving nan out: (resample, metric).

    nan where a resample leaves no item with a defined value.
    """
    present, local = np.unique(units, return_inverse=True)
    member = np.zeros((len(present), len(units)))
    member[local, np.arange(len(units))] = 1
    defined = np.isfinite(values)
    sums = np.hstack([member @ np.where(defined, values, 0), member @ defined])
    weighted = np.concatenate(
        [
            draws.multiplicities[present, low : low + _BLOCK].T.astype(np.float64) @ sums
            for low in range(0, draws.resamples, _BLOCK)
        ]
    )
    total, count = np.hsplit(weighted, 2)
    means: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return means


def mean_defined(values: Sequence[Floats]) -> tuple[Floats, int]:
    """Return the mean over fits and seeds of (resample,) values, skipping undefined ones, and how many were skipped."""
    stacked = np.stack(values)
    defined = np.isfinite(stacked)
    count = defined.sum(axis=0)
    total = np.where(defined, stacked, 0).sum(axis=0)
    mean = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return mean, int((~defined).sum())


def interval(values: Floats) -> tuple[float, float] | None:
    """Return the ends of the 95 % percentile interval of (resample,) values, or None when all are undefined."""
    defined = values[np.isfinite(values)]
    if not defined.size:
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)
