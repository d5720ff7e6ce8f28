"""Parquet files: numbers, booleans, dates and categories become text, lists stay lists of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ab_assets.datasets.readers.source import RawTable
from ab_assets.errors import UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


def read_parquet(path: Path, *, file: str, wanted: Collection[str]) -> RawTable:
    """Read the `wanted` columns of a Parquet file; `row` counts from 1.

    Raises UnreadableFileError when the file is truncated, is no Parquet file, or a wanted column holds what is no text,
    number, boolean, date or list of those.
    """
    # pyarrow raises on damaged files where polars' reader can abort the thread with a panic.
    import pyarrow as pa  # noqa: PLC0415 - only needed when there is such a file
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        header = tuple(str(name) for name in pq.read_schema(path).names)
        columns = [name for name in dict.fromkeys(header) if name in wanted and header.count(name) == 1]
        table = pq.ParquetFile(path).read(columns=columns)
        table.validate(full=True)
    except (OSError, pa.ArrowException) as error:
        raise UnreadableFileError(
            what="this is no Parquet file, or it is truncated or damaged",
            where=file,
            found=str(error).split("\n", 1)[0][:120],
            hint="Copy or download it again.",
        ) from error
    frame = pl.DataFrame(pl.from_arrow(table))
    return RawTable(
        header,
        frame.select(
            pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("row"),
            *(_as_text(frame, column, file=file) for column in columns),
        ),
    )


def _as_text(frame: pl.DataFrame, column: str, *, file: str) -> pl.Expr:
    dtype = frame.schema[column]
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    if isinstance(inner, pl.List | pl.Array | pl.Struct | pl.Object | pl.Binary):
        raise UnreadableFileError(
            what=f"column {column!r} cannot be read as text",
            where=file,
            found=str(dtype),
            expected="text, numbers or lists",
        )
    if isinstance(dtype, pl.List):
        return pl.col(column).cast(pl.List(pl.String))
    if dtype.is_float():
        return pl.col(column).fill_nan(None).cast(pl.String)
    return pl.col(column).cast(pl.String)
