"""The questions put to every splitter: sequences, labels and the pairs that may not stand in different folds."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ab_assets.benchmarks.schema import Benchmark, Identity
from ab_assets.datasets.curation import curate
from ab_assets.datasets.numbering import AnarciiNumbering
from ab_assets.datasets.readers import read_chunks
from ab_assets.datasets.selection import select_rows
from ab_assets.datasets.simulation import simulate_specificity
from ab_assets.splits.graph import row_numbers, similarity_graph
from ab_assets.splits.options import strata_of
from ab_assets.splits.policies import in_canonical_order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

FOLDS = 5
SIMULATED_ANTIBODIES = 1500
# At 0.9 the simulated families are small and nothing has to be cut; at 0.78 one component holds half of the rows.
SIMULATED_VH = 0.78
NEUTRALISATION_VH = (0.9, 0.85, 0.8)
CDRH3 = 0.8

NEUTRALISATION = {
    "name": "neutralisation",
    "task": "antigen-specificity",
    "chains": "HL",
    "source": {"files": ["derived_deepaai_sarscov2_paired.csv"]},
    "columns": {
        "sequence_id": "id", "vh": "heavy", "vl": "light", "label": "label", "positive": ["1"], "negative": ["0"],
    },
}  # fmt: skip
PARATOPE = {
    "name": "paratope",
    "task": "paratope",
    "chains": "HL",
    "source": {
        "format": "sabdab",
        "files": [f"topefind_paragraph_{part}.parquet" for part in ("train", "val", "test")],
    },
    "columns": {
        "entry": "pdb", "chain": "chain_type", "sequence": "antibody_sequence", "positions": "antibody_imgt",
        "paratope": "full_paratope_labels",
    },
}  # fmt: skip
SIMULATED = {
    "name": "simulated",
    "task": "antigen-specificity",
    "chains": "H",
    "source": {"files": ["antibodies.csv"]},
    "columns": {
        "sequence_id": "sequence_id", "vh": "heavy", "vl": "light", "vh_positions": "heavy_imgt",
        "vl_positions": "light_imgt", "label": "binds", "positive": ["yes"], "negative": ["no"],
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Problem:
    """One data set at one bound.

    sequences, label: per row, in the canonical order of the product; label counts from 0. left, right: (pair,) rows
    that are as similar as the bound. closeness: (pair,) 0.5 at the bound to 1.0 for identical ones, by the measure that
    comes nearest.
    """

    name: str
    sequences: list[str]
    label: Integers
    left: Integers
    right: Integers
    closeness: NDArray[np.float64]

    def write(self, folder: Path) -> None:
        """Write sequences.fasta (">row|label=0") and edges.csv (row,row,closeness), what every splitter reads."""
        records = zip(self.sequences, self.label, strict=True)
        fasta = "".join(f">{row}|label={label}\n{sequence}\n" for row, (sequence, label) in enumerate(records))
        (folder / "sequences.fasta").write_text(fasta, encoding="ascii")
        columns = {"left": self.left, "right": self.right, "closeness": self.closeness}
        pl.DataFrame(columns).write_csv(folder / "edges.csv", include_header=False)


def simulated(seed: int) -> Problem:
    """Return the simulated antibodies of one seed, at bounds that tie many families together."""
    with tempfile.TemporaryDirectory() as folder:
        simulate_specificity(seed, SIMULATED_ANTIBODIES).write_csv(Path(folder) / "antibodies.csv")
        rows = _rows(SIMULATED, Path(folder))
    return _problem(f"simulated-{seed:02d}", rows, vh=SIMULATED_VH)


def neutralisation(mirror: Path, cache: Path) -> list[Problem]:
    """Return the SARS-CoV-2 set at each of its bounds; its heavy chains are numbered, once per `cache`."""
    rows = _rows(NEUTRALISATION, mirror, cache)
    return [_problem(f"neutralisation, vh {vh}", rows, vh=vh) for vh in NEUTRALISATION_VH]


def paratope(mirror: Path) -> Problem:
    """Return the Paragraph set: one row per PDB entry, tied to another by any pair of their antibodies."""
    rows = _rows(PARATOPE, mirror)
    return _contracted(_problem("paratope, vh 0.9", rows, vh=0.9), in_canonical_order(rows)["entry"].to_list())


def _rows(declared: Mapping[str, object], folder: Path, cache: Path | None = None) -> pl.DataFrame:
    benchmark = Benchmark.model_validate(declared)
    numbering = AnarciiNumbering(cache) if cache else None
    return select_rows(curate(read_chunks(benchmark, folder), benchmark, numbering=numbering).rows, benchmark).rows


def _problem(name: str, rows: pl.DataFrame, *, vh: float) -> Problem:
    rows = in_canonical_order(rows)
    bounds = {"vh": vh, "cdrh3": CDRH3}
    graph = similarity_graph(rows, Identity(vh=vh, cdrh3=CDRH3), cluster=_alone, workers=2)
    bound = pl.col("by").replace_strict(bounds, default=vh, return_dtype=pl.Float64)
    margin = (pl.col("identity") - bound) / (1 - bound)
    edges = graph.edges.group_by("left", "right").agg(closeness=(0.5 + 0.5 * margin.max())).sort("left", "right")
    left, right = row_numbers(rows, edges)
    chains = rows.select(pl.concat_str(pl.col("vh").fill_null(""), pl.col("vl").fill_null("")))
    return Problem(name, chains.to_series().to_list(), strata_of(rows), left, right, edges["closeness"].to_numpy())


def _alone(rows: pl.DataFrame) -> dict[str, str]:
    return {name: name for name in rows["row_id"]}


def _contracted(problem: Problem, entries: list[str]) -> Problem:
    """Return the same with one row per entry, the first of each; pairs are the closest of their antibodies."""
    number = {entry: row for row, entry in enumerate(dict.fromkeys(entries))}
    place = np.array([number[entry] for entry in entries], dtype=np.int64)
    first = np.unique(place, return_index=True)[1]
    ends = np.sort(np.stack([place[problem.left], place[problem.right]]), axis=0)
    pairs = pl.DataFrame({"left": ends[0], "right": ends[1], "closeness": problem.closeness})
    pairs = pairs.filter(pl.col("left") != pl.col("right")).group_by("left", "right").agg(pl.col("closeness").max())
    pairs = pairs.sort("left", "right")
    return Problem(
        problem.name,
        [problem.sequences[row] for row in first],
        problem.label[first],
        pairs["left"].to_numpy(),
        pairs["right"].to_numpy(),
        pairs["closeness"].to_numpy(),
    )
