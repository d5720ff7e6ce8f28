"""A file of new, unlabelled antibodies is read with a benchmark's own column names, of which few must be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ab_assets.benchmarks.schema import Benchmark, Columns, Source, Split
from ab_assets.datasets.readers import read_header, suffix_of
from ab_assets.datasets.readers.fasta import SUFFIXES as FASTA_SUFFIXES
from ab_assets.datasets.readers.layouts import nearest_hint
from ab_assets.datasets.readers.source import source_path
from ab_assets.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def as_candidates(benchmark: Benchmark, path: Path) -> Benchmark:
    """Return `benchmark` over the unlabelled antibodies in `path`: read them with read_source(..., path.parent).

    Columns are those of `benchmark` that the file has; sequences may also stand in columns "vh" and "vl", ids in
    "sequence_id" or "id". FASTA files need nothing but records. Only the header is read here.
    Raises BadInputError when a chain that the benchmark looks at has no column, or the file cannot be read.
    """
    source_path(path.parent, path.name)
    if suffix_of(path.name) in FASTA_SUFFIXES:
        return _over(benchmark, path, "fasta", Columns())
    header = read_header(path, file=path.name)
    columns = benchmark.columns
    ids = next((name for name in (columns.sequence_id, "sequence_id", "id") if name in header), None)
    if columns.sequence in header and columns.chain in header:
        entry = columns.entry if columns.entry in header else None
        found = Columns(sequence_id=ids, entry=entry, chain=columns.chain, sequence=columns.sequence)
        return _over(benchmark, path, "sabdab", found)
    chains = {
        chain: next((name for name in (getattr(columns, chain), chain) if name in header), None)
        for chain in ("vh", "vl")
    }
    for chain in benchmark.chain_names:
        if chains[chain] is None:
            raise _no_column(benchmark, chain, path.name, header)
    return _over(benchmark, path, "table", Columns(sequence_id=ids, vh=chains["vh"], vl=chains["vl"]))


def _over(benchmark: Benchmark, path: Path, layout: str, columns: Columns) -> Benchmark:
    source = Source.model_validate({"files": (path.name,), "format": layout})
    return benchmark.model_copy(update={"source": source, "columns": columns, "split": Split()})


def _no_column(benchmark: Benchmark, chain: str, file: str, header: Sequence[str]) -> BadInputError:
    name = getattr(benchmark.columns, chain) or chain
    return BadInputError(
        what=f"there is no column with {chain} sequences",
        where=file,
        found=", ".join(repr(column) for column in header[:12]),
        expected=" or ".join(dict.fromkeys((repr(name), repr(chain)))),
        hint=nearest_hint(name, header) or f'Benchmark {benchmark.name} looks at chains "{benchmark.chains}".',
    )
