"""Sequences and their per-residue lists are cleaned together, so that each entry stays with its residue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ab_assets.datasets import imgt
from ab_assets.datasets.readers.layouts import column_of_chain

if TYPE_CHECKING:
    from ab_assets.benchmarks.schema import Benchmark
    from ab_assets.datasets.rejection import Sieve

# The twenty amino acids and X, an unknown residue.
AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWYX"
# Letters for more than one amino acid (B, J, Z) and for rare ones (O, U).
_AMBIGUOUS = "BJOUZ"
# No V domain is made of alanine, cysteine, glycine and threonine alone.
_NUCLEOTIDES = "^[ACGTN]{20,}$"

_GAPS = "-."
_GAP = r"\-."  # the same inside a regular expression's brackets
_ILLEGAL = f"[^{AMINO_ACIDS}{AMINO_ACIDS.lower()}]"
_FLAGS = {"1": True, "1.0": True, "true": True, "t": True, "0": False, "0.0": False, "false": False, "f": False}


def clean_chain(sieve: Sieve, chain: str, benchmark: Benchmark) -> None:
    """Bring one chain of all rows into CURATED's form; rows where that cannot be done are rejected.

    White space, gaps ("-", ".") and a "*" at the end are removed and letters made upper case; a per-residue list loses
    the entries of removed signs, unless it already has one entry per residue. Positions become null where a residue
    has none ("", "-"), paratope entries become booleans. Rejects "illegal-residue", "length", "length-mismatch",
    "illegal-position" and "illegal-paratope".
    """
    written = pl.col(chain).str.replace_all(r"\s", "")
    residues = written.str.replace_all(f"[{_GAP}]", "").str.replace(r"\*+$", "")
    residues = pl.when(residues != "").then(residues)
    sieve.rows = sieve.rows.with_columns(written.alias("written"), residues.alias(chain))
    column = column_of_chain(benchmark, chain)
    if benchmark.curation.ambiguous == "x":
        sieve.rows = sieve.rows.with_columns(pl.col(chain).str.replace_all(f"[{_AMBIGUOUS}{_AMBIGUOUS.lower()}]", "X"))
    # Case is changed only after this rule: the capital of some letters outside the alphabet is an amino acid.
    sieve.reject(
        pl.col(chain).str.contains(_ILLEGAL),
        reason="illegal-residue",
        column=column,
        value=pl.col(chain).str.extract(f"({_ILLEGAL})"),
        detail=pl.format("sign {} of {}", _place_of_first_illegal(), pl.col("written").str.len_chars()),
    )
    sieve.rows = sieve.rows.with_columns(pl.col(chain).str.to_uppercase())
    sieve.reject(
        pl.col(chain).str.contains(_NUCLEOTIDES),
        reason="nucleotides",
        column=column,
        value=pl.col(chain).str.head(20),
        detail="these are nucleotides; translate them, or name a column with amino acids under [columns]",
    )
    if benchmark.curation.unknown == "reject":
        sieve.reject(
            pl.col(chain).str.contains("X", literal=True),
            reason="unknown-residue",
            column=column,
            value=pl.lit("X"),
            detail=pl.format(
                "residue {} of {}", pl.col(chain).str.find("X", literal=True) + 1, pl.col(chain).str.len_chars()
            ),
        )
    shortest, longest = benchmark.curation.vh_length if chain == "vh" else benchmark.curation.vl_length
    length = pl.col(chain).str.len_chars()
    sieve.reject(
        ~length.is_between(shortest, longest),
        reason="length",
        column=column,
        value=length,
        detail=f"expected {shortest} to {longest} residues",
    )
    for field in (f"{chain}_positions", f"{chain}_paratope"):
        _fit_list(sieve, chain, field, column=column_of_chain(benchmark, field))
    _clean_positions(sieve, f"{chain}_positions", column=column_of_chain(benchmark, f"{chain}_positions"))
    _clean_paratope(sieve, f"{chain}_paratope", column=column_of_chain(benchmark, f"{chain}_paratope"))
    sieve.rows = sieve.rows.drop("written")


def clean_cdrh3(frame: pl.DataFrame) -> pl.DataFrame:
    """Return `frame` with `cdrh3` in upper case, without white space and gaps."""
    text = pl.col("cdrh3").str.replace_all(rf"[\s{_GAP}]", "").str.to_uppercase()
    return frame.with_columns(pl.when(text != "").then(text).alias("cdrh3"))


def _place_of_first_illegal() -> pl.Expr:
    """Count, from 1, the signs of `written` up to its first illegal one; a "*" is legal only in the final run."""
    body = pl.col("written").str.replace(rf"[*{_GAP}]*$", "")
    return body.str.extract(f"^([{AMINO_ACIDS}{AMINO_ACIDS.lower()}{_GAP}]*)").str.len_chars() + 1


def _fit_list(sieve: Sieve, chain: str, field: str, *, column: str) -> None:
    sieve.rows = sieve.rows.with_columns(pl.when(pl.col(chain).is_not_null()).then(field).alias(field))
    entries, residues = pl.col(field).list.len(), pl.col(chain).str.len_chars()
    written = pl.col("written").str.len_chars()
    sieve.reject(
        (entries != residues) & (entries != written),
        reason="length-mismatch",
        column=column,
        value=entries,
        detail=pl.format("expected {}, one for each residue", residues),
    )
    _drop_removed(sieve, entries != residues, field)


def _without_removed(written: str, entries: list[str | None]) -> list[str | None]:
    last = len(written.rstrip(f"*{_GAPS}"))
    return [
        entry
        for place, (sign, entry) in enumerate(zip(written, entries, strict=True))
        if sign not in _GAPS and place < last
    ]


def _drop_removed(sieve: Sieve, chosen: pl.Expr, field: str) -> None:
    """Drop the entries of removed signs in the few rows that are `chosen`."""
    rows = sieve.rows.with_row_index("ordinal")
    few = rows.filter(chosen).select("ordinal", "written", field)
    if few.is_empty():
        return
    fitted = [_without_removed(written, entries) for _, written, entries in few.iter_rows()]
    few = few.select("ordinal", pl.Series("fitted", fitted, dtype=pl.List(pl.String)))
    rows = rows.join(few, on="ordinal", how="left", maintain_order="left")
    sieve.rows = rows.with_columns(pl.coalesce("fitted", field).alias(field)).drop("ordinal", "fitted")


def _clean_positions(sieve: Sieve, field: str, *, column: str) -> None:
    """Entries become positions or null; what is no position, or does not ascend, rejects the row."""
    entry = pl.element().str.strip_chars()
    sieve.rows = sieve.rows.with_columns(pl.col(field).list.eval(pl.when(~entry.is_in(["", "-", "."])).then(entry)))
    spelled = sieve.rows[field].explode().drop_nulls().unique().to_list()
    unknown = pl.Series([text for text in spelled if not imgt.is_position(text)], dtype=pl.String)
    wrong = pl.element().is_in(unknown.implode())
    sieve.reject(
        pl.col(field).list.eval(wrong).list.any(),
        reason="illegal-position",
        column=column,
        value=pl.col(field).list.eval(pl.element().filter(wrong)).list.first(),
        detail="expected IMGT positions such as 27 or 111A",
    )
    ordered = pl.Series(sorted(filter(imgt.is_position, spelled), key=imgt.sort_key), dtype=pl.String)
    places = pl.Series(range(len(ordered)), dtype=pl.Int64)
    place = pl.element().drop_nulls().replace_strict(ordered, places, default=None, return_dtype=pl.Int64)
    sieve.reject(
        pl.col(field).list.eval(place.diff() <= 0).list.any(),
        reason="illegal-position",
        column=column,
        value=pl.col(field).list.eval(pl.element().drop_nulls().filter(place.diff() <= 0)).list.first(),
        detail="positions must ascend from the N to the C terminus, each at most once",
    )
    known = pl.col(field).list.drop_nulls().list.len() > 0
    sieve.rows = sieve.rows.with_columns(pl.when(known).then(field).alias(field))


def _clean_paratope(sieve: Sieve, field: str, *, column: str) -> None:
    flag = pl.element().str.to_lowercase().replace_strict(_FLAGS, default=None, return_dtype=pl.Boolean)
    sieve.rows = sieve.rows.with_columns(pl.col(field).alias("as_written"), pl.col(field).list.eval(flag))
    unknown = pl.col(field).list.eval(pl.element().is_null())
    sieve.reject(
        unknown.list.any(),
        reason="illegal-paratope",
        column=column,
        value=pl.col("as_written").list.get(unknown.list.arg_max()).fill_null("empty"),
        detail="expected 0 or 1 (or false, true) for each residue",
    )
    sieve.rows = sieve.rows.drop("as_written")
