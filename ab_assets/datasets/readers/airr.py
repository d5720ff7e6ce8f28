"""AIRR rearrangement tables (format `airr`): one row per chain, chains of one cell_id are one antibody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ab_assets.datasets.readers.chains import kind_of, spread_chains, with_lists
from ab_assets.datasets.readers.layouts import column_of
from ab_assets.datasets.readers.source import SourceTable
from ab_assets.datasets.rejection import Sieve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ab_assets.benchmarks.schema import Benchmark

_FALSE = ("f", "false", "0")


def antibodies_from_airr(frames: Sequence[pl.DataFrame], benchmark: Benchmark) -> SourceTable:
    """Return the rearrangements of all files as antibodies.

    Rejects "unknown-chain" (a locus that is no immunoglobulin's), "not-productive" (where that is said), and
    "ambiguous-cell": a cell with two heavy or two light chains does not say which belong together. A row without
    cell_id is an antibody of one chain. Cells of different files, samples and subjects are different cells.
    `frames`: standardised columns with `file`, `row` and `part`.
    """
    rows = pl.concat([with_lists(frame) for frame in frames], how="diagonal_relaxed")
    for name in ("cell", "sample", "subject_id", "productive"):
        if name not in rows.columns:
            rows = rows.with_columns(pl.lit(None, dtype=pl.String).alias(name))
    # a v_call may stand in for the locus: "IGHV3-7*01,IGHV3-7*04"
    gene = pl.col("chain").str.extract(r"(?i)^((?:IG|TR)[A-Z])")
    sieve = Sieve(rows.with_columns(kind_of(pl.coalesce(gene, "chain")).alias("kind")))
    sieve.reject(
        pl.col("kind").is_null(),
        reason="unknown-chain",
        column=column_of(benchmark, "chain"),
        value="chain",
        detail="expected the locus of an immunoglobulin: IGH, IGK or IGL",
    )
    sieve.reject(
        pl.col("productive").str.to_lowercase().is_in(_FALSE),
        reason="not-productive",
        column="productive",
        value="productive",
        detail="no chain is made from it",
    )
    cell = ("file", "sample", "subject_id", "cell")
    pair = pl.when(pl.col("cell").is_not_null()).then(pl.struct(cell).rank("dense").cast(pl.String))
    sieve.rows = sieve.rows.with_columns(pair.alias("pair"))
    sieve.rows = sieve.rows.with_columns(pl.len().over("pair", "kind").alias("copies"))
    most = pl.col("copies").max().over("pair")
    sieve.reject(
        pl.col("pair").is_not_null() & (most > 1),
        reason="ambiguous-cell",
        column=column_of(benchmark, "cell"),
        value="cell",
        detail=pl.format("the cell has {} rows of one chain; leave one of them", most),
    )
    return SourceTable(spread_chains(sieve.rows), sieve.rejected)
