"""Which curated antibodies a benchmark can use with the chains it looks at; every other one is named with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from ab_assets.tables import REMOVED, conform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ab_assets.benchmarks.schema import Benchmark


@dataclass(frozen=True, slots=True)
class Selection:
    """Usable antibodies (CURATED, by row_id), the others (REMOVED, by row_id), and of these the merely unlabelled."""

    rows: pl.DataFrame
    removed: pl.DataFrame
    unlabelled: pl.DataFrame


def select_rows(curated: pl.DataFrame, benchmark: Benchmark) -> Selection:
    """Return the labelled antibodies that have the chains of `benchmark.chains`, each combination of chains once.

    For paratopes each chain is scored by itself, so one labelled chain is enough; for antigen specificity all must be
    there.

    Antibodies that differ only in a chain that is not looked at are one: the first row_id stays when their labels
    agree ("duplicate-chains"), none when they do not ("conflicting-labels"). For paratopes only those of the same entry
    with the same residue labels are one. Rows of different parts are never one, so that a leak stays visible.
    """
    rows = curated.sort("row_id")
    removed: list[pl.DataFrame] = []
    if benchmark.task == "paratope":
        labels = [f"{chain}_paratope" for chain in benchmark.chain_names]
        absent = pl.all_horizontal(pl.col(chain).is_null() for chain in benchmark.chain_names)
        rows = _set_apart(rows, removed, absent, reason=f"no-{'-or-'.join(benchmark.chain_names)}")
    else:
        labels = ["label"]
        for chain in benchmark.chain_names:
            rows = _set_apart(rows, removed, pl.col(chain).is_null(), reason=f"no-{chain}")
    is_unlabelled = pl.all_horizontal(pl.col(name).is_null() for name in labels)
    unlabelled = rows.filter(is_unlabelled)
    rows = _set_apart(rows, removed, is_unlabelled, reason="unlabelled")
    same = ["part", *benchmark.chain_names]
    if benchmark.task == "paratope":
        same += ["entry", *labels]
    else:
        rows = _set_apart(
            rows, removed, pl.col("label").n_unique().over(same) > 1, reason="conflicting-labels", same=same
        )
    rows = _set_apart(rows, removed, pl.struct(same).is_first_distinct().not_(), reason="duplicate-chains", same=same)
    table = pl.concat(removed).sort("row_id")
    return Selection(rows, conform(table, REMOVED), unlabelled)


def _set_apart(
    rows: pl.DataFrame, removed: list[pl.DataFrame], chosen: pl.Expr, *, reason: str, same: Sequence[str] = ()
) -> pl.DataFrame:
    """Append the chosen rows to `removed`, with the row they repeat or contradict as detail; return the others."""
    others = pl.col("row_id").first().over(same) if same else pl.lit(None, dtype=pl.String)
    marked = rows.with_columns(chosen.alias("chosen"), others.alias("detail"))
    removed.append(marked.filter("chosen").select("row_id", pl.lit(reason).alias("reason"), "detail"))
    return marked.filter(~pl.col("chosen")).drop("chosen", "detail")
