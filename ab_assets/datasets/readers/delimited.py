"""CSV and TSV files, plain or gzipped: every record has as many fields as the header, or the file is refused."""

from __future__ import annotations

import csv
import gzip
import itertools
import zlib
from typing import IO, TYPE_CHECKING, Protocol

import polars as pl

from ab_assets.datasets.readers.source import CHUNK_ROWS, RawTable
from ab_assets.errors import UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
    from pathlib import Path


class Preamble(Protocol):
    """Reads what stands before the header."""

    def __call__(self, record: Sequence[str], *, file: str) -> Mapping[str, str]:
        """Return what the fields of the first line say about all rows."""
        ...


SEPARATORS = {".csv": ",", ".tsv": "\t"}


def read_delimited(
    path: Path, *, file: str, separator: str, wanted: Collection[str], preamble: Preamble | None = None
) -> Generator[RawTable]:
    """Yield the rows of a text table with a header line, in chunks; empty cells become null.

    `row` counts records from 1; empty lines count but are no rows. Only `wanted` columns are kept. `preamble` reads the
    first record when it is not yet the header, and what it returns holds for every row as if it were a column.
    Raises UnreadableFileError when the file is truncated, is no UTF-8 text, or a record has another number of fields.
    """
    try:
        with open_text(path) as stream:
            records = csv.reader(stream, delimiter=separator, strict=True)
            about = preamble(next(records, []), file=file) if preamble else {}
            yield from _read(records, file=file, wanted=wanted, about=about)
    except csv.Error as error:
        raise UnreadableFileError(
            what=f"this is no valid table: {error}", where=file, hint="Look for a quotation mark without its partner."
        ) from error
    except UNREADABLE as error:
        raise unreadable(error, file=file) from error


# What decompression and decoding raise for files that are damaged or something else.
UNREADABLE = (OSError, EOFError, zlib.error, UnicodeDecodeError)


def open_text(path: Path) -> IO[str]:
    """Open a UTF-8 text file, decompressing it when its name ends in .gz."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def unreadable(error: BaseException, *, file: str) -> UnreadableFileError:
    """Return the error a user should see for one of UNREADABLE."""
    if isinstance(error, UnicodeDecodeError):
        return UnreadableFileError(
            what="this is no UTF-8 text",
            where=file,
            found=f"byte 0x{error.object[error.start]:02x}",
            hint="Save it as UTF-8; compressed text must be named .gz.",
        )
    if isinstance(error, gzip.BadGzipFile) and "Not a gzipped file" in str(error):
        return UnreadableFileError(
            what="this is no gzip file", where=file, hint="Compress it, or drop .gz from its name."
        )
    if isinstance(error, EOFError | zlib.error | gzip.BadGzipFile):
        return UnreadableFileError(
            what="the compressed file is truncated or damaged", where=file, hint="Copy or download it again."
        )
    return UnreadableFileError(what=f"the file cannot be read: {error}", where=file, hint="Check its permissions.")


def _read(
    records: Iterator[list[str]], *, file: str, wanted: Collection[str], about: Mapping[str, str]
) -> Iterator[RawTable]:
    header = tuple(name.strip() for name in next(records, []))
    if not header:
        raise UnreadableFileError(what="the file is empty", where=file, expected="a header line and one line per row")
    places = [place for place, name in enumerate(header) if name in wanted and header.index(name) == place]
    said = {name: value for name, value in about.items() if name not in header}
    numbered = enumerate(records, start=1)
    misshapen: list[tuple[int, int]] = []
    first = more = True
    while more:
        more = False
        rows: list[int] = []
        cells: list[list[str]] = [[] for _ in places]
        for row, record in itertools.islice(numbered, CHUNK_ROWS):
            more = True
            if len(record) == len(header):
                rows.append(row)
                for column, place in zip(cells, places, strict=True):
                    column.append(record[place])
            elif record:
                misshapen.append((row, len(record)))
        if not rows and not first:
            continue  # a stretch of empty lines, or the end
        first = False
        columns = {
            header[place]: pl.Series(column, dtype=pl.String) for place, column in zip(places, cells, strict=True)
        }
        columns |= {
            name: pl.repeat(said[name], len(rows), dtype=pl.String, eager=True) for name in said if name in wanted
        }
        yield RawTable((*header, *sorted(said)), pl.Series(rows, dtype=pl.Int64), columns)
    if misshapen:
        row, count = misshapen[0]
        others = f" (and {len(misshapen) - 1} more rows)" if len(misshapen) > 1 else ""
        raise UnreadableFileError(
            what=f"the row has another number of fields than the header{others}",
            where=f"{file}:{row}",
            found=f"{count}",
            expected=f"{len(header)}",
            hint="The file may be truncated, or a cell may hold the separator without quotation marks.",
        )
