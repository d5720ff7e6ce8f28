"""How often each IMGT position of each chain was in a training paratope: what the numbering alone tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ab_assets.evaluation.baselines.fitting import FitItems, Scores

# Residues worth of prevalence that are added to every position.
PRIOR = 1.0

# Where a residue has no IMGT position, its place along the chain in this many equal parts stands for one.
RELATIVE_BINS = 40


def position_frequency(items: FitItems) -> Scores:
    """Return the smoothed frequency of paratope residues in training at each item's position in its chain.

    A position that no training residue has gets the prevalence. Residues without an IMGT position are scored by their
    relative place instead, counted over all training residues.
    """
    tables = {
        place: items.train.with_columns(_relative())
        .drop_nulls(place)
        .group_by("chain", place)
        .agg(frequency=(pl.col("label").sum() + PRIOR * items.prevalence) / (pl.len() + PRIOR))
        for place in ("position", "relative")
    }
    return _scores(items.validation, tables, items.prevalence), _scores(items.test, tables, items.prevalence)


def _scores(part: pl.DataFrame, tables: dict[str, pl.DataFrame], prevalence: float) -> NDArray[np.float64]:
    placed = part.with_columns(_relative())
    for place, table in tables.items():
        frequency = table.rename({"frequency": f"by_{place}"})
        placed = placed.join(frequency, on=["chain", place], how="left", maintain_order="left")
    by_place = pl.when(pl.col("position").is_null()).then("by_relative").otherwise("by_position")
    return placed.select(by_place.fill_null(prevalence)).to_series().to_numpy()


def _relative() -> pl.Expr:
    return (pl.col("residue") * RELATIVE_BINS // pl.col("length")).alias("relative")
