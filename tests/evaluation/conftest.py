import numpy as np
import polars as pl
import pytest

from ab_assets.tables import CURATED, PREDICTIONS, conform


@pytest.fixture
def antibodies():
    """Return a maker of PREDICTIONS for antibodies: one test and one validation set, the same for every method."""

    def make(scores, labels, *, method="m", fit=0, seed=1, prefix="ab"):
        ids = [f"{prefix}{number:04d}" for number in range(len(labels))]
        known = {"method": method, "fit": fit, "seed": seed, "label": labels, "score": scores}
        parts = [
            pl.DataFrame(known | {"row_id": [role[0] + name for name in ids], "role": role})
            for role in ("validation", "test")
        ]
        return conform(pl.concat(parts), PREDICTIONS)

    return make


@pytest.fixture
def residues():
    """Return a maker of PREDICTIONS for the residues of one chain per antibody: (antibody, residue) arrays."""

    def make(scores, labels, *, method="m", chain="vh", first_position=100):
        parts = [
            pl.DataFrame(
                {
                    "method": method,
                    "fit": 0,
                    "seed": 1,
                    "role": role,
                    "row_id": f"{role[0]}{number:03d}",
                    "chain": chain,
                    "residue": np.arange(len(label)),
                    "position": [str(first_position + place) for place in range(len(label))],
                    "label": label,
                    "score": score,
                }
            )
            for role in ("validation", "test")
            for number, (score, label) in enumerate(zip(scores, labels, strict=True))
        ]
        return conform(pl.concat(parts), PREDICTIONS)

    return make


@pytest.fixture
def units_of():
    """Return a maker of UNITS: the n-th row of the predictions belongs to unit n modulo `number`."""

    def make(predictions, number):
        rows = predictions["row_id"].unique().sort()
        return pl.DataFrame({"row_id": rows, "unit": [f"u{place % number:03d}" for place in range(len(rows))]})

    return make


@pytest.fixture
def noisy():
    """Return (labels, scores) of 240 antibodies: learnable, with ties, different for every seed."""

    def make(seed=0, *, count=240, signal=1.0):
        generator = np.random.default_rng(seed)
        labels = generator.random(count) < 0.4
        raw = generator.normal(size=count) + signal * labels
        return labels, np.round(1 / (1 + np.exp(-raw)), 2)

    return make


@pytest.fixture
def curated():
    """Return a maker of CURATED rows from dictionaries."""

    def make(rows):
        return conform(pl.DataFrame(rows, infer_schema_length=None), CURATED)

    return make
