"""All methods side by side: every model's scores under its name, the baselines', and the differences between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from ab_assets.evaluation.comparisons import compare
from ab_assets.evaluation.scores import RESAMPLED
from ab_assets.tables import SCORES

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class MetricTable:
    """scores: SCORES; comparisons: COMPARISONS. A model's methods are named "<model> <method>"."""

    scores: pl.DataFrame
    comparisons: pl.DataFrame


def named(model: str) -> pl.Expr:
    """Return the expression that puts a model's name before its methods'."""
    return pl.format("{} {}", pl.lit(model), pl.col("method")).alias("method")


def side_by_side(
    baselines: tuple[pl.DataFrame, pl.DataFrame],
    models: Mapping[str, tuple[pl.DataFrame, pl.DataFrame]],
    *,
    primary_baseline: str,
) -> MetricTable:
    """Return the table of all methods. Each pair is (SCORES, RESAMPLED); models are named by their key.

    Raises CorruptArtifactError when a model was scored on other test rows or resamples than the baselines.
    """
    pairs = [baselines, *((s.with_columns(named(m)), r.with_columns(named(m))) for m, (s, r) in models.items())]
    scores = pl.concat([pair[0] for pair in pairs]).select(list(SCORES))
    resampled = pl.concat([pair[1] for pair in pairs]).select(list(RESAMPLED))
    of_baselines = set(baselines[0]["method"])
    methods = [name for name in scores["method"].unique(maintain_order=True) if name not in of_baselines]
    return MetricTable(scores, compare(resampled, scores, methods=methods, primary_baseline=primary_baseline))


def summary_of(scores: pl.DataFrame, metrics: tuple[str, ...] = ("ap", "mcc", "auroc", "f1")) -> pl.DataFrame:
    """Return one row per method and one text column per metric: "0.713 [0.69, 0.74]", a dash where it is undefined."""
    cell = (
        pl.when(pl.col("value").is_null())
        .then(pl.lit("-"))
        .when(pl.col("low").is_null())
        .then(pl.col("value").round(3).cast(pl.String))
        .otherwise(pl.format("{} [{}, {}]", pl.col("value").round(3), pl.col("low").round(2), pl.col("high").round(2)))
    )
    shown = scores.filter((pl.col("view") == "all") & pl.col("metric").is_in(metrics))
    wide = shown.select("method", "metric", cell=cell).pivot("metric", index="method", values="cell")
    return wide.select("method", *(metric for metric in metrics if metric in wide.columns))
