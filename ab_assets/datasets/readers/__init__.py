"""Source files of every format become one layout (SOURCE), each row either readable or rejected with a reason."""

from __future__ import annotations

from contextlib import closing
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import polars as pl

from ab_assets.datasets.readers.airr import antibodies_from_airr
from ab_assets.datasets.readers.antibodies import antibodies_from_table
from ab_assets.datasets.readers.archives import SourceFiles
from ab_assets.datasets.readers.chains import antibodies_from_chains
from ab_assets.datasets.readers.cov_abdab import antibodies_from_cov_abdab
from ab_assets.datasets.readers.delimited import SEPARATORS, read_delimited
from ab_assets.datasets.readers.fasta import SUFFIXES as FASTA_SUFFIXES
from ab_assets.datasets.readers.fasta import antibodies_from_fasta, read_fasta
from ab_assets.datasets.readers.layouts import (
    columns_in,
    kept_columns,
    missing_columns,
    not_of_the_format,
    readable_columns,
    stands_alone,
)
from ab_assets.datasets.readers.oas import antibodies_from_oas, metadata_of
from ab_assets.datasets.readers.parquet import read_parquet
from ab_assets.datasets.readers.source import (
    SOURCE,
    RawTable,
    SourceTable,
    canonical_part,
    combined,
    part_of_file,
    reads_part_column,
    renumbered,
    standardise,
)
from ab_assets.datasets.rejection import Sieve, join_rejected
from ab_assets.errors import BadInputError, InvalidBenchmarkError, Problem

if TYPE_CHECKING:
    from collections.abc import Container, Generator, Iterator
    from pathlib import Path

    from ab_assets.benchmarks.schema import Benchmark
    from ab_assets.datasets.readers.delimited import Preamble

_OF_TABLES = {
    "sabdab": antibodies_from_chains,
    "airr": antibodies_from_airr,
    "oas": antibodies_from_oas,
    "cov-abdab": antibodies_from_cov_abdab,
}

__all__ = [
    "SOURCE",
    "SourceTable",
    "chunks_as_far_as_possible",
    "read_chunks",
    "read_header",
    "read_raw",
    "read_source",
    "suffix_of",
]


def read_source(benchmark: Benchmark, folder: Path) -> SourceTable:
    """Return the rows of all source files of `benchmark`, which lie in `folder`.

    Raises InvalidBenchmarkError with every missing or unreadable file and every declared column that is missing.
    """
    return combined(list(read_chunks(benchmark, folder)))


def read_chunks(benchmark: Benchmark, folder: Path) -> Iterator[SourceTable]:
    """Yield the rows that read_source returns, some 100,000 at a time; raises as it does, after the last of them."""
    problems: list[Problem] = []
    yield from chunks_as_far_as_possible(benchmark, folder, problems)
    if problems:
        raise InvalidBenchmarkError(name=benchmark.name, problems=problems)


def chunks_as_far_as_possible(benchmark: Benchmark, folder: Path, problems: list[Problem]) -> Iterator[SourceTable]:
    """Yield the rows that can be read, and append what is wrong with the others to `problems` on the way.

    A declared column that a file lacks is null; a file without the columns of its format gives no rows. Rows that may
    belong to the antibody of a far row (chains that are paired) come together, as one chunk.
    """
    held: list[pl.DataFrame] = []
    records: list[pl.DataFrame] = []
    known = 0
    with SourceFiles(benchmark.source, folder) as sources:
        for file in benchmark.source.files:
            try:
                if benchmark.source.format == "fasta" and suffix_of(file) in FASTA_SUFFIXES:
                    frame = read_fasta(sources.path(file), file=file)
                    records.append(_placed(frame, benchmark, file, with_part=True))
                    continue
                for frame in _read_table(benchmark, sources.path(file), file, problems):
                    if not stands_alone(benchmark, frame.columns):
                        held.append(frame)
                        continue
                    chunk, known = renumbered(_assembled(benchmark, [frame], []), after=known)
                    yield chunk
            except BadInputError as error:
                problems.append(error.problem)
    if held or records:
        try:
            yield renumbered(_assembled(benchmark, held, records), after=known)[0]
        except BadInputError as error:
            problems.append(error.problem)


