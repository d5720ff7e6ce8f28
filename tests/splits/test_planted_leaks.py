"""Near copies put on both sides of a split are all found, or all removed, as the policy says."""

from __future__ import annotations

import random

import polars as pl
import pytest

from ab_assets.errors import InfeasibleSplitError
from ab_assets.splits.certificate import certify, require_certificate
from ab_assets.splits.graph import similarity_graph
from ab_assets.splits.policies import make_split

BOUND = 0.9


@pytest.fixture
def planted(curated, near):
    """Return rows of a published split whose test part holds `copies` near copies of training rows, and their names."""

    def make(copies: int, seed: int) -> tuple[pl.DataFrame, dict[str, float]]:
        rng = random.Random(seed)
        clean = curated(150, seed=seed, spread=0).unique("cdrh3", keep="first", maintain_order=True)
        families = clean.group_by("vh", maintain_order=True).agg(pl.col("row_id")).with_row_index("family")
        part = {row_id: family % 4 for family, _, ids in families.iter_rows() for row_id in ids}
        names = ("train", "train", "validation", "test")
        rows = clean.with_columns(part=pl.Series([names[part[row_id]] for row_id in clean["row_id"]]))
        train = rows.filter(part="train")
        found: dict[str, float] = {}
        new = []
        for number in range(copies):
            one = train.row(rng.randrange(train.height), named=True)
            edits = rng.randint(0, len(one["vh"]) // 5)
            found[f"copy{number}"] = 1 - edits / len(one["vh"])
            loop = "".join(rng.choices("ACDEFGHIKL", k=20 + number))  # of a length of its own: VH alone is alike
            new.append(
                one | {"row_id": f"copy{number}", "vh": near(one["vh"], edits, rng), "cdrh3": loop, "part": "test"}
            )
        return pl.concat([rows, pl.DataFrame(new, schema=rows.schema)]), found

    return make


def split_of(rows, benchmark):
    edges = similarity_graph(rows, benchmark.split.identity, cluster=lambda r: dict.fromkeys(r["row_id"], "c")).edges
    return make_split(rows, edges, benchmark)


@pytest.mark.parametrize("copies", [1, 7, 50])
@pytest.mark.parametrize("seed", range(4))
def test_a_waived_split_names_every_copy_and_how_near_it_is(planted, benchmark_of, copies, seed):
    rows, identity = planted(copies, seed)
    benchmark = benchmark_of(policy="published", certificate="report", identity={"vh": BOUND, "cdrh3": 0.8})
    certificate = certify(rows, split_of(rows, benchmark).roles, benchmark.split)
    nearest = certificate.nearest.filter(by="vh", role="test")
    measured = dict(nearest.select("row_id", "identity").iter_rows())
    assert all(measured[name] >= planted_at - 1e-9 for name, planted_at in identity.items())
    over = {name for name, value in measured.items() if value >= BOUND}
    assert {name for name, value in identity.items() if value >= BOUND} <= over
    assert certificate.passed == (not over)
    assert certificate.over >= len(over)


@pytest.mark.parametrize("copies", [1, 7, 50])
@pytest.mark.parametrize("policy", ["published", "identity"])
def test_an_enforced_split_keeps_no_copy_within_the_bound(planted, benchmark_of, policy, copies):
    made = 0
    for seed in range(4):
        rows, _ = planted(copies, seed)
        benchmark = benchmark_of(policy=policy, max_removed=1.0, identity={"vh": BOUND, "cdrh3": 0.8})
        try:
            roles = split_of(rows, benchmark).roles
        except InfeasibleSplitError:
            continue
        made += 1
        certificate = certify(rows, roles, benchmark.split)
        require_certificate(rows, roles, certificate, benchmark.split)
        assert certificate.to_json()["maximum"]["vh"] < BOUND
    assert made >= 3


@pytest.mark.parametrize("seed", range(4))
def test_the_order_and_the_names_of_rows_change_nothing(curated, benchmark_of, seed):
    rows, benchmark = curated(60, seed=seed), benchmark_of(max_removed=1.0)
    roles = split_of(rows, benchmark).roles
    mixed = split_of(rows.sample(fraction=1, shuffle=True, seed=seed), benchmark).roles
    assert roles.sort("fit", "row_id").equals(mixed.sort("fit", "row_id"))
    names = {row_id: f"x{number:03}" for number, row_id in enumerate(sorted(rows["row_id"], reverse=True))}
    renamed = split_of(rows.with_columns(pl.col("row_id").replace_strict(names)), benchmark).roles
    expected = roles.with_columns(pl.col("row_id").replace_strict(names))
    assert expected.sort("fit", "row_id").equals(renamed.sort("fit", "row_id"))
