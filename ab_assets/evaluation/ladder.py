"""What methods without a language model score on each rung of the leak ladder, and how similar its sides are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from ab_assets.evaluation.baselines import baseline_of, predictions_of
from ab_assets.evaluation.baselines.fitting import fit_items
from ab_assets.evaluation.bootstrap import interval
from ab_assets.evaluation.scores import score
from ab_assets.evaluation.thresholds import thresholds
from ab_assets.evaluation.units import resampling_units
from ab_assets.progress import Progress, silent
from ab_assets.splits.clusters import mmseqs_clusters
from ab_assets.splits.graph import bounds_of
from ab_assets.splits.guard import Ties
from ab_assets.splits.identity import largest_identity
from ab_assets.splits.ladder import CERTIFIED, ladder
from ab_assets.tables import LADDER, RUNGS, conform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

    from ab_assets.benchmarks.schema import Benchmark, Identity, Task
    from ab_assets.evaluation.scores import Scored
    from ab_assets.splits.ladder import Ladder

METHODS: Mapping[Task, tuple[str, ...]] = {
    "antigen-specificity": ("kmer-logistic", "nearest-neighbour"),
    "paratope": ("windowed-forest", "position-frequency"),
}
METRICS = ("ap", "auroc", "mcc")
# Enough for the ends of a 95 % interval to two digits.
MOST_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Climbed:
    """scores: LADDER; rungs: RUNGS; left_out: rung -> why it is not there."""

    scores: pl.DataFrame
    rungs: pl.DataFrame
    left_out: Mapping[str, str]


def climb(
    rows: pl.DataFrame,
    nodes: pl.DataFrame,
    edges: pl.DataFrame,
    benchmark: Benchmark,
    *,
    seed: int,
    workers: int = 1,
    progress: Progress = silent,
) -> Climbed:
    """Return the scores of the cheap methods on every rung of CURATED `rows`, and their differences to the certified.

    Every rung tests the same rows and trains on as many of each class (`splits.ladder`), so that intervals are paired.
    `seed` decides what a method draws.
    """
    built = ladder(rows, nodes, edges, benchmark, cluster=_clusters(benchmark))
    methods = METHODS[benchmark.task]
    units = resampling_units(built.rows, nodes)
    resamples = min(benchmark.evaluation.resamples, MOST_RESAMPLES)
    scored: dict[str, Scored] = {}
    measured = [RUNGS.to_frame()]
    steps = len(built.rungs) * len(methods)
    for rung, roles in built.rungs.items():
        parts: list[pl.DataFrame] = []
        for method in methods:
            progress(f"{method}, {rung}", len(scored) * len(methods) + len(parts), steps)
            parts.append(_predicted(built, roles, benchmark, method, seed=seed, workers=workers))
        predictions = pl.concat(parts)
        decided = thresholds(predictions)
        scored[rung] = score(
            predictions, decided, units, resamples=resamples, task=benchmark.task, views=False, workers=workers
        )
        sides = _measured(built.rows, roles, edges, benchmark.split.identity, workers=workers)
        measured.append(conform(sides.with_columns(rung=pl.lit(rung)), RUNGS))
    progress("leak ladder", steps, steps)
    return Climbed(_compared(scored, methods), pl.concat(measured), built.left_out)


def _clusters(benchmark: Benchmark) -> Callable[[pl.DataFrame, float], dict[str, str]]:
    """Return what clusters rows by the first chain that the benchmark looks at."""
    seen = pl.col("vh") if "vh" in benchmark.chain_names else pl.lit(None, dtype=pl.String)
    return lambda rows, identity: mmseqs_clusters(rows.with_columns(vh=seen), identity)


def _predicted(
    built: Ladder, roles: pl.DataFrame, benchmark: Benchmark, method: str, *, seed: int, workers: int
) -> pl.DataFrame:
    parts = []
    for fit in roles["fit"].unique().sort():
        items = fit_items(built.rows, roles.filter(pl.col("fit") == fit), benchmark, seed=seed, workers=workers)
        parts.append(predictions_of(items, baseline_of(method)(items), method=method, fit=fit, seed=seed))
    return pl.concat(parts)


def _compared(scored: Mapping[str, Scored], methods: Sequence[str]) -> pl.DataFrame:
    """Return LADDER: each rung's scores, and what it is above the certified rung on the same resamples."""
    reference = _resampled(scored[CERTIFIED]) if CERTIFIED in scored else {}
    value = pl.col("value")
    parts = [LADDER.to_frame()]
    for rung, result in scored.items():
        found = result.scores.filter(pl.col("metric").is_in(METRICS)).sort(
            pl.col("method").cast(pl.Enum(methods)), maintain_order=True
        )
        shown = found.select("method", "metric", "value", "low", "high")
        if reference and rung != CERTIFIED:
            own = _resampled(result)
            ends = [
                interval(own[key] - reference[key]) or (None, None) for key in shown.select("method", "metric").rows()
            ]
            base = scored[CERTIFIED].scores.select("method", "metric", base="value")
            shown = shown.join(base, on=["method", "metric"], maintain_order="left").with_columns(
                difference=value - pl.col("base"),
                difference_low=pl.Series([low for low, _ in ends], dtype=pl.Float64),
                difference_high=pl.Series([high for _, high in ends], dtype=pl.Float64),
            )
        parts.append(conform(shown.drop("base", strict=False).with_columns(rung=pl.lit(rung)), LADDER))
    return pl.concat(parts)


def _resampled(scored: Scored) -> dict[tuple[str, str], np.ndarray]:
    table = scored.resamples.filter(pl.col("metric").is_in(METRICS))
    return {
        (method, metric): values.to_numpy()
        for method, metric, values in zip(table["method"], table["metric"], table["values"], strict=True)
    }


def _measured(
    rows: pl.DataFrame, roles: pl.DataFrame, edges: pl.DataFrame, identity: Identity, *, workers: int
) -> pl.DataFrame:
    """Return RUNGS of one rung: the exact largest identity of any test row to its training rows, by every measure."""
    train, test = (roles.filter(pl.col("role") == role).select("fit", "row_id") for role in ("train", "test"))
    found = []
    for by, bound in bounds_of(rows, identity).items():
        largest = 0.0
        for fit in roles["fit"].unique():
            sides = (part.filter(pl.col("fit") == fit) for part in (test, train))
            texts = [rows.join(side, on="row_id", how="semi")[by].drop_nulls().to_list() for side in sides]
            largest = max(largest, largest_identity(*texts, kind=by, workers=workers))
        near = Ties(rows, edges.filter(pl.col("by") == by), groups=()).of(train)
        found.append(
            {
                "by": by,
                "bound": bound,
                "identity": largest,
                "over": None if bound is None else test.join(near, on=["fit", "row_id"], how="semi").height,
                "tested": rows.height,
                "trained": train.group_by("fit").len()["len"].min(),
            }
        )
    return pl.DataFrame(found, schema_overrides={"bound": pl.Float64, "over": pl.Int64})
