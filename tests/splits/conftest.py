"""Small sets of antibodies with known similarity."""

from __future__ import annotations

import random

import polars as pl
import pytest

from ab_assets.benchmarks.schema import Benchmark
from ab_assets.tables import CURATED, conform

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"


def changed(text: str, count: int, rng: random.Random) -> str:
    """Return `text` with exactly `count` residues exchanged."""
    letters = list(text)
    for index in rng.sample(range(len(letters)), count):
        letters[index] = rng.choice([a for a in AMINO_ACIDS if a != letters[index]])
    return "".join(letters)


@pytest.fixture
def near():
    return changed


@pytest.fixture
def curated():
    """Return CURATED rows of random families: members differ from their founder in a few residues."""

    def build(count: int, *, seed: int, spread: int = 8, **columns: object) -> pl.DataFrame:
        rng = random.Random(seed)
        rows = []
        while len(rows) < count:
            founder = "".join(rng.choices(AMINO_ACIDS, k=rng.randint(58, 62)))
            loop = "".join(rng.choices(AMINO_ACIDS, k=rng.randint(8, 12)))
            for _ in range(rng.randint(1, 4)):
                vh = changed(founder, rng.randint(0, spread), rng)
                rows.append({"vh": vh, "cdrh3": changed(loop, rng.randint(0, 2), rng), "label": rng.random() < 0.5})
        frame = pl.DataFrame(rows[:count]).with_row_index("n")
        frame = frame.with_columns(row_id=pl.format("r{}", pl.col("n")), sequence_id=pl.format("s{}", pl.col("n")))
        return conform(frame.drop("n").with_columns(**columns), CURATED)

    return build


@pytest.fixture
def benchmark_of():
    """Return a benchmark with these split settings."""

    def build(task: str = "antigen-specificity", **split: object) -> Benchmark:
        return Benchmark.model_validate(
            {"name": "b", "task": task, "source": {"files": ("a.csv",)}, "split": {"folds": 3, **split}}
        )

    return build
