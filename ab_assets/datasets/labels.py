"""Labels as people write them become true, false, or nothing: "1", "1.0" and 1 are one value, NA is none."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

# What table programs write for "no value"; "none" is left out, since people write it for "does not bind".
_MISSING = frozenset({"", "na", "n/a", "nan", "<na>", "null"})
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


def canonical(value: str) -> str:
    """Return the one spelling of `value`: "1" for "1.0", " 1 " and "1e0", "true" for "TRUE"; other text is kept."""
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return str(Fraction(text))
    return text.lower() if text.lower() in {"true", "false"} else text


def is_missing(value: str) -> bool:
    """Tell whether `value` is an empty cell, or what table programs write for one (NA, NaN, null)."""
    return value.strip().lower() in _MISSING


def read_labels(values: pl.Series, *, positive: Sequence[str], negative: Sequence[str]) -> tuple[pl.Series, pl.Series]:
    """Return (label, undeclared), both Boolean and as long as `values` (text).

    label: true for declared positives; false for declared negatives or, where none are declared, for every other
    value; null where there is no value. undeclared: true where negatives are declared and a value is neither.
    """
    positives, negatives = {canonical(value) for value in positive}, {canonical(value) for value in negative}
    meaning: dict[str, bool | None] = {}
    undeclared: list[str] = []
    for value in values.drop_nulls().unique().to_list():
        spelling = canonical(value)
        if spelling in positives:
            meaning[value] = True
        elif spelling in negatives:
            meaning[value] = False
        elif is_missing(value):
            meaning[value] = None
        elif negatives:
            undeclared.append(value)
        else:
            meaning[value] = False
    label = values.replace_strict(
        list(meaning), pl.Series(list(meaning.values()), dtype=pl.Boolean), default=None, return_dtype=pl.Boolean
    )
    return label, values.is_in(undeclared).fill_null(value=False)
