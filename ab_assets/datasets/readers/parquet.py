"""Parquet files: numbers, booleans, dates and categories become text, lists stay lists of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from ab_assets.datasets.readers.source import CHUNK_ROWS, RawTable
from ab_assets.errors import UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Container, Generator
    from pathlib import Path


def read_parquet(path: Path, *, file: str, wanted: Container[str]) -> Generator[RawTable]:
    """Yield the `wanted` columns of a Parquet file, in chunks; `row` counts from 1.

    Raises UnreadableFileError when the file is truncated, is no Parquet file, or a wanted column holds what is no text,
    number, boolean, date or list of those.
    """
    # pyarrow raises on damaged files where polars' reader, and its import of damaged schemas, can panic.
    import pyarrow as pa  # noqa: PLC0415 - only needed when there is such a file
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        header = tuple(str(name) for name in pq.read_schema(path).names)
        names = [name for name in dict.fromkeys(header) if name in wanted and header.count(name) == 1]
        with pq.ParquetFile(path) as opened:
            done = 0
            for batch in opened.iter_batches(batch_size=CHUNK_ROWS, columns=names):
                batch.validate(full=True)
                yield _chunk(header, names, batch, done=done, file=file)
                done += batch.num_rows
            if not done:
                empty = opened.schema_arrow.empty_table().select(names)
                yield _chunk(header, names, empty, done=0, file=file)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise UnreadableFileError(
            what="this is no Parquet file, or it is truncated or damaged",
            where=file,
            hint="Copy or download it again; a table of another kind must be named .csv or .tsv.",
        ) from error


def _chunk(header: tuple[str, ...], names: list[str], table: Any, *, done: int, file: str) -> RawTable:  # noqa: ANN401
    rows = pl.int_range(done + 1, done + table.num_rows + 1, dtype=pl.Int64, eager=True)
    return RawTable(header, rows, {name: _as_text(table.column(name), name, file=file) for name in names})


def _as_text(column: Any, name: str, *, file: str) -> pl.Series:  # noqa: ANN401 - pyarrow carries no types
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    kind = column.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), None, column)
    try:
        text = column.cast(pa.list_(pa.string()) if is_list else pa.string())
    except pa.ArrowException as error:
        raise UnreadableFileError(
            what=f"column {name!r} cannot be read as text",
            where=file,
            found=str(kind),
            expected="text, numbers or lists",
        ) from error
    dtype = pl.List(pl.String) if is_list else pl.String
    return pl.Series(name, text, dtype=dtype)
