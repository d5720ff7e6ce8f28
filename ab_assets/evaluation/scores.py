"""Scores of every method with 95 % intervals, and the resampled values that paired comparisons need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ab_assets.evaluation.bootstrap import draw, interval, mean_defined, resampled_means, resampled_metrics
from ab_assets.evaluation.chains import chain_metrics
from ab_assets.evaluation.metrics import METRICS, Point, point_metrics
from ab_assets.evaluation.samples import read_samples
from ab_assets.tables import SCORES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ab_assets.benchmarks.schema import Task
    from ab_assets.evaluation.bootstrap import Draws
    from ab_assets.evaluation.samples import Sample, Samples

# Below this many resampled units an interval is too rough to rank methods by.
FEWEST_CLUSTERS = 30

# Metrics of view "all" whose resampled values are kept.
KEPT = ("ap", "auroc", "mcc", "f1", "recall", "fpr")

# One row per method and metric: its value in every resample (nan: undefined), averaged over fits and seeds. Rows with
# the same `draws` were made from the same test antibodies and the same resamples.
RESAMPLED = pl.Schema(
    {"method": pl.String(), "metric": pl.String(), "draws": pl.String(), "values": pl.List(pl.Float64)}
)

# How many values were undefined, of resamples x fits x seeds, and left out of the means.
SKIPPED = pl.Schema({"method": pl.String, "metric": pl.String, "view": pl.String, "skipped": pl.Int64})


@dataclass(frozen=True, slots=True)
class Scored:
    """What `score` returns.

    scores: SCORES. resamples: RESAMPLED. skipped: SKIPPED, only where any were. warnings: sentences for the reader; the
    one about few clusters says that methods are not ranked.
    """

    scores: pl.DataFrame
    resamples: pl.DataFrame
    skipped: pl.DataFrame
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Measured:
    """One metric of one method and view: per (fit, seed) its point, and its mean in every resample."""

    points: dict[tuple[int, int], Point]
    resampled: NDArray[np.float64]
    skipped: int


def score(
    predictions: pl.DataFrame,
    thresholds: pl.DataFrame,
    units: pl.DataFrame,
    *,
    resamples: int,
    task: Task,
    views: bool = True,
    workers: int = 1,
) -> Scored:
    """Return the scores of all methods in PREDICTIONS on their test items.

    `thresholds`: THRESHOLDS. `units`: UNITS (`units.resampling_units`). Each metric is computed per fit and seed and
    averaged; intervals resample units jointly and hold fits and thresholds fixed. Paratopes are also scored per IMGT
    region, per chain type, and as the mean over chains ("per-chain"), unless `views` is false.

    Raises CorruptArtifactError when the tables do not fit together (see `samples.read_samples`).
    """
    by_view = views and task == "paratope"
    read = read_samples(predictions, thresholds, units, views=by_view)
    draws = draw(read.units, resamples)
    scored_views = ("all", "per-chain", *read.views) if by_view else ("all",)
    rows: list[dict[str, Any]] = []
    kept: list[tuple[str, str, str, NDArray[np.float64]]] = []
    skipped: list[tuple[str, str, str, int]] = []
    for method, samples in read.by_method.items():
        for view in scored_views:
            chosen = [sample.of_view(view) for sample in samples]
            by_chain = view == "per-chain"
            measured = _measure_chains(chosen, draws) if by_chain else _measure(chosen, draws, workers=workers)
            counts = _counts(chosen)
            for metric, found in measured.items():
                row = (
                    {"method": method, "metric": metric, "view": view}
                    | counts
                    | _summary(found, clusters=counts["clusters"])
                )
                rows.append(row)
                if row["value"] is not None and found.skipped:
                    skipped.append((method, metric, view, found.skipped))
                if view == "all" and metric in KEPT:
                    kept.append((method, metric, read.key, found.resampled))
    return Scored(
        pl.DataFrame(rows, schema=SCORES),
        pl.DataFrame(kept, schema=RESAMPLED, orient="row"),
        pl.DataFrame(skipped, schema=SKIPPED, orient="row"),
        _warnings(read),
    )


def _measure(samples: Sequence[Sample], draws: Draws, *, workers: int) -> dict[str, _Measured]:
    points = {
        (sample.fit, sample.seed): point_metrics(sample.labels, sample.scores, threshold=sample.threshold)
        for sample in samples
    }
    resampled = [resampled_metrics(sample, draws, workers=workers) for sample in samples]
    return {
        metric: _Measured(
            {key: values[metric] for key, values in points.items()},
            *mean_defined([values[metric] for values in resampled]),
        )
        for metric in METRICS
    }


def _measure_chains(samples: Sequence[Sample], draws: Draws) -> dict[str, _Measured]:
    """Return every metric as its mean over chains; chains where it is undefined are left out of the mean."""
    points: list[dict[str, Point]] = []
    resampled: list[NDArray[np.float64]] = []
    for sample in samples:
        values, units = chain_metrics(sample)
        points.append({metric: _mean_of_chains(values[:, place]) for place, metric in enumerate(METRICS)})
        resampled.append(resampled_means(values, units, draws))
    keys = [(sample.fit, sample.seed) for sample in samples]
    return {
        metric: _Measured(
            dict(zip(keys, (point[metric] for point in points), strict=True)),
            *mean_defined([values[:, place] for values in resampled]),
        )
        for place, metric in enumerate(METRICS)
    }


def _mean_of_chains(values: NDArray[np.float64]) -> Point:
    defined = values[np.isfinite(values)]
    if not defined.size:
        return Point(None, "undefined in every chain")
    lacking = len(values) - len(defined)
    return Point(float(defined.mean()), f"undefined in {lacking} of {len(values)} chains" if lacking else None)


def _summary(found: _Measured, *, clusters: int) -> dict[str, Any]:
    """Return the columns of SCORES that one metric fills."""
    defined = {key: point.value for key, point in found.points.items() if point.value is not None}
    reasons = sorted({point.reason for point in found.points.values() if point.reason})
    if not defined:
        return {"value": None, "reason": "; ".join(reasons)}
    lacking = len(found.points) - len(defined)
    if lacking:
        reasons = [f"undefined in {lacking} of {len(found.points)} fits: {'; '.join(reasons)}"]
    if clusters < 2:
        reasons.append("one cluster only: no interval")
    low, high = (interval(found.resampled) if clusters > 1 else None) or (None, None)
    return {
        "value": float(np.mean(list(defined.values()))),
        "low": low,
        "high": high,
        "fold_spread": _spread(defined, over=0),
        "seed_spread": _spread(defined, over=1),
        "reason": "; ".join(reasons) or None,
    }


def _spread(values: dict[tuple[int, int], float], *, over: int) -> float | None:
    """Return the standard deviation over fits (0) or seeds (1) of the means over the other, None for a single one."""
    groups: dict[int, list[float]] = {}
    for key, value in values.items():
        groups.setdefault(key[over], []).append(value)
    means = [np.mean(group) for group in groups.values()]
    return float(np.std(means, ddof=1)) if len(means) > 1 else None


def _counts(samples: Sequence[Sample]) -> dict[str, int]:
    """Return how many distinct test items of each class there are, and in how many units."""
    items = np.concatenate([sample.items for sample in samples])
    labels = np.concatenate([sample.labels for sample in samples])
    units = np.concatenate([sample.units for sample in samples])
    return {
        "positives": len(np.unique(items[labels])),
        "negatives": len(np.unique(items[~labels])),
        "clusters": len(np.unique(units)),
    }


def _warnings(read: Samples) -> tuple[str, ...]:
    few = [f"fewer than {FEWEST_CLUSTERS} clusters: not ranked"] if len(read.units) < FEWEST_CLUSTERS else []
    unseen = [f"{method}: {number} test items have no score and are left out" for method, number in read.unseen.items()]
    return (*few, *unseen)
