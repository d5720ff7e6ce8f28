"""The small tables of a report, made from the large stored ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ab_assets import tables
from ab_assets.reports.residue_map import RESIDUES

if TYPE_CHECKING:
    from ab_assets.benchmarks.schema import Benchmark

# How many antibodies stand in each role of each fit. positives, negatives: antibodies, or residues for paratopes.
SIZES = pl.Schema(
    {"fit": pl.Int64, "role": pl.String, "antibodies": pl.Int64, "positives": pl.Int64, "negatives": pl.Int64}
)

ANTIBODIES_SHOWN = 5


def split_sizes(rows: pl.DataFrame, roles: pl.DataFrame, benchmark: Benchmark) -> pl.DataFrame:
    """Return SIZES of a split: `rows` is CURATED, `roles` is ROLES; classes are counted on the benchmark's chains."""
    if benchmark.task == "paratope":
        lists = [pl.col(f"{chain}_paratope") for chain in benchmark.chain_names]
        positives = pl.sum_horizontal(column.list.sum().fill_null(0) for column in lists)
        total = pl.sum_horizontal(column.list.len().fill_null(0) for column in lists)
    else:
        positives = pl.col("label").fill_null(value=False).cast(pl.Int64)
        total = pl.col("label").is_not_null().cast(pl.Int64)
    classes = rows.select("row_id", positives=positives.cast(pl.Int64), total=total.cast(pl.Int64))
    order = pl.col("role").replace_strict({"train": 0, "validation": 1, "test": 2}, return_dtype=pl.Int64)
    sizes = (
        roles.join(classes, on="row_id", how="left")
        .group_by("fit", "role")
        .agg(
            antibodies=pl.len(),
            positives=pl.col("positives").sum(),
            negatives=(pl.col("total") - pl.col("positives")).sum(),
        )
        .sort("fit", order)
    )
    return tables.conform(sizes, SIZES)


def residues_to_show(
    rows: pl.DataFrame,
    predictions: pl.DataFrame,
    thresholds: pl.DataFrame,
    *,
    method: str,
    antibodies: int = ANTIBODIES_SHOWN,
) -> pl.DataFrame:
    """Return RESIDUES of test antibodies at evenly spaced ranks of their own MCC, from worst to best.

    `rows` is CURATED, `predictions` PREDICTIONS, `thresholds` THRESHOLDS; of several seeds the first is shown, and of
    several fits that test an antibody the first. Antibodies whose MCC is undefined are not shown.
    """
    scored = (
        predictions.filter((pl.col("method") == method) & (pl.col("role") == "test"))
        .filter(pl.col("seed") == pl.col("seed").min())
        .filter(pl.col("fit") == pl.col("fit").min().over("row_id"))
        .join(thresholds.select("method", "fit", "seed", "threshold"), on=["method", "fit", "seed"], how="left")
    )
    ranked = _mcc_per_antibody(scored)
    if ranked.is_empty():
        return RESIDUES.to_frame()
    last = ranked.height - 1
    number = min(antibodies, ranked.height)
    chosen = ranked[sorted({round(step * last / max(number - 1, 1)) for step in range(number)})]
    sequences = pl.concat(
        [
            rows.select("row_id", "sequence_id", chain=pl.lit(chain), sequence=pl.col(chain)).drop_nulls("sequence")
            for chain in ("vh", "vl")
        ]
    )
    shown = (
        chosen.join(scored, on="row_id", how="left", maintain_order="left")
        .join(sequences, on=["row_id", "chain"], how="inner", maintain_order="left")
        .with_columns(amino_acid=pl.col("sequence").str.slice(pl.col("residue"), 1))
    )
    return tables.conform(shown.select(list(RESIDUES)), RESIDUES)


def _mcc_per_antibody(scored: pl.DataFrame) -> pl.DataFrame:
    """Return (row_id, mcc) of every antibody for which it is defined, worst first."""
    call, label = pl.col("score") >= pl.col("threshold"), pl.col("label")
    tp, fp, fn, tn = (
        expression.sum().cast(pl.Float64) for expression in (call & label, call & ~label, ~call & label, ~call & ~label)
    )
    return (
        scored.drop_nulls(["score", "threshold", "label"])
        .group_by("row_id")
        .agg(mcc=(tp * tn - fp * fn) / ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)).sqrt())
        .filter(pl.col("mcc").is_finite())
        .sort("mcc", "row_id")
    )
