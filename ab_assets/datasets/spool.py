"""Rows on their way from cleaning to merging: in memory while they are few, else on disk, by the start of row_id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DIGITS = "0123456789abcdef"


class Spool:
    """Takes rows in chunks and hands them out in buckets that no row_id straddles, in ascending order of row_id.

    Within a bucket rows keep the order in which they came. Without `folder`, or with a single chunk, there is one
    bucket and nothing is written.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._held: list[pl.DataFrame] = []
        self._chunks = 0

    def put(self, rows: pl.DataFrame) -> None:
        """Take rows with a column `row_id` (hexadecimal digits)."""
        self._held.append(rows)
        if self._folder is not None and len(self._held) + self._chunks > 1:
            for held in self._held:
                self._write(held)
            self._held.clear()

    def buckets(self) -> Iterator[pl.DataFrame]:
        """Yield all rows, bucket by bucket."""
        if self._held:
            yield pl.concat(self._held)
        for digit in _DIGITS if self._chunks else "":
            assert self._folder is not None  # noqa: S101 - only then chunks are written
            files = sorted(self._folder.glob(f"{digit}-*.parquet"))
            if files:
                yield pl.read_parquet(files, glob=False)

    def keep(self, rows: pl.DataFrame) -> pl.LazyFrame:
        """Return merged rows for later: on disk when the spool is."""
        if not self._chunks or self._folder is None or rows.is_empty():
            return rows.lazy()
        file = self._folder / f"merged-{rows['row_id'][0][0]}.parquet"
        rows.write_parquet(file, compression="lz4")
        return pl.scan_parquet(file, glob=False)

    def _write(self, rows: pl.DataFrame) -> None:
        assert self._folder is not None  # noqa: S101 - asked before
        for (digit,), part in rows.group_by(pl.col("row_id").str.head(1), maintain_order=True):
            part.write_parquet(self._folder / f"{digit}-{self._chunks:06}.parquet", compression="lz4")
        self._chunks += 1
