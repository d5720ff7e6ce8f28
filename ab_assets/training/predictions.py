"""Scores become rows of a table: one per antibody, or for paratopes one per residue, seen by the model or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from ab_assets.tables import PREDICTIONS, conform

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ab_assets.training.data import Example

# What a model says of rows, before it is known which fit, role and method that was. As PREDICTIONS.
SCORED = pl.Schema(
    {
        "row_id": pl.String,
        "chain": pl.String,
        "residue": pl.Int64,
        "position": pl.String,
        "label": pl.Boolean,
        "score": pl.Float64,
    }
)


def scored_table(rows: pl.DataFrame, scores: Iterable[tuple[Example, Sequence[NDArray[np.float64]]]]) -> pl.DataFrame:
    """Return the SCORED table, sorted by row, chain and residue.

    `rows`: CURATED, for positions and true labels. `scores`: per example the probability of the positive class,
    ((1,),) per antibody or (seen residue,) per scored chain; residues beyond those seen get a null score.
    """
    by_id = {row["row_id"]: row for row in rows.iter_rows(named=True)}
    parts: list[tuple[str, str | None, NDArray[np.float64]]] = []
    for example, values in scores:
        parts += [(example.row_id, *part) for part in zip(example.scored or (None,), values, strict=True)]
    table: dict[str, list[Any]] = {name: [] for name in SCORED}
    for row_id, chain, score in sorted(parts, key=lambda part: (part[0], part[1] or "")):
        row = by_id[row_id]
        count = 1 if chain is None else len(row[chain])
        table["row_id"] += [row_id] * count
        table["chain"] += [chain] * count
        table["score"] += [*score.tolist(), *[None] * (count - len(score))]
        if chain is None:
            table["residue"].append(None)
            table["position"].append(None)
            table["label"].append(row["label"])
        else:
            table["residue"] += range(count)
            table["position"] += row[f"{chain}_positions"] or [None] * count
            table["label"] += row[f"{chain}_paratope"] or [None] * count
    return pl.DataFrame(table, schema=SCORED)


def as_predictions(scored: pl.DataFrame, roles: pl.DataFrame, *, method: str, fit: int, seed: int) -> pl.DataFrame:
    """Return PREDICTIONS: the scored rows that fit `fit` validates or tests, as made by `method` with `seed`."""
    chosen = roles.filter((pl.col("fit") == fit) & pl.col("role").is_in(["validation", "test"])).select(
        "row_id", "role"
    )
    labelled = scored.join(chosen, on="row_id", how="inner", maintain_order="left")
    named = labelled.with_columns(
        pl.lit(method).alias("method"), pl.lit(fit).alias("fit"), pl.lit(seed, dtype=pl.Int64).alias("seed")
    )
    return conform(named, PREDICTIONS)
