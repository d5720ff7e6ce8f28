"""What a source says beyond the columns that are read: one JSON object per antibody, for the columns that are kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

_BETWEEN = "|"


def annotations_of(kept: Mapping[str, pl.Series]) -> pl.Series:
    """Return {column: value} as JSON text with sorted keys, without empty cells; null where all are empty.

    kept: at least one column, of text or of lists of text, whose entries are then separated by spaces.
    """
    names = sorted(kept)
    cells = pl.DataFrame({str(place): _text(kept[name]) for place, name in enumerate(names)})
    members = [
        pl.when(pl.col(str(place)) != "").then(
            pl.struct(pl.col(str(place)).alias(name)).struct.json_encode().str.strip_prefix("{").str.strip_suffix("}")
        )
        for place, name in enumerate(names)
    ]
    inside = pl.concat_str(*members, separator=",", ignore_nulls=True)
    return cells.select(pl.when(inside != "").then(pl.format("{{{}}}", inside)).alias("annotations"))["annotations"]


def joined_annotations(texts: pl.Series) -> pl.Series:
    """Return one JSON text for each list of distinct ones: the values of a column sorted, distinct, joined by "|"."""
    alone = texts.list.get(0, null_on_oob=True)
    several = texts.list.len() > 1
    if not several.any():
        return alone
    joined = pl.Series([_joined(of_one) for of_one in texts.filter(several).to_list()], dtype=pl.String)
    return alone.scatter(several.arg_true(), joined)


def _text(values: pl.Series) -> pl.Series:
    text = values.list.join(" ", ignore_nulls=True) if isinstance(values.dtype, pl.List) else values
    return text.str.strip_chars()


def _joined(texts: list[str]) -> str:
    values: dict[str, set[str]] = {}
    for text in texts:
        for name, value in json.loads(text).items():
            values.setdefault(name, set()).add(value)
    together = {name: _BETWEEN.join(sorted(values[name])) for name in sorted(values)}
    return json.dumps(together, ensure_ascii=False, separators=(",", ":"))
