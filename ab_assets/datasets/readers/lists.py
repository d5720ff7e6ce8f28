"""Per-residue lists as people write them: parquet lists, "1 2 3", "['1', '2']", "0010"."""

from __future__ import annotations

import polars as pl

# Separators and brackets around the entries of a list in a text cell.
_ENTRY = r"[^\s,;|\[\](){}'\"]+"
_SEPARATED = r"[\s,;|]"


def as_list(frame: pl.DataFrame, column: str, *, one_sign_each: bool) -> pl.Expr:
    """Return `column` as a list of text; a list without entries becomes null.

    Text is split at white space, commas, semicolons and bars; brackets and quotes are ignored. With `one_sign_each`,
    text without a separator has one sign per residue ("0010").
    """
    if isinstance(frame.schema[column], pl.List):
        entries = pl.col(column).cast(pl.List(pl.String))
    else:
        text = pl.col(column).cast(pl.String).str.strip_chars(" \t\r\n[](){}'\"")
        tokens = text.str.extract_all(_ENTRY)
        signs = text.str.extract_all(r"\S")
        joined = pl.lit(one_sign_each) & ~text.str.contains(_SEPARATED)
        entries = pl.when(joined).then(signs).otherwise(tokens)
    return pl.when(entries.list.len() > 0).then(entries)
