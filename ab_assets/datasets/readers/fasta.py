"""FASTA files, plain or gzipped, with labels and groups in a side table (csv, tsv or parquet) joined by sequence id.

The id is the first word of the header line. A suffix tells the chain and pairs records of the same stem: `_H`/`_L`,
`|H`/`|L`, also `VH`/`VL` and `heavy`/`light` after `_` or `|`, in any case. An id without suffix is a heavy chain of
its own. The side table's id is the stem, or the whole id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ab_assets.datasets.readers.chains import spread_chains
from ab_assets.datasets.readers.delimited import UNREADABLE, open_text, unreadable
from ab_assets.datasets.readers.source import SourceTable
from ab_assets.datasets.rejection import Sieve, join_rejected
from ab_assets.errors import UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ab_assets.benchmarks.schema import Benchmark

SUFFIXES = (".fasta", ".fa", ".faa", ".fas")
_CHAIN_SUFFIX = r"(?i)^(.+)[_|](?:(v?h|heavy)|(v?l|light))$"


def read_fasta(path: Path, *, file: str) -> pl.DataFrame:
    """Return `row` (records count from 1), `sequence_id` and `sequence`, as found.

    Raises UnreadableFileError when the file is truncated, is no text, or does not start with a header line.
    """
    try:
        with open_text(path) as stream:
            ids, sequences = _records(stream, file=file)
    except UNREADABLE as error:
        raise unreadable(error, path, file=file) from error
    if not ids:
        raise UnreadableFileError(what="the file is empty", where=file, expected="records that start with '>'")
    empty_as_null = [pl.when(pl.col(name) != "").then(name).alias(name) for name in ("sequence_id", "sequence")]
    frame = pl.DataFrame(
        {"sequence_id": ids, "sequence": sequences}, schema=dict.fromkeys(("sequence_id", "sequence"), pl.String)
    )
    return frame.select(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("row"), *empty_as_null)


def antibodies_from_fasta(
    records: Sequence[pl.DataFrame], sides: Sequence[pl.DataFrame], benchmark: Benchmark
) -> SourceTable:
    """Return the records of all files with what the side tables say about them.

    `records`: read_fasta with `file` and `part`; `sides`: standardised columns with `file` and `part`. A row of a side
    table is no antibody; it is counted only when it is rejected, as "duplicate-id" or, without a record, "no-sequence".
    """
    stem = pl.col("sequence_id").str.extract(_CHAIN_SUFFIX, 1)
    is_light = pl.col("sequence_id").str.extract(_CHAIN_SUFFIX, 3).is_not_null()
    rows = pl.concat(records).with_columns(
        pl.when(is_light).then(pl.lit("vl")).otherwise(pl.lit("vh")).alias("kind"),
        pl.col("sequence_id").alias("whole_id"),
        pl.coalesce(stem, "sequence_id").alias("sequence_id"),
        stem.alias("pair"),
    )
    if not sides:
        return SourceTable(spread_chains(rows), join_rejected([]))
    sieve = Sieve(pl.concat(sides, how="diagonal_relaxed"))
    _reject_unmatched(sieve, rows, benchmark)
    return SourceTable(spread_chains(_joined(rows, sieve.rows.drop("file", "row"))), sieve.rejected)


def _reject_unmatched(sieve: Sieve, rows: pl.DataFrame, benchmark: Benchmark) -> None:
    column = benchmark.columns.sequence_id
    repeated = pl.col("sequence_id").is_not_null() & ~pl.col("sequence_id").is_first_distinct()
    sieve.reject(
        repeated, reason="duplicate-id", column=column, value="sequence_id", detail="an earlier row has the same id"
    )
    known = pl.concat([rows["sequence_id"], rows["whole_id"]]).drop_nulls().unique()
    sieve.reject(
        ~pl.col("sequence_id").is_in(known.implode()).fill_null(value=False),
        reason="no-sequence",
        column=column,
        value="sequence_id",
        detail="no FASTA record has this id",
    )


def _joined(rows: pl.DataFrame, about: pl.DataFrame) -> pl.DataFrame:
    """What a side table says about the whole id wins over what it says about the stem; a file's part wins over both."""
    fields = [name for name in about.columns if name != "sequence_id"]
    by_whole = about.rename({"sequence_id": "whole_id", **{name: f"{name}:whole" for name in fields}})
    by_stem = about.rename({name: f"{name}:stem" for name in fields})
    joined = rows.join(by_whole, on="whole_id", how="left", maintain_order="left")
    joined = joined.join(by_stem, on="sequence_id", how="left", maintain_order="left")
    own = [name for name in fields if name in rows.columns]
    chosen = [
        pl.coalesce(*([name] if name in own else []), f"{name}:whole", f"{name}:stem").alias(name) for name in fields
    ]
    return joined.with_columns(chosen).select(*rows.columns, *(name for name in fields if name not in own))


def _records(lines: Iterable[str], *, file: str) -> tuple[list[str], list[str]]:
    ids: list[str] = []
    pieces: list[list[str]] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text.startswith(">"):
            ids.append((text[1:].split() or [""])[0])
            pieces.append([])
        elif text and not pieces:
            raise UnreadableFileError(
                what="this is no FASTA file: there is text before the first record",
                where=f"{file}: line {number}",
                found=repr(text[:20]),
                expected="a line that starts with '>'",
            )
        elif text:
            pieces[-1].append(text)
    return ids, ["".join(parts) for parts in pieces]
