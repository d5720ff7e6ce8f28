"""Rejected rows in the words of the person who can mend the file: one problem for each distinct mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ab_assets.datasets.readers import suffix_of
from ab_assets.datasets.readers.fasta import SUFFIXES as FASTA_SUFFIXES
from ab_assets.datasets.rejection import and_more
from ab_assets.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ab_assets.benchmarks.schema import Benchmark

Words = tuple[str, str]

# What a reason means, and what to do. Rows rejected for these contradict what benchmark.toml says, so a person decides.
_CONTRADICTIONS: Mapping[str, Words] = {
    "undeclared-label": (
        "the label is not among the declared values",
        "Add it to columns.positive or columns.negative, or correct the cell.",
    ),
    "undeclared-part": ("this is no part of a split", "Correct the cell."),
    "unknown-chain": ("the chain is neither heavy nor light", "Correct the cell, or leave such rows out."),
    "length-mismatch": ("the list has another length than the sequence", "Write one entry for each residue."),
    "illegal-position": ("this is no list of IMGT positions", ""),
    "illegal-paratope": ("this is no list of paratope labels", ""),
    "duplicate-id": ("the id is there twice", "Leave one row for each id."),
    "nucleotides": ("this is no amino-acid sequence", ""),
}
_CONFLICT = ("the same antibody has another label elsewhere", 'Correct it, or say conflicts = "drop" under [curation].')

# The others are flaws that data have: curation counts and lists them, and they are named where they leave too little.
_FLAWS: Mapping[str, Words] = {
    "illegal-residue": (
        "a sign is no amino acid",
        'Sequences are one letter for each residue; ambiguous = "x" under [curation] reads B, J, O, U and Z as X.',
    ),
    "unknown-residue": ("an X is not wanted here", 'Say unknown = "keep" under [curation] to keep it.'),
    "length": ("the chain is too short or too long", "Bounds are vh_length and vl_length under [curation]."),
    "no-sequence": ("there is no sequence", ""),
    "cdrh3-mismatch": ("the CDR-H3 is no part of the heavy chain", ""),
    "conflicting-labels": _CONFLICT,
    "ambiguous-cell": ("the cell has more than one chain of a kind", ""),
    "not-productive": ("the rearrangement is not productive", ""),
    "contradictory-evidence": ("the antigen is listed as bound and as not bound", ""),
    "weak-evidence": ("the evidence is weak", ""),
}
_UNITS = {"length-mismatch": "entries", "length": "residues"}
_SHOWN = 5


def contradictions(rejected: pl.DataFrame, benchmark: Benchmark) -> list[Problem]:
    """Return the problems of rows in REJECTED that contradict benchmark.toml; of many wrong values five are shown."""
    reasons = dict(_CONTRADICTIONS)
    if benchmark.curation.conflicts == "error":
        reasons["conflicting-labels"] = _CONFLICT
    return _explained(rejected, reasons, shown=_SHOWN)


def flaws(rejected: pl.DataFrame) -> list[Problem]:
    """Return a problem for each column and reason in REJECTED, with the first row as an example."""
    return _explained(rejected, _FLAWS, shown=1)


def _explained(rejected: pl.DataFrame, reasons: Mapping[str, Words], *, shown: int) -> list[Problem]:
    values = (
        rejected.filter(pl.col("reason").is_in(list(reasons)))
        .group_by("file", "column", "reason", "value", "detail", maintain_order=True)
        .agg(pl.col("row").first(), pl.len().alias("rows"))
    )
    problems = []
    for (file, column, reason), group in values.group_by("file", "column", "reason", maintain_order=True):
        what, advice = reasons[str(reason)]
        counts = group["rows"].to_list()
        first = [sum(counts), *counts[1:]] if shown == 1 else counts
        for value, rows in zip(group.head(shown).iter_rows(named=True), first, strict=False):
            problems.append(_problem(value, what, advice, rows=rows))
        left = sum(counts[shown:])
        if left and shown > 1:
            text = f"column {column!r}: {what} in {left} more row{'s' if left > 1 else ''}, with other values"
            problems.append(Problem(what=text, where=str(file)))
    return problems


def _problem(row: Mapping[str, str], what: str, advice: str, *, rows: int) -> Problem:
    in_record = suffix_of(row["file"]) in FASTA_SUFFIXES
    place = f"record {row['row']}" if in_record else f"row {row['row']} below the header, column {row['column']!r}"
    detail = row["detail"] or ""
    expected = detail.removeprefix("expected ") if detail.startswith("expected ") else ""
    remark = f"{detail[0].upper()}{detail[1:]}." if detail and not expected else ""
    return Problem(
        what=f"{place}: {what}{and_more(rows)}",
        where=f"{row['file']}:{row['row']}",
        found=_found(row["value"], _UNITS.get(row["reason"])),
        expected=expected,
        hint=f"{remark} {advice}".strip(),
    )


def _found(value: str | None, unit: str | None) -> str:
    if value is None:
        return "an empty cell"
    return f"{value} {unit}" if unit else repr(value)
