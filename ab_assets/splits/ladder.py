"""The rungs of the leak ladder: the same rows divided as one usually would, ever more carefully, and as we do.

What a method scores on a rung minus what it scores on the certified one is what it owes to rows it has nearly seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ab_assets.splits.folds import REMOVED, assign_folds, pack
from ab_assets.splits.graph import row_numbers
from ab_assets.splits.options import strata_of, units_of
from ab_assets.splits.policies import groups_of, in_canonical_order, roles_of_fit
from ab_assets.tables import ROLES, conform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ab_assets.benchmarks.schema import Benchmark, Task

    Integers = NDArray[np.int64]
    Cluster = Callable[[pl.DataFrame, float], Mapping[str, str]]

RANDOM, CERTIFIED = "random", "certified"
# Identity of the MMseqs2 clusters that stay whole, from the least to the most careful.
CLUSTERED: Mapping[str, float] = {f"clusters-{identity}": identity for identity in (0.9, 0.8, 0.7)}
RUNGS = (RANDOM, *CLUSTERED, CERTIFIED)
# A ladder is to be had in minutes: of more rows than this, whole clusters are drawn.
MOST_ROWS: Mapping[Task, int] = {"antigen-specificity": 4000, "paratope": 300}
# Every rung trains on as many rows as the poorest, so one that has less than this share of the random one's is none.
LEAST_TRAINING = 0.5


@dataclass(frozen=True, slots=True)
class Ladder:
    """rows: CURATED, what every rung tests, each row once. rungs: ROLES by name, in the order of RUNGS. left_out: why
    a rung is not there."""

    rows: pl.DataFrame
    rungs: Mapping[str, pl.DataFrame]
    left_out: Mapping[str, str]


def ladder(
    rows: pl.DataFrame, nodes: pl.DataFrame, edges: pl.DataFrame, benchmark: Benchmark, *, cluster: Cluster
) -> Ladder:
    """Return the ladder of CURATED `rows` (selected, labelled), with their NODES and EDGES at the declared bounds.

    Fit i of a rung tests fold i, validates fold i + 1 and trains on the rest. Training and validation rows are thinned
    to the same number of each class in every fit of every rung. `cluster` returns {row_id: cluster} at an identity.
    """
    split = benchmark.split
    rows = in_canonical_order(_drawn(in_canonical_order(rows), nodes, MOST_ROWS[benchmark.task]))
    certified = _certified(rows, edges, benchmark)
    left_out: dict[str, str] = {}
    places: dict[str, Integers] = {}
    removed = float(np.mean(certified == REMOVED))
    if not any(bound for _, bound in split.identity):
        left_out[CERTIFIED] = "no identity bound is declared"
    elif removed > split.max_removed:
        left_out[CERTIFIED] = f"keeping similar rows apart would remove {removed:.0%} of the rows"
    else:
        rows, places[CERTIFIED] = rows.filter(pl.Series(certified != REMOVED)), certified[certified != REMOVED]
    for rung in (RANDOM, *CLUSTERED):
        whole = cluster(rows, CLUSTERED[rung]) if rung in CLUSTERED else {name: name for name in rows["row_id"]}
        places[rung] = _packed(rows, whole, split.folds)
    found = {rung: _roles(rows, places[rung], split.folds) for rung in RUNGS if rung in places}
    usual = _fewest(found[RANDOM], rows)
    unfit = {rung: _unfit(_fewest(roles, rows), usual, benchmark.task) for rung, roles in found.items()}
    left_out |= {rung: reason for rung, reason in unfit.items() if reason}
    kept = [rung for rung in found if rung not in left_out]
    return Ladder(rows, dict(zip(kept, _equalised([found[rung] for rung in kept], rows), strict=True)), left_out)


def _drawn(rows: pl.DataFrame, nodes: pl.DataFrame, most: int) -> pl.DataFrame:
    """Return whole clusters, in the order in which they first appear, until there are `most` rows."""
    cluster = rows.join(nodes.select("row_id", "cluster"), on="row_id", maintain_order="left")["cluster"]
    sizes = cluster.to_frame().group_by("cluster", maintain_order=True).len()
    chosen = sizes.filter(pl.col("len").cum_sum() - pl.col("len") < most)["cluster"]
    return rows.filter(cluster.is_in(chosen.implode()))


def _certified(rows: pl.DataFrame, edges: pl.DataFrame, benchmark: Benchmark) -> Integers:
    left, right = row_numbers(rows, edges)
    units = units_of(rows, groups_of(benchmark))
    return assign_folds(left, right, strata=strata_of(rows), units=units, folds=benchmark.split.folds)


def _packed(rows: pl.DataFrame, clusters: Mapping[str, str], folds: int) -> Integers:
    """Return the fold of each row when clusters, {row_id: cluster}, stay whole."""
    unit = (rows["row_id"].replace_strict(clusters).rank("dense") - 1).to_numpy().astype(np.int64)
    _, first = np.unique(unit, return_index=True)
    unit = np.argsort(np.argsort(first))[unit]  # by first appearance: names decide nothing
    strata = strata_of(rows)
    weight = np.zeros((len(first), int(strata.max(initial=0)) + 1), np.int64)
    np.add.at(weight, (unit, strata), 1)
    folded: Integers = pack(weight, folds)[unit]
    return folded


def _roles(rows: pl.DataFrame, fold: Integers, folds: int) -> pl.DataFrame:
    """Return ROLES of all fits, rows in the order of `rows` within each."""
    home = rows.select("row_id", fold=pl.Series(fold, dtype=pl.Int64))
    fits = [roles_of_fit(home, fit, test=fit, validation=(fit + 1) % folds) for fit in range(folds)]
    return pl.concat(fits)


def _fewest(roles: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Return (role, stratum, len): the fewest rows of a class that any fit has in a role."""
    strata = pl.DataFrame({"row_id": rows["row_id"], "stratum": strata_of(rows)})
    every = (
        roles.select("fit")
        .unique()
        .join(pl.DataFrame({"role": ["train", "validation", "test"]}), how="cross")
        .join(strata.select("stratum").unique(), how="cross")
    )
    counts = roles.join(strata, on="row_id").group_by("fit", "role", "stratum").len()
    full = every.join(counts, on=["fit", "role", "stratum"], how="left").with_columns(pl.col("len").fill_null(0))
    return full.group_by("role", "stratum").agg(pl.col("len").min()).sort("role", "stratum")


