"""Labels with nothing to learn: permuted across clusters for training and validation, true for test."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ab_assets.tables import SHUFFLED_LABELS, conform

if TYPE_CHECKING:
    from ab_assets.benchmarks.schema import Task

_TRIES = 50
# Residues on each side of the paratope that count as next to it.
_NEAR = 5


def shuffle_labels(
    rows: pl.DataFrame, roles: pl.DataFrame, nodes: pl.DataFrame, *, task: Task, seed: int, shuffles: int = 1
) -> pl.DataFrame:
    """Return SHUFFLED_LABELS of CURATED `rows` for the training and validation rows of every fit in ROLES.

    Antigen specificity: labels are permuted among the rows of one fit, role and fold (and subject, where declared), so
    that as many are positive as before. Of 50 permutations the one is taken in which the fewest rows get a label of
    their own cluster and the share of unchanged labels is nearest to what chance alone says: a control that by bad luck
    resembles the truth would teach a little of it. Paratope: residue labels are permuted within each chain, and of 50
    permutations the one is taken that brings the number of positive labels on the paratope, and on the residues next to
    it, over the chains so far nearest to what chance says. `seed` and the rows' own content decide, not their order.
    """
    held = roles.filter(pl.col("role") != "test").join(rows, on="row_id", how="inner").sort("fit", "row_id")
    held = held.join(nodes.select("row_id", "cluster"), on="row_id", how="left", maintain_order="left")
    parts = [
        (_residues if task == "paratope" else _antibodies)(held, seed, shuffle).with_columns(shuffle=pl.lit(shuffle))
        for shuffle in range(shuffles)
    ]
    return conform(pl.concat(parts), SHUFFLED_LABELS)


def _antibodies(held: pl.DataFrame, seed: int, shuffle: int) -> pl.DataFrame:
    parts = []
    for key, part in held.group_by("fit", "role", "fold", "subject_id", maintain_order=True):
        generator = _generator(seed, *key, shuffle=shuffle)
        labels = _across(part["label"].to_numpy(), part["cluster"].to_numpy(), generator)
        parts.append(part.select("fit", "row_id", pl.Series("label", labels, dtype=pl.Boolean)))
    return pl.concat(parts).sort("fit", "row_id")


def _residues(held: pl.DataFrame, seed: int, shuffle: int) -> pl.DataFrame:
    lists = (_permuted_lists(held, chain, seed, shuffle).alias(f"{chain}_paratope") for chain in ("vh", "vl"))
    return held.select("fit", "row_id", *lists)


def _across(labels: np.ndarray, clusters: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the labels in another order: few from a row's own cluster, as many unchanged as chance alone says."""
    positive = float(labels.mean())
    by_chance = positive**2 + (1 - positive) ** 2
    best, least = np.arange(len(labels)), np.inf
    for _ in range(_TRIES):
        order = generator.permutation(len(labels))
        own = float((clusters == clusters[order]).mean())
        unchanged = float((labels == labels[order]).mean())
        if (cost := own + abs(unchanged - by_chance)) < least:
            best, least = order, cost
    traded: np.ndarray = labels[_traded(best, clusters, generator)]
    return traded


def _traded(order: np.ndarray, clusters: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return `order` without rows that get a label of their own cluster, as far as that can be.

    A cluster c of at most half of n rows that gives itself s labels leaves at least n - 2 |c| + s rows which neither
    belong to it nor have a label of it: any of them can trade, and no trade makes a new such row.
    """
    order = order.copy()
    codes = np.unique(clusters, return_inverse=True)[1]
    for row in np.flatnonzero(codes == codes[order]):
        free = np.flatnonzero((codes != codes[row]) & (codes[order] != codes[row]))
        if codes[order[row]] == codes[row] and len(free):
            other = free[generator.integers(len(free))]
            order[row], order[other] = order[other], order[row]
    return order


def _permuted_lists(held: pl.DataFrame, chain: str, seed: int, shuffle: int) -> pl.Series:
    """Return each chain's residue labels in another order, nearest to what chance alone says over all chains."""
    lists: list[list[bool] | None] = []
    owed: dict[tuple[int, str], np.ndarray] = {}
    for fit, role, row_id, labels in held.select("fit", "role", "row_id", f"{chain}_paratope").iter_rows():
        if labels is None:
            lists.append(None)
            continue
        truth = np.array(labels, dtype=bool)
        places = np.stack([truth, np.convolve(truth, np.ones(2 * _NEAR + 1), mode="full")[_NEAR:-_NEAR] > 0])
        generator = _generator(seed, fit, row_id, chain, shuffle=shuffle)
        tried = np.stack([generator.permutation(truth) for _ in range(_TRIES)])
        missed = owed.get((fit, role), 0.0) + places.mean(axis=1) * truth.sum() - tried @ places.T.astype(float)
        best = int(np.argmin((missed**2).sum(axis=1)))
        owed[fit, role] = missed[best]
        lists.append(tried[best].tolist())
    return pl.Series(lists, dtype=pl.List(pl.Boolean))


def _generator(*parts: object, shuffle: int) -> np.random.Generator:
    """Return a generator that follows from the parts and the number of the shuffle alone."""
    text = "|".join(str(part) for part in (*parts, *((f"shuffle {shuffle}",) if shuffle else ())))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))
