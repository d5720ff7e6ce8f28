"""What a baseline is given: the training, validation and test items of one fit, antibodies or residues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ab_assets.errors import FitFailedError

if TYPE_CHECKING:
    from ab_assets.benchmarks.schema import Benchmark

# One row per residue, in order along each chain. residue counts from 0; amino_acid is one letter; length: of the chain.
RESIDUES = pl.Schema(
    {
        "row_id": pl.String,
        "chain": pl.String,
        "residue": pl.Int64,
        "position": pl.String,
        "label": pl.Boolean,
        "amino_acid": pl.String,
        "length": pl.Int64,
    }
)

_LABELS = ["label", "vh_paratope", "vl_paratope"]

Scores = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Probabilities of the positive class of the validation and of the test items, in their order."""


@dataclass(frozen=True, slots=True)
class FitItems:
    """The items of one fit, sorted: CURATED rows, or RESIDUES for paratopes. Training items all have a label.

    seed: decides what a baseline draws. workers: threads it may use.
    """

    chain_names: Sequence[str]
    train: pl.DataFrame
    validation: pl.DataFrame
    test: pl.DataFrame
    seed: int = 1
    workers: int = 1

    @property
    def labels(self) -> NDArray[np.bool_]:
        """The labels to learn, one per training item."""
        return self.train["label"].to_numpy()

    @property
    def prevalence(self) -> float:
        """The share of positives in training."""
        return float(self.labels.mean())

    def validation_error(self, scores: NDArray[np.float64]) -> float:
        """Return the mean squared error of probabilities for the validation items that have a label."""
        labels = self.validation["label"].cast(pl.Float64).to_numpy()  # nan where there is no label
        return float(np.nanmean((scores - labels) ** 2))


Baseline = Callable[[FitItems], Scores]
"""Fits on the training items and scores the others."""


def fit_items(
    rows: pl.DataFrame, roles: pl.DataFrame, benchmark: Benchmark, *, seed: int = 1, workers: int = 1
) -> FitItems:
    """Return the items of CURATED `rows` in the ROLES of one fit; the order of rows does not matter.

    Raises FitFailedError when a role has no item, or the training items lack a class.
    """
    parts = {}
    where = f"{benchmark.name}, fit {roles.item(0, 'fit')}"
    for role in ("train", "validation", "test"):
        chosen = rows.join(roles.filter(pl.col("role") == role), on="row_id", how="semi").sort("row_id")
        items = residues_of(chosen, benchmark.chain_names) if benchmark.task == "paratope" else chosen
        parts[role] = items.drop_nulls("label") if role == "train" else items
        if parts[role].is_empty():
            raise FitFailedError(what=f"there is no {role} row", where=where, hint="Use more rows or fewer folds.")
    if parts["train"]["label"].n_unique() == 1:
        raise FitFailedError(
            what="all training labels are the same",
            where=where,
            found=f"{parts['train'].height} training items",
            hint="Use more rows or fewer folds.",
        )
    return FitItems(benchmark.chain_names, parts["train"], parts["validation"], parts["test"], seed, workers)


def relabelled(rows: pl.DataFrame, shuffled_labels: pl.DataFrame) -> pl.DataFrame:
    """Return CURATED `rows` with the SHUFFLED_LABELS of one fit; rows that have none there lose their labels."""
    labels = shuffled_labels.select("row_id", *_LABELS)
    return rows.drop(_LABELS).join(labels, on="row_id", how="left", maintain_order="left")


def residues_of(rows: pl.DataFrame, chain_names: Sequence[str]) -> pl.DataFrame:
    """Return RESIDUES of the chains of CURATED `rows`, chain by chain in their order."""
    chains = [
        rows.select(
            "row_id",
            chain=pl.lit(chain),
            residue=pl.int_ranges(0, pl.col(chain).str.len_chars()),
            position=_filled(f"{chain}_positions", chain),
            label=_filled(f"{chain}_paratope", chain),
            amino_acid=pl.col(chain).str.split(""),
            length=pl.col(chain).str.len_chars().cast(pl.Int64),
        ).filter(pl.col("length") > 0)
        for chain in chain_names
    ]
    lists = ["residue", "position", "label", "amino_acid"]
    return pl.concat(chains).sort("row_id", "chain").explode(lists).select(list(RESIDUES)).cast(RESIDUES)


def _filled(column: str, chain: str) -> pl.Expr:
    """Return the list column, with as many nulls as the chain has residues where it is null."""
    nulls = pl.lit(None).repeat_by(pl.col(chain).str.len_chars())
    return pl.coalesce(column, nulls)
