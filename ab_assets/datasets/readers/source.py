"""What every reader hands on: rows in one layout, as written in the files, and the rows that could not be read."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import polars as pl

from ab_assets.errors import BadInputError, Problem, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ab_assets.benchmarks.schema import Benchmark

# One row per row of a source file, text as found (trimmed, null where empty). row counts from 1 without the header.
# antibody: rows of the same number are the chains of one antibody. part: see CURATED, in its canonical spelling.
# *_positions, *_paratope: one entry per residue, as found.
SOURCE = pl.Schema(
    {
        "file": pl.String(),
        "row": pl.Int64(),
        "antibody": pl.Int64(),
        "sequence_id": pl.String(),
        "vh": pl.String(),
        "vl": pl.String(),
        "vh_positions": pl.List(pl.String),
        "vl_positions": pl.List(pl.String),
        "cdrh3": pl.String(),
        "label": pl.String(),
        "vh_paratope": pl.List(pl.String),
        "vl_paratope": pl.List(pl.String),
        "subject_id": pl.String(),
        "entry": pl.String(),
        "part": pl.String(),
        "date": pl.String(),
        "v_call": pl.String(),
        "j_call": pl.String(),
    }
)

_ABOUT = ("sequence_id", "cdrh3", "label", "subject_id", "entry", "part", "date", "v_call", "j_call")
# Which entries of [columns] each format reads.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "table": (*_ABOUT, "vh", "vl", "vh_positions", "vl_positions"),
    "sabdab": (*_ABOUT, "chain", "sequence", "positions", "paratope"),
    "fasta": _ABOUT,
}

_PARTS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}


@dataclass(frozen=True, slots=True)
class SourceTable:
    """Rows as read (SOURCE) and rows that are not usable in any benchmark (REJECTED)."""

    rows: pl.DataFrame
    rejected: pl.DataFrame

    @property
    def source_rows(self) -> int:
        """How many rows (for per-chain formats: chains) the files hold."""
        return self.rows.height + self.rejected.height


@dataclass(frozen=True, slots=True)
class RawTable:
    """One file: the names in its header, the number of each row, and those of the wanted columns that it has.

    Columns are as long as `rows`, of text or of lists of text.
    """

    header: tuple[str, ...]
    rows: pl.Series
    columns: Mapping[str, pl.Series]


def declared_columns(benchmark: Benchmark) -> dict[str, str]:
    """Return {field: column name} of what [columns] declares and the benchmark's format reads."""
    found = {field: getattr(benchmark.columns, field) for field in FIELDS[benchmark.source.format]}
    return {field: column for field, column in found.items() if column is not None}


def column_of(benchmark: Benchmark, field: str) -> str:
    """Return the name under which the user knows `field`: the declared column, or the field where none is declared."""
    return declared_columns(benchmark).get(field, field)


def column_of_chain(benchmark: Benchmark, field: str) -> str:
    """Return the user's column for `field`, one of vh, vl, *_positions and *_paratope, whatever the format calls it."""
    if benchmark.source.format == "table":
        return column_of(benchmark, field)
    kind = field.partition("_")[2] or "sequence"
    return column_of(benchmark, kind) if benchmark.source.format == "sabdab" else kind


def source_path(folder: Path, file: str) -> Path:
    """Return where `file` is, and make sure that it is a file inside `folder`.

    Raises BadInputError when the name leads out of the folder, UnknownNameError when there is no such file.
    """
    relative = PurePosixPath(file)
    if relative.is_absolute() or ".." in relative.parts or "\\" in file or not relative.parts:
        raise BadInputError(
            what="this file name leads out of the benchmark's folder",
            where="benchmark.toml",
            found=repr(file),
            expected="a path inside the folder",
            hint="Copy the file into the folder.",
        )
    path = folder / relative
    if not path.is_file():
        present = sorted(p.name for p in path.parent.iterdir() if p.is_file()) if path.parent.is_dir() else []
        raise UnknownNameError(
            what="there is no such file",
            where=file,
            hint=nearest_hint(relative.name, present) or "Put it there, or run `ab-assets fetch` if it can be fetched.",
        )
    return path


def nearest_hint(name: str, names: Sequence[str]) -> str:
    """Return "Did you mean ...?" with the nearest of `names`, or nothing when none is near."""
    spelled = {other.casefold(): other for other in reversed(names)}
    near = difflib.get_close_matches(name.casefold(), list(spelled), n=1, cutoff=0.6)
    if not near:
        within = [other for folded, other in spelled.items() if folded and folded in name.casefold()]
        within += [other for folded, other in spelled.items() if name.casefold() in folded]
        return f"Did you mean {within[0]!r}?" if within else ""
    return f"Did you mean {spelled[near[0]]!r}?"


def missing_columns(benchmark: Benchmark, file: str, header: Sequence[str]) -> list[Problem]:
    """Return one Problem for each declared column that `file` lacks or has twice, naming the nearest one it has."""
    problems = []
    for field, column in declared_columns(benchmark).items():
        if header.count(column) == 1:
            continue
        twice = column in header
        problems.append(
            Problem(
                what=f"column {column!r} (columns.{field}) is {'there more than once' if twice else 'missing'}",
                where=file,
                found=", ".join(repr(name) for name in header[:12]) + (", ..." if len(header) > 12 else ""),
                hint="Rename one of them." if twice else _missing_hint(column, header),
            )
        )
    return problems


def part_of_file(benchmark: Benchmark, file: str) -> str | None:
    """Return the part that every row of `file` belongs to, or None when files do not say it."""
    split = benchmark.split
    if file in split.test_files:
        return "test"
    if split.policy != "published":
        return None
    members = {"train": split.parts.train, "validation": split.parts.validation, "test": split.parts.test}
    return next((part for part, files in members.items() if file in files), None)


def reads_part_column(benchmark: Benchmark) -> bool:
    """Tell whether rows say themselves which part they belong to: published splits with a column for it."""
    return benchmark.split.policy == "published" and benchmark.columns.part is not None


def canonical_part(column: str) -> pl.Expr:
    """Return "train", "validation" or "test" for the usual spellings in `column`; null for anything else."""
    return pl.col(column).str.to_lowercase().replace_strict(_PARTS, default=None, return_dtype=pl.String)


def standardise(raw: RawTable, columns: Mapping[str, str]) -> pl.DataFrame:
    """Return `row` and one column per field of `columns`: text trimmed and null where empty, lists as they are."""
    found = [raw.columns[column].alias(field) for field, column in columns.items() if column in raw.columns]
    missing = [field for field, column in columns.items() if column not in raw.columns]
    frame = pl.DataFrame({"row": raw.rows}).with_columns(*found, pl.lit(None, dtype=pl.String).alias("none"))
    text = [series.name for series in found if series.dtype == pl.String]
    trimmed = {field: pl.col(field).str.strip_chars() for field in text}
    return frame.with_columns(
        *(pl.when(value != "").then(value).alias(field) for field, value in trimmed.items()),
        *(pl.col("none").alias(field) for field in missing),
    ).select("row", *columns)


def _missing_hint(column: str, header: Sequence[str]) -> str:
    for sign in (";", "\t", ",", "|"):
        if len(header) == 1 and sign in header[0]:
            return f"The header holds {sign!r}: is the file separated by it? csv means ',', tsv means tab."
    return nearest_hint(column, header) or "Name an existing column in benchmark.toml, or leave the entry out."
