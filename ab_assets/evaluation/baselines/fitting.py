"""What a baseline is given: the training, validation and test items of one fit, antibodies or residues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Scores = tuple[NDArray[np.float64], NDArray[np.float64]]

# One row per residue of each chain, in order. residue counts from 0; amino_acid is one letter; length is the chain's.
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


@dataclass(frozen=True, slots=True)
class FitItems:
    """The items of one fit. For antibodies CURATED rows, for paratopes RESIDUES; training items all have a label."""

    chain_names: Sequence[str]
    train: pl.DataFrame
    validation: pl.DataFrame
    test: pl.DataFrame

    @property
    def train_labels(self) -> NDArray[np.bool_]:
        """The labels to learn, (item,)."""
        return self.train["label"].to_numpy()

    @property
    def prevalence(self) -> float:
        """The share of positives in training."""
        return float(self.train_labels.mean())


class Baseline(Protocol):
    """Fits on the training items and scores the others."""

    def __call__(self, items: FitItems, *, seed: int, workers: int) -> Scores:
        """Return the probabilities of the positive class of validation and of test items, in their order."""


def antibody_items(rows: pl.DataFrame, chain_names: Sequence[str]) -> pl.DataFrame:
    """Return the antibodies that have a chain of `chain_names`, sorted by row_id, absent ones as empty text."""
    ...
