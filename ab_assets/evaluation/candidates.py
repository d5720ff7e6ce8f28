"""Scores of unlabelled antibodies become calls, with how far each is from what the model was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ab_assets.errors import MissingArtifactError
from ab_assets.tables import CANDIDATES, conform

if TYPE_CHECKING:
    from collections.abc import Sequence

# One row per candidate and fit of the model. row_id: as in CURATED. probability: antigen-specificity.
# *_probabilities: paratope, one per residue.
CANDIDATE_SCORES = pl.Schema(
    {
        "row_id": pl.String(),
        "sequence_id": pl.String(),
        "vh": pl.String(),
        "vl": pl.String(),
        "fit": pl.Int64(),
        "seed": pl.Int64(),
        "probability": pl.Float64(),
        "vh_probabilities": pl.List(pl.Float64),
        "vl_probabilities": pl.List(pl.Float64),
    }
)

# A candidate further from training than this share of the benchmark's own test rows is outside what was measured.
INSIDE_DOMAIN = 0.99


def call_candidates(
    scores: pl.DataFrame, thresholds: pl.DataFrame, nearest: pl.DataFrame, test_nearest: Sequence[float] | pl.Series
) -> pl.DataFrame:
    """Return CANDIDATES, one row per candidate in the order in which `scores` first names it.

    `scores`: CANDIDATE_SCORES. `thresholds`: THRESHOLDS of the same fits and seeds of one method. `nearest`: (row_id,
    nearest_identity, nearest_row_id), identity to the nearest training row. `test_nearest`: the same identity of every
    test row of the benchmark. Of several fits the mean probability is called at the mean threshold. `call` and
    `probability` are null for paratopes, `out_of_domain` where an identity is not known.

    Raises MissingArtifactError when a fit has no threshold.
    """
    fitted = scores.join(
        thresholds.select("fit", "seed", "threshold").unique(), on=["fit", "seed"], how="left", maintain_order="left"
    )
    lacking = fitted.filter(pl.col("threshold").is_null())
    if lacking.height:
        raise MissingArtifactError(
            what=f"fit {lacking['fit'][0]}, seed {lacking['seed'][0]} has no threshold",
            where="model_metrics",
            hint="Materialize model_metrics first.",
        )
    called = fitted.group_by("row_id", maintain_order=True).agg(
        pl.col("sequence_id", "vh", "vl").first(), pl.col("probability", "threshold").mean()
    )
    for column in ("vh_probabilities", "vl_probabilities"):
        called = called.join(_residue_means(fitted, column), on="row_id", how="left", maintain_order="left")
    bound = domain_bound(test_nearest)
    placed = called.join(nearest, on="row_id", how="left", maintain_order="left").with_columns(
        call=pl.col("probability") >= pl.col("threshold"),
        out_of_domain=pl.col("nearest_identity") < pl.lit(bound, dtype=pl.Float64),
    )
    return conform(placed.drop("row_id"), CANDIDATES)


def _residue_means(fitted: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return (row_id, `column`): the mean of each residue over fits."""
    residues = fitted.select("row_id", column, residue=pl.int_ranges(0, pl.col(column).list.len())).drop_nulls(column)
    return (
        residues.explode(column, "residue")
        .group_by("row_id", "residue")
        .agg(pl.col(column).mean())
        .sort("row_id", "residue")
        .group_by("row_id", maintain_order=True)
        .agg(column)
    )


def domain_bound(test_nearest: Sequence[float] | pl.Series) -> float | None:
    """Return the identity that 99 % of the benchmark's own test rows reach, or None without test rows."""
    known = np.asarray([value for value in test_nearest if value is not None], dtype=np.float64)
    return float(np.quantile(known, 1 - INSIDE_DOMAIN, method="lower")) if known.size else None
