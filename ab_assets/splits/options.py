"""What else could be declared when a split costs too much, and what that would cost; nothing is relaxed by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ab_assets.splits.folds import REMOVED, assign_folds
from ab_assets.splits.graph import group_links, row_numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ab_assets.benchmarks.schema import Benchmark

    Integers = NDArray[np.int64]

LOOSER = (0.05, 0.1)
FEWEST_FOLDS = 3
# Estimates need fewer starts than a split that is kept.
STARTS = 6


def options(rows: pl.DataFrame, edges: pl.DataFrame, benchmark: Benchmark) -> str:
    """Return, as advice, the share of CURATED `rows` that looser bounds or fewer folds would remove."""
    split = benchmark.split
    if split.policy != "identity":
        return 'Loosen the bounds under [split] identity, raise max_removed, or say certificate = "report".'
    advice = []
    for step in LOOSER:
        raised = {by: min(1.0, round(bound + step, 4)) for by, bound in split.identity if bound is not None}
        limit = pl.col("by").replace_strict(raised, default=raised.get("vh"), return_dtype=pl.Float64)
        shown = ", ".join(f"{by} = {bound:.2f}" for by, bound in raised.items())
        advice.append((shown, edges.filter(pl.col("identity") >= limit), split.folds))
    if split.folds > FEWEST_FOLDS:
        advice.append((f"folds = {FEWEST_FOLDS}", edges, FEWEST_FOLDS))
    costs = [f"{shown} would remove {_cost(rows, kept, folds):.1%}" for shown, kept, folds in advice]
    return f'{"; ".join(costs)}. Or raise max_removed, or accept the leak with policy = "random".'


def strata_of(rows: pl.DataFrame) -> Integers:
    """Return the class to balance over folds, from 0: the label or, where there is none, which chains are there."""
    chains = pl.col("vh").is_null().cast(pl.Int64) + 2 * pl.col("vl").is_null().cast(pl.Int64)
    label = pl.col("label").cast(pl.Int64)
    codes = rows.select(pl.when(label.is_null()).then(chains + 2).otherwise(label)).to_series().to_numpy()
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)


def units_of(rows: pl.DataFrame, groups: tuple[str, ...]) -> Integers:
    """Return the group of each row, from 0: rows that share a value in one of the columns `groups` are one."""
    first, member = group_links(rows, groups)
    matrix = coo_array((np.ones(len(first), dtype=np.int8), (first, member)), shape=(rows.height, rows.height))
    _, component = connected_components(matrix.tocsr(), directed=False)
    return np.asarray(component, dtype=np.int64)


def _cost(rows: pl.DataFrame, edges: pl.DataFrame, folds: int) -> float:
    left, right = row_numbers(rows, edges)
    units = units_of(rows, ("entry",))
    fold = assign_folds(left, right, strata=strata_of(rows), units=units, folds=folds, starts=STARTS)
    return float(np.mean(fold == REMOVED))
