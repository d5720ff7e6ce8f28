"""The examples of one fit: what is scored once, with the label it is trained on, in an order of its own."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl

from ab_assets.errors import FitFailedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from ab_assets.benchmarks.schema import Task
    from ab_assets.models.tokenization import Text

_LABEL_COLUMNS = ("label", "vh_paratope", "vl_paratope")

ATTENTION_ANTIBODIES = 50
"""Over how many antibodies attention is averaged unless a caller says otherwise."""


UNKNOWN_LABEL = -1


@dataclass(frozen=True, slots=True)
class Example:
    """What is scored together: an antibody, or for paratopes the residues of the chains that share a text.

    texts: the antibody's chains, each text one forward pass; for paratopes one text.
    scored: the chains whose residues are scored ("vh", "vl"), in the text's order; () for an antibody.
    labels: int8, 1 or 0, or -1 where not known: (1,) for an antibody, (residue,) over the scored chains; None when
    none is known.
    """

    row_id: str
    texts: tuple[Text, ...]
    scored: tuple[str, ...]
    labels: NDArray[np.int8] | None


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
        joined: bool = False,
        shuffled_labels: pl.DataFrame | None = None,
    ) -> Self:
        """Return the examples of fit `fit` from CURATED `rows` and ROLES; SHUFFLED_LABELS replace the true ones.

        `joined`: both chains of an antibody share a text.

        Raises FitFailedError when training or validation has no labelled example, or training has one class only.
        """
        if shuffled_labels is not None:
            rows = _relabelled(rows, shuffled_labels.filter(pl.col("fit") == fit))
        parts: dict[str, tuple[Example, ...]] = {}
        for role in ("train", "validation"):
            chosen = roles.filter((pl.col("fit") == fit) & (pl.col("role") == role)).select("row_id")
            labelled = rows.join(chosen, on="row_id", how="semi")
            examples = examples_of(labelled, task=task, chain_names=chain_names, joined=joined)
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
                labels = [] if example.labels is None else example.labels.tolist()
                said = [name, example.row_id, example.scored, example.texts, labels]
                digest.update(json.dumps(said).encode())
        return digest.hexdigest()

    def texts(self) -> list[Text]:
        """Return every text of the fit once, from short to long."""
        return unique_texts((*self.train, *self.validation))


def examples_of(rows: pl.DataFrame, *, task: Task, chain_names: tuple[str, ...], joined: bool = False) -> list[Example]:
    """Return what a model scores for CURATED `rows`, sorted by row_id, then chain; chains a row lacks are left out.

    An antibody that lacks a chain of the benchmark is left out where the antibody itself is scored.
    """
    examples: list[Example] = []
    for row in rows.sort("row_id").iter_rows(named=True):
        chains = {chain: row[chain] for chain in chain_names if row[chain] is not None}
        if task == "antigen-specificity":
            label = None if row["label"] is None else np.array([row["label"]], dtype=np.int8)
            if len(chains) == len(chain_names):
                examples.append(Example(row["row_id"], _texts(chains.values(), joined=joined), (), label))
            continue
        for names in [tuple(chains)] if joined and chains else [(name,) for name in chains]:
            text = tuple(chains[name] for name in names)
            examples.append(Example(row["row_id"], (text,), names, _residue_labels(row, names)))
    return examples


def texts_of(rows: pl.DataFrame, chain_names: Sequence[str], *, joined: bool = False) -> list[Text]:
    """Return every text that CURATED `rows` hold once, from short to long, labelled or not."""
    texts: set[Text] = set()
    for chains in rows.select(chain_names).iter_rows():
        texts.update(_texts([chain for chain in chains if chain is not None], joined=joined))
    return sorted(texts - {()}, key=_by_length)


def unique_texts(examples: Sequence[Example]) -> list[Text]:
    """Return every text of the examples once, from short to long, then alphabetically."""
    return sorted({text for example in examples for text in example.texts}, key=_by_length)


def residue_count(text: Text) -> int:
    """Return how many residues the chains of a text have together."""
    return sum(map(len, text))


def count_labels(examples: Sequence[Example]) -> tuple[int, int]:
    """Return (positive labels, known labels) over all examples."""
    labels = [example.labels for example in examples if example.labels is not None]
    return sum(int((one == 1).sum()) for one in labels), sum(int((one != UNKNOWN_LABEL).sum()) for one in labels)


def chosen_antibodies(
    rows: pl.DataFrame, roles: pl.DataFrame, *, fit: int, limit: int = ATTENTION_ANTIBODIES
) -> pl.DataFrame:
    """Return the first `limit` test rows of a fit by row_id: binders where there are labels, else any (paratopes)."""
    test = roles.filter((pl.col("fit") == fit) & (pl.col("role") == "test")).select("row_id")
    chosen = rows.join(test, on="row_id", how="semi").filter(pl.col("label").fill_null(value=True))
    return chosen.sort("row_id").head(limit)


def _texts(chains: Iterable[str], *, joined: bool) -> tuple[Text, ...]:
    return (tuple(chains),) if joined else tuple((chain,) for chain in chains)


def _by_length(text: Text) -> tuple[int, Text]:
    return residue_count(text), text


def _residue_labels(row: Mapping[str, Any], chains: Sequence[str]) -> NDArray[np.int8] | None:
    paratopes = [row[f"{chain}_paratope"] for chain in chains]
    if all(paratope is None for paratope in paratopes):
        return None
    parts = [
        np.full(len(row[chain]), UNKNOWN_LABEL, np.int8) if paratope is None else np.array(paratope, dtype=np.int8)
        for chain, paratope in zip(chains, paratopes, strict=True)
    ]
    return np.concatenate(parts)


def _relabelled(rows: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    # rows without a shuffled label take part in no training of a control and lose theirs
    return rows.drop(_LABEL_COLUMNS).join(labels.select("row_id", *_LABEL_COLUMNS), on="row_id", how="left")
