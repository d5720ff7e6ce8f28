"""Tables with one row per antibody (format `table`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ab_assets.datasets.readers.lists import as_list
from ab_assets.datasets.readers.source import SOURCE, SourceTable
from ab_assets.datasets.rejection import Sieve
from ab_assets.tables import conform

if TYPE_CHECKING:
    from collections.abc import Sequence


def antibodies_from_table(frames: Sequence[pl.DataFrame]) -> SourceTable:
    """Return the rows of all files in one layout; each row is an antibody of its own.

    `frames`: standardised columns with `file`, `row` and `part`.
    """
    rows = pl.concat([_with_lists(frame) for frame in frames], how="diagonal_relaxed")
    rows = rows.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("antibody"))
    return SourceTable(conform(rows, SOURCE), Sieve(rows).rejected)


def _with_lists(frame: pl.DataFrame) -> pl.DataFrame:
    names = [name for name in ("vh_positions", "vl_positions") if name in frame.columns]
    return frame.with_columns(as_list(frame, name, one_sign_each=False).alias(name) for name in names)
