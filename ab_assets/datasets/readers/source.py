"""What every reader hands on: rows in one layout, as written in the files, and the rows that could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import polars as pl

from ab_assets.datasets.annotations import annotations_of
from ab_assets.datasets.readers.layouts import nearest_hint
from ab_assets.datasets.rejection import join_rejected
from ab_assets.errors import BadInputError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ab_assets.benchmarks.schema import Benchmark

# One row per row of a source file, text as found (trimmed, null where empty). row counts from 1 without the header.
# antibody: rows of the same number are the chains of one antibody. part: see CURATED, in its canonical spelling.
# *_positions, *_paratope: one entry per residue, as found. annotations: see CURATED.
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
        "annotations": pl.String(),
    }
)

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


def combined(tables: Sequence[SourceTable]) -> SourceTable:
    """Return all tables as one; their antibodies are already numbered apart."""
    if not tables:
        return SourceTable(SOURCE.to_frame(), join_rejected([]))
    return SourceTable(pl.concat([one.rows for one in tables]), join_rejected([one.rejected for one in tables]))


def renumbered(table: SourceTable, *, after: int) -> tuple[SourceTable, int]:
    """Return the table with its antibodies numbered from `after` on, and where the next one starts."""
    rows = table.rows.with_columns(pl.col("antibody") + after)
    last = rows["antibody"].max()
    return SourceTable(rows, table.rejected), after if last is None else int(last) + 1  # type: ignore[arg-type]


# How many rows are read at a time.
CHUNK_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class RawTable:
    """Rows of one file: the names in its header, the number of each row, and those of the wanted columns that it has.

    Columns are as long as `rows`, of text or of lists of text.
    """

    header: tuple[str, ...]
    rows: pl.Series
    columns: Mapping[str, pl.Series]


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
            hint=nearest_hint(relative.name, present)
            or "Put it beside benchmark.toml, or run `ab-assets fetch` if it can be fetched.",
        )
    return path


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


def standardise(raw: RawTable, columns: Mapping[str, str], kept: Sequence[str] = ()) -> pl.DataFrame:
    """Return `row` and one column per field of `columns`: text trimmed and null where empty, lists as they are.

    Where columns are to be `kept`, they are in `annotations`.
    `cdrh3` from a column with "junction" in its name loses C104 and W/F118, which an AIRR junction has.
    """
    found = [raw.columns[column].alias(field) for field, column in columns.items() if column in raw.columns]
    missing = [field for field, column in columns.items() if column not in raw.columns]
    annotations = {name: raw.columns[name] for name in kept if name in raw.columns}
    frame = pl.DataFrame({"row": raw.rows}).with_columns(*found, pl.lit(None, dtype=pl.String).alias("none"))
    text = [series.name for series in found if series.dtype == pl.String]
    trimmed = {field: pl.col(field).str.strip_chars() for field in text}
    if "junction" in columns.get("cdrh3", "").lower() and "cdrh3" in trimmed:
        junction = trimmed["cdrh3"].str.strip_chars("-.")
        trimmed["cdrh3"] = junction.str.slice(1, (junction.str.len_chars().cast(pl.Int64) - 2).clip(0))
    return frame.with_columns(
        *(pl.when(value != "").then(value).alias(field) for field, value in trimmed.items()),
        *(pl.col("none").alias(field) for field in missing),
        *([annotations_of(annotations)] if annotations else []),
    ).select("row", *columns, *(["annotations"] if annotations else []))
