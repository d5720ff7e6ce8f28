"""CSV and TSV files, plain or gzipped: every record has as many fields as the header, or the file is refused."""

from __future__ import annotations

import csv
import gzip
import itertools
import zlib
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Protocol

import polars as pl

from ab_assets.datasets.readers.source import CHUNK_ROWS, RawTable
from ab_assets.datasets.rejection import and_more
from ab_assets.errors import UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Container, Generator, Iterator, Mapping, Sequence
    from pathlib import Path


class Preamble(Protocol):
    """Reads what stands before the header."""

    def __call__(self, record: Sequence[str], *, file: str) -> Mapping[str, str]:
        """Return what the fields of the first line say about all rows."""
        ...


SEPARATORS = {".csv": ",", ".tsv": "\t"}


def read_delimited(
    path: Path, *, file: str, separator: str, wanted: Container[str], preamble: Preamble | None = None
) -> Generator[RawTable]:
    """Yield the rows of a text table with a header line, in chunks; empty cells become null.

    `row` counts records from 1; empty lines count but are no rows. Only `wanted` columns are kept. `preamble` reads the
    first record when it is not yet the header, and what it returns holds for every row as if it were a column.
    Raises UnreadableFileError when the file is truncated, is no UTF-8 text, or a record has another number of cells.
    """
    try:
        with open_text(path) as stream:
            records = csv.reader(stream, delimiter=separator, strict=True)
            about = preamble(next(records, []), file=file) if preamble else {}
            yield from _read(records, file=file, wanted=wanted, about=about)
    except csv.Error as error:
        raise _no_table(place=f"{file}: the header") from error
    except UNREADABLE as error:
        raise unreadable(error, path, file=file) from error


# What decompression and decoding raise for files that are damaged or something else.
UNREADABLE = (OSError, EOFError, zlib.error, UnicodeDecodeError)


def open_text(path: Path) -> IO[str]:
    """Open a UTF-8 text file, decompressing it when its name ends in .gz."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def unreadable(error: BaseException, path: Path, *, file: str) -> UnreadableFileError:
    """Return the error a user should see for one of UNREADABLE, raised while the text in `path` was read."""
    if isinstance(error, UnicodeDecodeError):
        return _no_text(path, file)
    if isinstance(error, gzip.BadGzipFile) and "Not a gzipped file" in str(error):
        return UnreadableFileError(
            what="this is no gzip file", where=file, hint="Compress it, or drop .gz from its name."
        )
    if isinstance(error, EOFError | zlib.error | gzip.BadGzipFile):
        return UnreadableFileError(
            what="the compressed file is truncated or damaged", where=file, hint="Copy or download it again."
        )
    return UnreadableFileError(what=f"the file cannot be read: {error}", where=file, hint="Check its permissions.")


_UTF8 = "Save it as UTF-8 (spreadsheets call it CSV UTF-8)."
# How files begin that are often taken for text, and what to do about them.
_OTHER_KINDS = {
    b"PK\x03\x04": ("a spreadsheet (.xlsx) or zip archive", "Export it from the spreadsheet as CSV (UTF-8)."),
    b"\xd0\xcf\x11\xe0": ("an old spreadsheet (.xls)", "Export it from the spreadsheet as CSV (UTF-8)."),
    b"\x1f\x8b": ("compressed (gzip)", "Add .gz to its name, in benchmark.toml too."),
    b"PAR1": ("a Parquet file", "Name it .parquet, in benchmark.toml too."),
    b"\xff\xfe": ("text in UTF-16", _UTF8),
    b"\xfe\xff": ("text in UTF-16", _UTF8),
}


def _no_text(path: Path, file: str) -> UnreadableFileError:
    with path.open("rb") as stream:
        start = stream.read(4)
    for sign, (kind, hint) in _OTHER_KINDS.items():
        if start.startswith(sign) and path.suffix != ".gz":
            return UnreadableFileError(what=f"this is no UTF-8 text but {kind}", where=file, hint=hint)
    where, found = _first_undecodable(path)
    return UnreadableFileError(
        what="this is no UTF-8 text", where=f"{file}: {where}" if where else file, found=found, hint=_UTF8
    )


def _first_undecodable(path: Path) -> tuple[str, str]:
    # the file may be truncated as well
    with suppress(OSError, EOFError, zlib.error), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                before = line[: error.start].decode().strip()[-20:]
                return f"line {number}", f"a letter in another encoding after {before!r}"
    return "", ""


def _no_table(*, place: str) -> UnreadableFileError:
    return UnreadableFileError(
        what="a quotation mark has no partner, so that cells cannot be told apart",
        where=place,
        hint="Add or remove one; inside a quoted cell it is written twice.",
    )


def _numbered(records: Iterator[list[str]], *, file: str) -> Iterator[tuple[int, list[str]]]:
    row = 0
    try:
        for row, record in enumerate(records, start=1):
            yield row, record
    except csv.Error as error:
        raise _no_table(place=f"{file}:{row + 1}: row {row + 1} below the header") from error


def _read(
    records: Iterator[list[str]], *, file: str, wanted: Container[str], about: Mapping[str, str]
) -> Iterator[RawTable]:
    first_line = next(records, None)
    header = tuple(name.strip() for name in first_line or ())
    if not header:
        what = "the file is empty" if first_line is None else "the first line is empty"
        raise UnreadableFileError(what=what, where=file, expected="a line that names the columns, then one per row")
    places = [place for place, name in enumerate(header) if name in wanted and header.index(name) == place]
    said = {name: value for name, value in about.items() if name not in header}
    numbered = _numbered(records, file=file)
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
        raise UnreadableFileError(
            what=f"row {row} below the header has another number of cells than the header{and_more(len(misshapen))}",
            where=f"{file}:{row}",
            found=f"{count} cells",
            expected=f"{len(header)}",
            hint="The file may be truncated, or a cell may hold the separator without quotation marks.",
        )
