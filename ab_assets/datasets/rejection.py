"""Rows that fail a rule are set apart with file, row, column, value and reason; every row ends on one side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ab_assets.tables import REJECTED, conform

if TYPE_CHECKING:
    from collections.abc import Sequence


class Sieve:
    """Source rows (with columns `file` and `row`) on their way through rules; the first rule a row fails names it."""

    def __init__(self, rows: pl.DataFrame) -> None:
        self.rows = rows
        self._rejected: list[pl.DataFrame] = []

    def reject(
        self, failing: pl.Expr, *, reason: str, column: str | None, value: str | pl.Expr, detail: str | pl.Expr
    ) -> None:
        """Move the rows where `failing` is true to the rejected ones; null counts as passed.

        `value` names a column, or is an expression; `detail` is a sentence, or an expression.
        """
        verdict = self.rows.select(failing.fill_null(value=False).alias("failing"))["failing"]
        if not verdict.any():
            return
        failed = self.rows.filter(verdict)
        self._rejected.append(
            failed.select(
                "file",
                "row",
                pl.lit(column, dtype=pl.String).alias("column"),
                (pl.col(value) if isinstance(value, str) else value).cast(pl.String).alias("value"),
                pl.lit(reason).alias("reason"),
                (pl.lit(detail) if isinstance(detail, str) else detail).cast(pl.String).alias("detail"),
            )
        )
        self.rows = self.rows.filter(~verdict)

    @property
    def rejected(self) -> pl.DataFrame:
        """REJECTED: one row per source row that failed."""
        return join_rejected(self._rejected)


def and_more(rows: int) -> str:
    """Return " (and 2 more rows)" for three rows of which one is shown, nothing for a single one."""
    more = rows - 1
    return f" (and {more} more row{'s' if more > 1 else ''})" if more else ""


def join_rejected(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return one REJECTED table of all `frames`, in the order of the files."""
    if not frames:
        return REJECTED.to_frame()
    return conform(pl.concat(frames), REJECTED).sort("file", "row", maintain_order=True)
