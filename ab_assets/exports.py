"""Tables as CSV that a spreadsheet shows and does not execute."""

from __future__ import annotations

import polars as pl

# What spreadsheets take for the start of a formula: OWASP, "CSV Injection".
FORMULA_STARTS = r"^[=+\-@\t\r\n]"


def _neutral(column: pl.Expr) -> pl.Expr:
    return pl.when(column.str.contains(FORMULA_STARTS)).then(pl.concat_str(pl.lit("'"), column)).otherwise(column)


def _as_text(frame: pl.DataFrame, name: str) -> pl.Expr:
    dtype = frame.schema[name]
    column = pl.col(name)
    if isinstance(dtype, pl.List):
        column = column.cast(pl.List(pl.String)).list.join("|", ignore_nulls=True)
    elif dtype not in {pl.String, pl.Categorical} and not isinstance(dtype, pl.Enum):
        return column
    return _neutral(column.cast(pl.String)).alias(name)


def export_csv(frame: pl.DataFrame) -> str:
    """Return CSV in which text that a spreadsheet would run starts with an apostrophe; numbers stay numbers.

    Lists become text joined by "|", since a spreadsheet may take ";" for the next cell.
    """
    safe = frame.select(_as_text(frame, name) for name in frame.columns)
    safe.columns = pl.DataFrame({"name": frame.columns}).select(name=_neutral(pl.col("name")))["name"].to_list()
    return safe.write_csv()
