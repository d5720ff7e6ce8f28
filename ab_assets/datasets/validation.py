"""Everything that can be said about a benchmark's data before expensive work: all problems at once, in seconds."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ab_assets.benchmarks.reading import FILE_NAME, located
from ab_assets.datasets.curation import curate
from ab_assets.datasets.declarations import declaration_problems
from ab_assets.datasets.explanations import contradictions
from ab_assets.datasets.readers import chunks_as_far_as_possible
from ab_assets.datasets.readers.source import source_path
from ab_assets.datasets.usability import usability_problems
from ab_assets.errors import BadInputError, InvalidBenchmarkError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ab_assets.benchmarks.schema import Benchmark


def require_valid(benchmark: Benchmark, folder: Path) -> None:
    """Raise InvalidBenchmarkError with all problems of the benchmark's data in `folder`, if there are any."""
    problems = problems_in(benchmark, folder)
    if problems:
        raise InvalidBenchmarkError(name=benchmark.name, problems=problems)


def problems_in(benchmark: Benchmark, folder: Path) -> list[Problem]:
    """Return all that is wrong with the data of `benchmark` in `folder`, without numbering or loading a model.

    Covers what benchmark.toml declares about the data, files that are missing or unreadable, missing columns, rows that
    contradict the declaration, and antibodies that cannot answer the question: without chains, class, id or date.
    """
    problems = declaration_problems(benchmark)
    with tempfile.TemporaryDirectory() as spool:
        chunks = chunks_as_far_as_possible(benchmark, folder, problems)
        curation = curate(chunks, benchmark, numbering=None, spool=Path(spool))
        problems += _missing_candidates(benchmark, folder)
        # A column that is missing is said once, not again for each of its cells.
        rejected = curation.rejected.drop_nulls("value") if problems else curation.rejected
        problems += contradictions(rejected, benchmark)
        if not problems:
            problems += usability_problems(curation, benchmark)
    declared = folder / FILE_NAME
    text = declared.read_text(encoding="utf-8-sig", errors="replace") if declared.is_file() else ""
    return [located(problem, text) if text else problem for problem in problems]


def _missing_candidates(benchmark: Benchmark, folder: Path) -> Iterable[Problem]:
    for file in benchmark.candidates.files:
        try:
            source_path(folder, file)
        except BadInputError as error:
            yield error.problem
