"""The Coronavirus Antibody Database (format `cov-abdab`): what each antibody binds or neutralises, for one antigen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ab_assets.datasets.readers.antibodies import antibodies_from_table
from ab_assets.datasets.readers.layouts import STANDARD, nearest_hint
from ab_assets.datasets.readers.source import SourceTable
from ab_assets.datasets.rejection import Sieve, join_rejected
from ab_assets.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ab_assets.benchmarks.schema import Benchmark

# How the database writes "not determined".
_NOT_DETERMINED = ("ND", "N/A", "TBC", "unknown")
_EVIDENCE = {"binding": ("binds", "does_not_bind"), "neutralisation": ("neutralises", "does_not_neutralise")}
_ALL_EVIDENCE = tuple(name for names in _EVIDENCE.values() for name in names)
_WEAK = r"(?i)\s*\(\s*weak(?:ly)?\s*\)\s*$"


def antibodies_from_cov_abdab(frames: Sequence[pl.DataFrame], benchmark: Benchmark) -> SourceTable:
    """Return the antibodies of all files, labelled "yes" or "no" for `source.antigen`, or not at all.

    "ND" is no sequence, gene names lose their species, nanobodies have no VL. An antigen stands in a list separated by
    ";", perhaps with "(weak)": `source.weak` decides what that counts as. Rejects "contradictory-evidence" (the antigen
    in both lists) and "weak-evidence". Raises BadInputError when no row names the antigen.
    """
    rows = pl.concat(frames, how="diagonal_relaxed")
    for name in STANDARD["cov-abdab"]:
        if name not in rows.columns:
            rows = rows.with_columns(pl.lit(None, dtype=pl.String).alias(name))
    rows = rows.with_columns(
        *(_determined(name) for name in ("vh", "vl", "cdrh3")),
        *(_determined(name).str.replace(r"\s*\(.*\)$", "").alias(name) for name in ("v_call", "j_call")),
    )
    source = benchmark.source
    antigen = source.antigen or ""
    positive, negative = _EVIDENCE[source.evidence]
    _require_known(rows, antigen, (positive, negative))
    yes, no = (_names(column, antigen) for column in (positive, negative))
    sieve = Sieve(rows.with_columns(yes.alias("yes"), no.alias("no"), _is_weak(positive, antigen)))
    column, opposite = (STANDARD["cov-abdab"][name][0] for name in (positive, negative))
    sieve.reject(
        pl.col("yes") & pl.col("no"),
        reason="contradictory-evidence",
        column=column,
        value=positive,
        detail=pl.format("column {} names it too: {}", pl.lit(repr(opposite)), negative),
    )
    if source.weak == "drop":
        sieve.reject(
            pl.col("yes") & pl.col("weak"),
            reason="weak-evidence",
            column=column,
            value=positive,
            detail='say weak = "positive" or "negative" in [source] to keep it',
        )
    counts_as_no = pl.lit(source.weak == "negative") & pl.col("weak")
    label = (
        pl.when(pl.col("yes") & ~counts_as_no).then(pl.lit("yes")).when(pl.col("no") | pl.col("yes")).then(pl.lit("no"))
    )
    read = antibodies_from_table(
        [sieve.rows.with_columns(label.alias("label")).drop("yes", "no", "weak", *_ALL_EVIDENCE)]
    )
    return SourceTable(read.rows, join_rejected([read.rejected, sieve.rejected]))


def _determined(column: str) -> pl.Expr:
    text = pl.col(column).str.strip_chars()
    return pl.when(~text.is_in(_NOT_DETERMINED)).then(text).alias(column)


def _listed(column: str) -> pl.Expr:
    """The entries of a list, with "(weak)" where it stands."""
    return pl.col(column).fill_null("").str.split(";").list.eval(pl.element().str.strip_chars())


def _names(column: str, antigen: str) -> pl.Expr:
    return _listed(column).list.eval(_is(antigen)).list.any()


def _is_weak(column: str, antigen: str) -> pl.Expr:
    firmly = _listed(column).list.eval(_is(antigen) & ~pl.element().str.contains(_WEAK)).list.any()
    return (_names(column, antigen) & ~firmly).alias("weak")


def _is(antigen: str) -> pl.Expr:
    return pl.element().str.replace(_WEAK, "").str.to_lowercase() == antigen.lower()


def _require_known(rows: pl.DataFrame, antigen: str, columns: tuple[str, str]) -> None:
    named = pl.concat(
        [rows.select(_listed(column).explode().str.replace(_WEAK, "").alias("name")) for column in columns]
    )
    names = [name for name in named["name"].value_counts(sort=True)["name"].to_list() if name]
    if not antigen or antigen.lower() in {name.lower() for name in names}:
        return
    held = " and ".join(f"'{STANDARD['cov-abdab'][column][0]}'" for column in columns)
    raise BadInputError(
        what="no row names this antigen",
        where="benchmark.toml: source.antigen",
        found=repr(antigen),
        expected=(f"one of {', '.join(names[:10])}" + (", ..." if len(names) > 10 else "")) if names else "",
        hint=nearest_hint(antigen, names) or f"Names are in columns {held}.",
    )