def suffix_of(file: str) -> str:
    """Return what the name says about the format, in lower case and without .gz: ".csv", ".fasta" ..."""
    path = PurePosixPath(file.lower())
    return PurePosixPath(path.stem).suffix if path.suffix == ".gz" else path.suffix


def read_raw(path: Path, *, file: str, wanted: Container[str], preamble: Preamble | None = None) -> Generator[RawTable]:
    """Yield the rows of one table whose format its name tells: .csv, .tsv (also .gz) or .parquet.

    There is at least one chunk, if only for its header. `preamble` reads the line before the header, where a text table
    has one.
    Raises BadInputError for another name, UnreadableFileError for a file that is not what its name says.
    """
    suffix = suffix_of(file)
    if suffix in SEPARATORS:
        return read_delimited(path, file=file, separator=SEPARATORS[suffix], wanted=wanted, preamble=preamble)
    if suffix == ".parquet" and not file.lower().endswith(".gz"):
        return read_parquet(path, file=file, wanted=wanted)
    raise BadInputError(
        what="the file's name does not tell its format",
        where=file,
        expected=".csv, .tsv, .csv.gz, .tsv.gz or .parquet",
        hint='Export spreadsheets as CSV (UTF-8); FASTA files need format = "fasta" in [source].',
    )


def read_header(path: Path, *, file: str) -> tuple[str, ...]:
    """Return the names in the header of a table, as read_raw."""
    with closing(read_raw(path, file=file, wanted=())) as chunks:
        return next(chunks).header


def _read_table(benchmark: Benchmark, path: Path, file: str, problems: list[Problem]) -> Iterator[pl.DataFrame]:
    preamble = metadata_of if benchmark.source.format == "oas" else None
    known = False
    for raw in read_raw(path, file=file, wanted=readable_columns(benchmark), preamble=preamble):
        columns = columns_in(benchmark, raw.header)
        if not reads_part_column(benchmark):
            columns.pop("part", None)
        if not known:
            problems += missing_columns(benchmark, file, raw.header)
            if other := not_of_the_format(benchmark, file, raw.header):
                problems += other
                return
            known = True
        kept = kept_columns(benchmark, raw.header)
        yield _placed(standardise(raw, columns, kept), benchmark, file, with_part=benchmark.source.format != "fasta")


def _placed(frame: pl.DataFrame, benchmark: Benchmark, file: str, *, with_part: bool) -> pl.DataFrame:
    """Add `file` and, where the file as a whole belongs to a part, `part`."""
    frame = frame.with_columns(pl.lit(file).alias("file"))
    part = part_of_file(benchmark, file)
    if with_part and (part is not None or "part" not in frame.columns):
        return frame.with_columns(pl.lit(part, dtype=pl.String).alias("part"))
    return frame


def _assembled(benchmark: Benchmark, tables: list[pl.DataFrame], records: list[pl.DataFrame]) -> SourceTable:
    if not tables and not records:
        return SourceTable(SOURCE.to_frame(), join_rejected([]))
    if benchmark.source.format == "table":
        source = antibodies_from_table(tables)
    elif benchmark.source.format in _OF_TABLES:
        source = _OF_TABLES[benchmark.source.format](tables, benchmark)
    elif records:
        source = antibodies_from_fasta(records, tables, benchmark)
    else:
        return SourceTable(SOURCE.to_frame(), join_rejected([]))
    return _with_canonical_part(source, benchmark)


def _with_canonical_part(source: SourceTable, benchmark: Benchmark) -> SourceTable:
    if not reads_part_column(benchmark):
        return source
    sieve = Sieve(source.rows.with_columns(canonical_part("part").alias("canonical")))
    sieve.reject(
        pl.col("canonical").is_null(),
        reason="undeclared-part",
        column=benchmark.columns.part,
        value="part",
        detail="expected train, validation or test",
    )
    rows = sieve.rows.with_columns(pl.col("canonical").alias("part")).drop("canonical")
    return SourceTable(rows, join_rejected([source.rejected, sieve.rejected]))
