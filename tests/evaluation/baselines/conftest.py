import numpy as np
import polars as pl
import pytest

from ab_assets.benchmarks.schema import Benchmark
from ab_assets.tables import CURATED, ROLES, SHUFFLED_LABELS, conform

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"


def random_chain(generator, length=60):
    return "".join(generator.choice(list(AMINO_ACIDS), length))


@pytest.fixture
def benchmark_of():
    def make(task="antigen-specificity", chains="H", **more):
        return Benchmark(name="b", task=task, chains=chains, source={"files": ["a.csv"]}, **more)

    return make


@pytest.fixture
def binders():
    """Return 90 CURATED antibodies; those with WYW in the third loop bind."""
    generator = np.random.default_rng(1)
    rows = []
    for number in range(90):
        binds = number % 2 == 0
        cdrh3 = random_chain(generator, 6) + ("WYW" if binds else "GSG") + random_chain(generator, 4)
        vh = random_chain(generator, 40) + cdrh3 + random_chain(generator, 10)
        rows.append(
            {
                "row_id": f"r{number:03d}",
                "vh": vh,
                "vl": random_chain(generator),
                "cdrh3": cdrh3,
                "label": binds,
            }
        )
    return conform(pl.DataFrame(rows), CURATED)


@pytest.fixture
def structures():
    """Return 45 CURATED antibodies with VH and VL; W, Y, F and L at positions 20-29 touch."""
    generator = np.random.default_rng(2)
    rows = []
    for number in range(45):
        row = {"row_id": f"s{number:03d}", "entry": f"e{number}"}
        for chain in ("vh", "vl"):
            sequence = random_chain(generator, generator.integers(36, 45))
            row |= {
                chain: sequence,
                f"{chain}_positions": [str(place) for place in range(1, len(sequence) + 1)],
                f"{chain}_paratope": [20 <= place < 30 and one in "WYFL" for place, one in enumerate(sequence, 1)],
            }
        rows.append(row)
    return conform(pl.DataFrame(rows), CURATED)


@pytest.fixture
def roles_of():
    """Return a maker of ROLES: thirds of the rows, turned by one third for each fit."""

    def make(rows, fits=1):
        parts = [
            pl.DataFrame(
                {
                    "fit": fit,
                    "row_id": rows["row_id"],
                    "role": [
                        ("train", "validation", "test")[(place * 3 // rows.height + fit) % 3]
                        for place in range(rows.height)
                    ],
                }
            )
            for fit in range(fits)
        ]
        return conform(pl.concat(parts), ROLES)

    return make


@pytest.fixture
def shuffled_of():
    """Return a maker of SHUFFLED_LABELS: labels and residues of all rows that are no test row, permuted."""

    def make(rows, roles):
        generator = np.random.default_rng(3)
        parts = []
        for fit in roles["fit"].unique().sort():
            learned = roles.filter(pl.col("fit") == fit, pl.col("role") != "test").select("row_id")
            kept = rows.join(learned, on="row_id", how="semi")
            columns = {"shuffle": 0, "fit": fit, "row_id": kept["row_id"]}
            columns["label"] = generator.permutation(kept["label"].to_list())
            for name in ("vh_paratope", "vl_paratope"):
                true = kept[name].to_list()
                columns[name] = [None if one is None else generator.permutation(one).tolist() for one in true]
            parts.append(pl.DataFrame(columns, schema=SHUFFLED_LABELS, strict=False))
        return pl.concat(parts)

    return make


@pytest.fixture
def rows_of(binders, structures):
    """Return task -> CURATED rows."""
    return {"antigen-specificity": binders, "paratope": structures}
