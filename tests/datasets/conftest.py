"""Antibodies, benchmarks over files written on the spot, and a numbering that needs no model."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field

import pytest

from ab_assets.benchmarks.schema import Benchmark
from ab_assets.datasets.numbering import NumberingResult
from ab_assets.datasets.readers import read_source
from ab_assets.errors import InvalidBenchmarkError

# Trastuzumab (PDB 1N8Z), numbered by IMGT.
VH = (
    "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRYADSVKGRFTISADTSKNTAYLQMNSLRAEDTAVYYC"
    "SRWGGDGFYAMDYWGQGTLVTVSS"
)
VL = "DIQMTQSPSSLSASVGDRVTITCRASQDVNTAVAWYQQKPGKAPKLLIYSASFLYSGVPSRFSGSRSGTDFTLTISSLQPEDFATYYCQQHYTTPPTFGQGTKVEIK"


@pytest.fixture
def vh():
    return VH


@pytest.fixture
def vl():
    return VL


def end_positions(sequence):
    """The last 24 residues as IMGT 105-128, the others unnumbered."""
    return [*[None] * (len(sequence) - 24), *(str(number) for number in range(105, 129))]


@pytest.fixture
def end_positions_of():
    return end_positions


@dataclass
class FakeNumbering:
    """Heavy from 'E' or 'Q' on, light from 'D' on, and failure for everything else."""

    asked: list[str] = field(default_factory=list)

    def number(self, sequences, *, progress=None):
        self.asked += sequences
        locus = {"E": "heavy", "Q": "heavy", "D": "light"}
        return {
            sequence: NumberingResult(tuple(end_positions(sequence)), locus[sequence[0]])
            if sequence[0] in locus
            else NumberingResult(failure="score too low")
            for sequence in sequences
        }


@pytest.fixture
def fake_numbering():
    return FakeNumbering()


@pytest.fixture
def table_benchmark():
    """A benchmark over heavy, light, label; keyword arguments replace whole tables of benchmark.toml."""

    def make(files=("a.csv",), *, columns=None, **others):
        declared = {"vh": "heavy", "vl": "light", "label": "label", "positive": ["1"]} | (columns or {})
        source = {"files": list(files)} | others.pop("source", {})
        content = {"name": "b", "task": "antigen-specificity", "source": source, "columns": declared}
        return Benchmark.model_validate(content | others)

    return make


@pytest.fixture
def chain_benchmark():
    """A paratope benchmark over pdb, chain, sequence, imgt, paratope."""

    def make(files=("a.csv",), *, columns=None, **others):
        declared = {
            "entry": "pdb",
            "chain": "chain",
            "sequence": "sequence",
            "positions": "imgt",
            "paratope": "paratope",
        }
        source = {"files": list(files), "format": "sabdab"}
        content = {"name": "b", "task": "paratope", "source": source, "columns": declared | (columns or {})}
        return Benchmark.model_validate(content | others)

    return make


@pytest.fixture
def format_benchmark():
    """A benchmark over a.tsv or a.csv in a format that names its own columns."""

    def make(layout, *, columns=None, files=None, task="antigen-specificity", **source):
        given = {"files": files or (["a.tsv"] if layout == "airr" else ["a.csv"]), "format": layout} | source
        content = {"name": "b", "task": task, "chains": "HL", "source": given, "columns": columns or {}}
        return Benchmark.model_validate(content)

    return make


@pytest.fixture
def write_csv(tmp_path):
    def write(name, header, *rows, separator=","):
        with (tmp_path / name).open("w", newline="") as stream:
            csv.writer(stream, delimiter=separator).writerows([header, *rows])
        return tmp_path

    return write


@pytest.fixture
def problems_of():
    """Return a function that returns why the files of a benchmark are refused."""

    def read(benchmark, folder):
        with pytest.raises(InvalidBenchmarkError) as caught:
            read_source(benchmark, folder)
        return caught.value.problems

    return read
