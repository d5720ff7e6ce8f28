"""The examples of one fit: what is scored once, with the label it is trained on, in an order of its own."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import polars as pl

from ab_assets.errors import FitFailedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ab_assets.benchmarks.schema import Task

_LABEL_COLUMNS = ("label", "vh_paratope", "vl_paratope")

ATTENTION_ANTIBODIES = 50
"""Over how many antibodies attention is averaged unless a caller says otherwise."""


@dataclass(frozen=True, slots=True)
class Example:
    """One thing that is scored: an antibody with all its chains, or for paratopes one chain.

    chain: None for an antibody, else "vh" | "vl".
    sequences: the chains in the order in which their states are concatenated; one for paratopes.
    labels: (1,) bool for an antibody, (residue,) bool for a chain, None when not known.
    """

    row_id: str
    chain: str | None
    sequences: tuple[str, ...]
    labels: NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True)
class FitData:
    """Training and validation examples of one fit, sorted by row and chain so that the order of rows never matters."""

    task: Task
    chain_names: tuple[str, ...]
    fit: int
    shuffled: bool
    train: tuple[Example, ...]
    validation: tuple[Example, ...]

    @classmethod
    def build(
        cls,
        rows: pl.DataFrame,
        roles: pl.DataFrame,
        *,
        fit: int,
        task: Task,
        chain_names: tuple[str, ...],
        shuffled_labels: pl.DataFrame | None = None,
    ) -> Self:
        """Return the examples of fit `fit` from CURATED `rows` and ROLES; SHUFFLED_LABELS replace the true ones.

        Raises FitFailedError when training or validation has no labelled example, or training has one class only.
        """
        if shuffled_labels is not None:
            rows = _relabelled(rows, shuffled_labels.filter(pl.col("fit") == fit))
        parts: dict[str, tuple[Example, ...]] = {}
        for role in ("train", "validation"):
            chosen = roles.filter((pl.col("fit") == fit) & (pl.col("role") == role)).select("row_id")
            examples = examples_of(rows.join(chosen, on="row_id", how="semi"), task=task, chain_names=chain_names)
            parts[role] = tuple(example for example in examples if example.labels is not None)
            if not parts[role]:
                raise FitFailedError(what=f"fit {fit} has no labelled {role} row", hint="Use more rows or fewer folds.")
        positives, total = count_labels(parts["train"])
        if positives in {0, total}:
            raise FitFailedError(
                what=f"fit {fit} trains on one class only",
                found=f"{positives} positive of {total} labels",
                hint="Use more rows or fewer folds.",
            )
        return cls(task, chain_names, fit, shuffled_labels is not None, parts["train"], parts["validation"])

    def digest(self) -> str:
        """Return a sha256 over everything a fit learns from: equal data, equal digest, whatever else changed."""
        digest = hashlib.sha256(json.dumps([self.task, *self.chain_names]).encode())
        for name, part in (("train", self.train), ("validation", self.validation)):
            for example in part:
                labels = [] if example.labels is None else example.labels.astype(int).tolist()
                said = [name, example.row_id, example.chain, *example.sequences, labels]
                digest.update(json.dumps(said).encode())
        return digest.hexdigest()

    def sequences(self) -> list[str]:
        """Return every chain of the fit once, sorted."""
        return unique_sequences((*self.train, *self.validation))


def examples_of(rows: pl.DataFrame, *, task: Task, chain_names: tuple[str, ...]) -> list[Example]:
    """Return what a model scores for CURATED `rows`, sorted by row_id, then chain; chains a row lacks are left out."""
    examples: list[Example] = []
    for row in rows.sort("row_id").iter_rows(named=True):
        chains = {chain: row[chain] for chain in chain_names if row[chain] is not None}
        if task == "antigen-specificity":
            label = None if row["label"] is None else np.array([row["label"]], dtype=np.bool_)
            if len(chains) == len(chain_names):
                examples.append(Example(row["row_id"], None, tuple(chains.values()), label))
            continue
        for chain, sequence in chains.items():
            paratope = row[f"{chain}_paratope"]
            labels = None if paratope is None else np.array(paratope, dtype=np.bool_)
            examples.append(Example(row["row_id"], chain, (sequence,), labels))
    return examples


def unique_sequences(examples: Sequence[Example]) -> list[str]:
    """Return every chain of the examples once, sorted by length, then alphabetically."""
    return sorted({sequence for example in examples for sequence in example.sequences}, key=lambda s: (len(s), s))


def count_labels(examples: Sequence[Example]) -> tuple[int, int]:
    """Return (positive labels, labels) over all labelled examples."""
    labels = [example.labels for example in examples if example.labels is not None]
    return sum(int(one.sum()) for one in labels), sum(one.size for one in labels)


def chosen_antibodies(
    rows: pl.DataFrame, roles: pl.DataFrame, *, fit: int, limit: int = ATTENTION_ANTIBODIES
) -> pl.DataFrame:
    """Return the first `limit` test rows of a fit by row_id: binders where there are labels, else any (paratopes)."""
    test = roles.filter((pl.col("fit") == fit) & (pl.col("role") == "test")).select("row_id")
    chosen = rows.join(test, on="row_id", how="semi").filter(pl.col("label").fill_null(value=True))
    return chosen.sort("row_id").head(limit)


def _relabelled(rows: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    # rows without a shuffled label take part in no training of a control and lose theirs
    return rows.drop(_LABEL_COLUMNS).join(labels.select("row_id", *_LABEL_COLUMNS), on="row_id", how="left")
