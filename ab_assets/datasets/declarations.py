"""What benchmark.toml must say about its data for the task, the format, the chains and the split it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ab_assets.datasets.labels import canonical
from ab_assets.datasets.readers import suffix_of
from ab_assets.datasets.readers.fasta import SUFFIXES as FASTA_SUFFIXES
from ab_assets.datasets.readers.layouts import FIELDS, nearest_hint
from ab_assets.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ab_assets.benchmarks.schema import Benchmark


def declaration_problems(benchmark: Benchmark) -> list[Problem]:
    """Return what is missing from or contradictory in benchmark.toml with regard to the data."""
    return [
        *_needed_columns(benchmark),
        *_unused_columns(benchmark),
        *_labels(benchmark),
        *_files(benchmark),
        *_policy(benchmark),
    ]


def _needed_columns(benchmark: Benchmark) -> Iterator[Problem]:
    needed: list[str] = []
    layout = benchmark.source.format
    if layout == "table":
        needed += benchmark.chain_names
    elif layout == "sabdab":
        needed += ["chain", "sequence"] + (["entry"] if benchmark.chains == "HL" else [])
    elif layout == "fasta":
        needed += ["sequence_id"]
    if benchmark.task == "antigen-specificity":
        needed += ["label"] if "label" in FIELDS[layout] else []
    elif "paratope" in FIELDS[layout]:
        needed += ["paratope"]
    else:
        yield Problem(
            what='task "paratope" needs one label per residue',
            where="benchmark.toml: source.format",
            found=f'"{layout}"',
            expected='"sabdab" or "airr"',
            hint="Give one row per chain, with a list of 0 and 1 per residue.",
        )
    for field in needed:
        if getattr(benchmark.columns, field) is None:
            yield Problem(
                what=f"columns.{field} is not declared",
                where="benchmark.toml: columns",
                expected=f"the name of the column that holds {field}",
                hint=f'It is needed for task "{benchmark.task}", format "{benchmark.source.format}", '
                f'chains "{benchmark.chains}".',
            )


def _unused_columns(benchmark: Benchmark) -> Iterator[Problem]:
    used = (*FIELDS[benchmark.source.format], "positive", "negative", "keep")
    for field, column in benchmark.columns:
        if column and field not in used:
            yield Problem(
                what=f'columns.{field} says nothing in format = "{benchmark.source.format}"',
                where="benchmark.toml: columns",
                expected=f"one of {', '.join(FIELDS[benchmark.source.format])}",
            )


def _labels(benchmark: Benchmark) -> Iterator[Problem]:
    columns = benchmark.columns
    if benchmark.source.format == "cov-abdab" and benchmark.source.antigen is None:
        yield Problem(
            what="it does not say for which antigen",
            where="benchmark.toml: source.antigen",
            expected='a name as in "Binds to", such as "SARS-CoV2_WT"',
        )
    if columns.label is not None and not columns.positive:
        yield Problem(
            what="no value is declared as positive",
            where="benchmark.toml: columns.positive",
            expected='a list of values such as ["1"]',
        )
    both = {canonical(value) for value in columns.positive} & {canonical(value) for value in columns.negative}
    for value in sorted(both):
        yield Problem(what=f"label {value!r} is declared as positive and as negative", where="benchmark.toml: columns")


def _files(benchmark: Benchmark) -> Iterator[Problem]:
    files = list(benchmark.source.files)
    if benchmark.source.format == "fasta":
        kinds = {suffix_of(file) in FASTA_SUFFIXES for file in files}
        for is_fasta, name in ((True, "FASTA file"), (False, "side table with labels (.csv, .tsv or .parquet)")):
            if is_fasta not in kinds:
                yield Problem(what=f"there is no {name}", where="benchmark.toml: source.files", found=", ".join(files))
    split = benchmark.split
    listed = {"split.test_files": split.test_files}
    listed |= {f"split.parts.{part}": members for part, members in split.parts}
    for key, members in listed.items():
        for file in members:
            if file not in files:
                yield Problem(
                    what=f"file {file!r} is not among source.files",
                    where=f"benchmark.toml: {key}",
                    found=", ".join(files),
                    hint=nearest_hint(file, files) or "Add it to source.files.",
                )
    for file in files:
        places = [key for key, members in listed.items() if file in members]
        if len(places) > 1 and set(places) != {"split.test_files", "split.parts.test"}:
            yield Problem(
                what=f"file {file!r} is in more than one part", where="benchmark.toml", found=", ".join(places)
            )


def _policy(benchmark: Benchmark) -> Iterator[Problem]:
    split, columns = benchmark.split, benchmark.columns
    where = "benchmark.toml: split"
    if split.policy == "time" and columns.date is None:
        yield Problem(what='policy "time" needs columns.date', where=where)
    if split.policy == "group" and columns.subject_id is None and columns.entry is None:
        yield Problem(what='policy "group" needs columns.subject_id or columns.entry', where=where)
    if split.policy != "published" or columns.part is not None:
        return
    placed = {*split.parts.train, *split.parts.validation, *split.parts.test, *split.test_files}
    files = benchmark.source.files
    if benchmark.source.format == "fasta":
        files = tuple(file for file in files if suffix_of(file) in FASTA_SUFFIXES)
    for file in files:
        if file not in placed:
            yield Problem(
                what=f'policy "published" does not say which part {file!r} is',
                where=where,
                expected="every file in split.parts, or columns.part",
            )
