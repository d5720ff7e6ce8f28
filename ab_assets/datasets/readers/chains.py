"""Tables with one row per chain and lists per residue (format `sabdab`), and the pairing of chains to antibodies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ab_assets.datasets.readers.lists import as_list
from ab_assets.datasets.readers.source import SOURCE, SourceTable
from ab_assets.datasets.rejection import Sieve
from ab_assets.tables import conform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ab_assets.benchmarks.schema import Benchmark

# How tables name the chain: in words, by letter, or by locus (AIRR).
_KINDS = {
    **dict.fromkeys(("heavy", "h", "vh", "igh"), "vh"),
    **dict.fromkeys(("light", "l", "vl", "kappa", "k", "vk", "igk", "lambda", "igl"), "vl"),
}


def antibodies_from_chains(frames: Sequence[pl.DataFrame], benchmark: Benchmark) -> SourceTable:
    """Return per-chain rows of all files with their antibodies; rows whose chain has no known name are rejected.

    `frames`: standardised columns with `file`, `row` and `part`.
    """
    rows = pl.concat([with_lists(frame) for frame in frames], how="diagonal_relaxed")
    absent = [pl.lit(None, dtype=pl.String).alias(name) for name in ("chain", "entry") if name not in rows.columns]
    rows = rows.with_columns(absent)
    sieve = Sieve(rows.with_columns(kind_of(pl.col("chain")).alias("kind"), pl.col("entry").alias("pair")))
    sieve.reject(
        pl.col("kind").is_null(),
        reason="unknown-chain",
        column=benchmark.columns.chain,
        value="chain",
        detail="expected heavy or light (or H, L, K, IGH, IGK, IGL)",
    )
    return SourceTable(spread_chains(sieve.rows), sieve.rejected)


def spread_chains(rows: pl.DataFrame) -> pl.DataFrame:
    """Return SOURCE for rows with `kind` ("vh" | "vl"), `sequence`, `positions`, `paratope` and `pair`.

    Rows of one part and one `pair` belong together: its i-th heavy chain with its i-th light chain, in file order. What
    is left over, and rows without `pair`, are antibodies of one chain.
    """
    rows = rows.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("ordinal"))
    nth = pl.int_range(pl.len()).over("part", "pair", "kind")
    partner = pl.col("ordinal").first().over("part", "pair", "nth")
    rows = rows.with_columns(nth.alias("nth")).with_columns(
        pl.when(pl.col("pair").is_null()).then("ordinal").otherwise(partner).alias("antibody")
    )
    suffixes = {"sequence": "", "positions": "_positions", "paratope": "_paratope"}
    present = {name: suffix for name, suffix in suffixes.items() if name in rows.columns}
    spread = [
        pl.when(pl.col("kind") == kind).then(pl.col(name)).alias(f"{kind}{suffix}")
        for kind in ("vh", "vl")
        for name, suffix in present.items()
    ]
    used = [name for name in rows.columns if name in SOURCE]
    cdrh3 = [pl.when(pl.col("kind") == "vh").then("cdrh3").alias("cdrh3")] if "cdrh3" in used else []
    rows = rows.with_columns(*spread, *cdrh3)
    return conform(rows.select(name for name in SOURCE if name in rows.columns), SOURCE)


def kind_of(name: pl.Expr) -> pl.Expr:
    """Return "vh" or "vl" for the usual names of a chain; null for anything else."""
    return name.str.to_lowercase().replace_strict(_KINDS, default=None, return_dtype=pl.String)


def with_lists(frame: pl.DataFrame) -> pl.DataFrame:
    """Return `frame` with `positions` and `paratope`, where it has them, as lists of text."""
    lists = {"positions": False, "paratope": True}
    return frame.with_columns(
        as_list(frame, name, one_sign_each=signs).alias(name) for name, signs in lists.items() if name in frame.columns
    )
