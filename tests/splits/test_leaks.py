"""No enforced split of any policy holds a pair at its bound, by comparing every pair of small random datasets."""

from __future__ import annotations

import random
from itertools import product

import polars as pl
import pytest

from ab_assets.errors import InfeasibleSplitError
from ab_assets.splits.certificate import certify, require_certificate
from ab_assets.splits.graph import similarity_graph
from ab_assets.splits.identity import sequence_identity
from ab_assets.splits.policies import make_split

RANKS = {"train": 0, "validation": 1, "test": 2}
POLICIES = {
    "identity": {},
    "published": {"policy": "published"},
    "group": {"policy": "group"},
    "time": {"policy": "time"},
    "test files": {"test_files": ("t.csv",)},
    "group with test files": {"policy": "group", "test_files": ("t.csv",)},
}


def dataset(curated, seed, split):
    """Return random families with groups, dates and parts that cut through them; some rows have a VL alone."""
    rng = random.Random(seed)
    rows = curated(50, seed=seed)
    parts = rng.choices(["train", "test", "validation"][: 2 + seed % 2], (8, 1, 1)[: 2 + seed % 2], k=50)
    if split.get("test_files"):
        parts = ["test" if rng.random() < 0.1 else None for _ in range(50)]
    alone = pl.Series([rng.random() < 0.15 for _ in range(50)])
    return rows.with_columns(
        vl=pl.col("vh").str.reverse(),
        vh=pl.when(alone).then(None).otherwise("vh"),
        cdrh3=pl.when(alone).then(None).otherwise("cdrh3"),
        subject_id=pl.Series([f"donor{rng.randrange(25)}" for _ in range(50)]),
        entry=pl.Series([f"pdb{rng.randrange(200)}" if rng.random() < 0.5 else None for _ in range(50)]),
        date=pl.Series([f"20{rng.randrange(10, 24)}-0{rng.randrange(1, 10)}" for _ in range(50)]),
        part=pl.Series(parts, dtype=pl.String),
    )


def similar(one, other, *, subjects):
    """Tell whether two rows may not stand on different sides."""
    if one["entry"] is not None and one["entry"] == other["entry"]:
        return True
    if subjects and one["subject_id"] == other["subject_id"]:
        return True
    if (one["vh"] is None or other["vh"] is None) and sequence_identity(one["vl"], other["vl"], kind="vl") >= 0.9:
        return True
    return any(sequence_identity(one[by], other[by], kind=by) >= bound for by, bound in (("vh", 0.9), ("cdrh3", 0.8)))


@pytest.mark.parametrize("policy", POLICIES)
def test_no_enforced_split_holds_a_pair_at_its_bound(curated, benchmark_of, policy):
    split, made = POLICIES[policy], 0
    benchmark = benchmark_of(max_removed=1.0, **split)
    for seed in range(24):
        rows = dataset(curated, seed, split)
        edges = similarity_graph(
            rows, benchmark.split.identity, cluster=lambda rows: dict.fromkeys(rows["row_id"], "c")
        ).edges
        try:
            division = make_split(rows, edges, benchmark)
        except InfeasibleSplitError:
            continue
        made += 1
        for _, fit in division.roles.join(rows, on="row_id").group_by("fit"):
            for one, other in product(fit.iter_rows(named=True), repeat=2):
                if RANKS[one["role"]] < RANKS[other["role"]]:
                    leak = similar(one, other, subjects=benchmark.split.policy == "group")
                    assert not leak, f"seed {seed}: {one['row_id']} and {other['row_id']}"
        require_certificate(rows, division.roles, certify(rows, division.roles, benchmark.split), benchmark.split)
        assert set(rows["row_id"]) == set(division.roles["row_id"]) | set(division.removed["row_id"])
    assert made >= 12


@pytest.mark.parametrize("seed", range(10))
def test_a_random_division_is_reported_as_it_leaks(curated, benchmark_of, seed):
    rows, benchmark = curated(50, seed=seed), benchmark_of(policy="random", certificate="report")
    division = make_split(rows, pl.DataFrame(schema={"left": pl.String, "right": pl.String}), benchmark)
    certificate = certify(rows, division.roles, benchmark.split)
    require_certificate(rows, division.roles, certificate, benchmark.split)
    assert division.removed.height == 0
    assert not certificate.enforced
    assert certificate.to_json()["maximum"]["vh"] > 0.8