def _unfit(fewest: pl.DataFrame, usual: pl.DataFrame, task: Task) -> str | None:
    """Return why a rung with these (role, stratum, len) cannot be compared, or None."""
    needed = ["role", "stratum"] if task == "antigen-specificity" else ["role"]
    if fewest.group_by(needed).agg(pl.col("len").sum())["len"].min() == 0:
        return "a fold lacks a class"
    here, there = (int(part.filter(pl.col("role") == "train")["len"].sum()) for part in (fewest, usual))
    if here < LEAST_TRAINING * there:
        return f"clusters are too large: a fit would train on {here:,} rows instead of {there:,}"
    return None


def _equalised(rungs: Sequence[pl.DataFrame], rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Return ROLES with as many training and validation rows of each class in every fit of every rung."""
    if not rungs:
        return []
    quota = pl.concat([_fewest(roles, rows) for roles in rungs]).group_by("role", "stratum").agg(pl.col("len").min())
    strata = pl.DataFrame({"row_id": rows["row_id"], "stratum": strata_of(rows)})
    place = pl.int_range(pl.len()).over("fit", "role", "stratum")
    keep = (pl.col("role") == "test") | (place < pl.col("len"))
    return [
        conform(
            roles.join(strata, on="row_id", maintain_order="left")
            .join(quota, on=["role", "stratum"], maintain_order="left")
            .filter(keep)
            .select(list(ROLES)),
            ROLES,
        )
        for roles in rungs
    ]
