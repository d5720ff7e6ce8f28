"""Everything that can be said about a benchmark's data before expensive work: all problems at once, in seconds."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from ab_assets.datasets.curation import curate
from ab_assets.datasets.declarations import declaration_problems
from ab_assets.datasets.readers import chunks_as_far_as_possible
from ab_assets.datasets.readers.source import source_path
from ab_assets.errors import BadInputError, InvalidBenchmarkError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ab_assets.benchmarks.schema import Benchmark

# Rows rejected for these reasons contradict what benchmark.toml says, so a person has to decide; the others are flaws
# that data have, which curation counts and lists.
_CONTRADICTIONS = {
    "undeclared-label": "the label is not among the declared values",
    "undeclared-part": "the part is none of train, validation and test",
    "unknown-chain": "the chain is neither heavy nor light",
    "length-mismatch": "the list has another length than the sequence",
    "illegal-position": "this is no list of IMGT positions",
    "illegal-paratope": "this is no list of paratope labels",
    "duplicate-id": "the id is there twice",
    "nucleotides": "this is no amino-acid sequence",
}
_SHOWN = 5


def require_valid(benchmark: Benchmark, folder: Path) -> None:
    """Raise InvalidBenchmarkError with all problems of the benchmark's data in `folder`, if there are any."""
    problems = problems_in(benchmark, folder)
    if problems:
        raise InvalidBenchmarkError(name=benchmark.name, problems=problems)


def problems_in(benchmark: Benchmark, folder: Path) -> list[Problem]:
    """Return all that is wrong with the data of `benchmark` in `folder`, without numbering or loading a model.

    Covers what benchmark.toml declares about the data, files that are missing or unreadable, missing columns, rows that
    contradict the declaration, and classes without members.
    """
    problems = declaration_problems(benchmark)
    with tempfile.TemporaryDirectory() as spool:
        chunks = chunks_as_far_as_possible(benchmark, folder, problems)
        curation = curate(chunks, benchmark, numbering=None, spool=Path(spool))
        labels = curation.antibodies.select("part", "label", "vh_paratope", "vl_paratope").collect()
    problems += _missing_candidates(benchmark, folder)
    reasons = dict(_CONTRADICTIONS)
    if benchmark.curation.conflicts == "error":
        reasons["conflicting-labels"] = "the same antibody has another label elsewhere"
    contradictions = _contradictions(curation.rejected, reasons)
    if not problems and not contradictions:
        problems += _empty_classes(labels, curation.counts, benchmark)
    return [*problems, *contradictions]


def _missing_candidates(benchmark: Benchmark, folder: Path) -> Iterable[Problem]:
    for file in benchmark.candidates.files:
        try:
            source_path(folder, file)
        except BadInputError as error:
            yield error.problem


def _contradictions(rejected: pl.DataFrame, reasons: Mapping[str, str]) -> list[Problem]:
    """One problem per distinct value of a column and reason, the first row named; at most _SHOWN values are listed."""
    groups = (
        rejected.filter(pl.col("reason").is_in(list(reasons)))
        .group_by("file", "column", "reason", "value", "detail", maintain_order=True)
        .agg(pl.col("row").first(), pl.len().alias("rows"))
    )
    problems = []
    for (file, column, reason), values in groups.group_by("file", "column", "reason", maintain_order=True):
        for value in values.head(_SHOWN).iter_rows(named=True):
            others = f" (and {value['rows'] - 1} more rows)" if value["rows"] > 1 else ""
            problems.append(
                Problem(
                    what=f"column {column!r}: {reasons[str(reason)]}{others}",
                    where=f"{file}:{value['row']}",
                    found="an empty cell" if value["value"] is None else repr(value["value"]),
                    hint=_sentence(value["detail"]),
                )
            )
        left = sum(values["rows"].to_list()[_SHOWN:])
        if left:
            what = f"column {column!r}: {reasons[str(reason)]} in {left} more rows, with other values"
            problems.append(Problem(what=what, where=str(file)))
    return problems


def _empty_classes(labels: pl.DataFrame, counts: Mapping[str, Any], benchmark: Benchmark) -> list[Problem]:
    where = ", ".join(benchmark.source.files)
    if labels.is_empty():
        reasons = ", ".join(f"{count} {reason}" for reason, count in counts["rejected"].items())
        found = f"{counts['source_rows']} rows, rejected: {reasons}" if reasons else "no rows"
        return [Problem(what="no antibody is left after curation", where=where, found=found)]
    parts = ["train", "test"] if benchmark.split.policy == "published" else []
    problems = [] if parts else _without_class(labels, benchmark, where)
    for part in parts:
        rows = labels.filter(pl.col("part") == part)
        if rows.is_empty():
            problems.append(Problem(what=f"the {part} part has no antibodies", where=where))
        else:
            problems += _without_class(rows, benchmark, f"{part} part")
    return problems


def _without_class(rows: pl.DataFrame, benchmark: Benchmark, where: str) -> list[Problem]:
    if benchmark.task == "paratope":
        labels = pl.concat([rows[f"{chain}_paratope"].explode().drop_nulls() for chain in benchmark.chain_names])
        names = {True: "paratope residue", False: "residue outside the paratope"}
    else:
        labels = rows["label"].drop_nulls()
        names = {True: "positive antibody", False: "negative antibody"}
    declared = ", ".join(benchmark.columns.positive)
    hint = f"Declared as positive: {declared}." if benchmark.task == "antigen-specificity" else ""
    return [
        Problem(what=f"there is no {name}", where=where, found=f"{len(labels)} labels", hint=hint)
        for member, name in names.items()
        if not (labels == member).any()
    ]


def _sentence(detail: str | None) -> str:
    return f"{detail[0].upper()}{detail[1:]}." if detail else ""
