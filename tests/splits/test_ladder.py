"""Every rung tests the same rows, trains on as many of each class, and keeps what it says it keeps."""

from __future__ import annotations

import random

import polars as pl
import pytest

from ab_assets.benchmarks.schema import Benchmark, Identity
from ab_assets.splits import ladder as module
from ab_assets.splits.graph import similarity_graph
from ab_assets.splits.ladder import CERTIFIED, RANDOM, RUNGS, ladder
from ab_assets.tables import CURATED, EDGES, conform

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
PARTS = ["train", "validation", "test"]


def single_linkage(rows, identity=0.9):
    """Return {row_id: cluster} as a clustering program would, in milliseconds."""
    graph = similarity_graph(
        rows, Identity(vh=identity, cdrh3=None), cluster=lambda rows: dict.fromkeys(rows["row_id"], "")
    )
    return {row_id: str(component) for row_id, component in graph.nodes.select("row_id", "component").iter_rows()}


def build(rows, benchmark):
    graph = similarity_graph(rows, benchmark.split.identity, cluster=single_linkage)
    return ladder(rows, graph.nodes, graph.edges, benchmark, cluster=single_linkage), graph


@pytest.fixture(scope="module")
def built():
    # families of five, eight residues from their founder
    rng = random.Random(5)
    table = []
    for family in range(40):
        founder = "".join(rng.choices(AMINO_ACIDS, k=110))
        for _ in range(5):
            vh = list(founder)
            for index in rng.sample(range(110), 8):
                vh[index] = rng.choice(AMINO_ACIDS)
            number = len(table)
            table.append({"row_id": f"r{number:03d}", "vh": "".join(vh), "label": family % 2 == 0, "cdrh3": None})
    rows = conform(pl.DataFrame(table), CURATED)
    benchmark = Benchmark.model_validate(
        {"name": "b", "task": "antigen-specificity", "source": {"files": ("a.csv",)}, "split": {"folds": 4}}
    )
    return rows, benchmark, *build(rows, benchmark)


def test_every_rung_tests_the_same_rows_each_once(built):
    rows, _, found, _ = built
    assert tuple(found.rungs) == RUNGS
    for roles in found.rungs.values():
        tested = roles.filter(pl.col("role") == "test")["row_id"]
        assert sorted(tested) == sorted(rows["row_id"])


def test_every_fit_of_every_rung_trains_on_as_many_of_each_class(built):
    rows, _, found, _ = built
    counts = {
        (part, label): {
            found.rungs[rung]
            .filter(pl.col("fit") == fit, pl.col("role") == part)
            .join(rows.filter(pl.col("label") == label), on="row_id", how="semi")
            .height
            for rung in RUNGS
            for fit in range(4)
        }
        for part in PARTS[:2]
        for label in (True, False)
    }
    assert all(len(sizes) == 1 and min(sizes) > 10 for sizes in counts.values())


def test_no_row_has_two_roles_in_a_fit(built):
    for roles in built[2].rungs.values():
        assert not roles.select("fit", "row_id").is_duplicated().any()


def test_only_the_certified_rung_has_no_edge_between_test_and_training(built):
    _, _, found, graph = built
    crossing = {}
    for rung, roles in found.rungs.items():
        ends = graph.edges.join(roles, left_on="left", right_on="row_id").join(
            roles, left_on=["right", "fit"], right_on=["row_id", "fit"], suffix="_right"
        )
        crossing[rung] = ends.filter(pl.col("role") != pl.col("role_right")).height
    assert crossing[CERTIFIED] == 0
    assert crossing[RANDOM] > 0


@pytest.mark.parametrize(("rung", "identity"), module.CLUSTERED.items())
def test_clusters_stay_whole(built, rung, identity):
    rows, _, found, _ = built
    clusters = single_linkage(rows, identity)
    named = found.rungs[rung].with_columns(cluster=pl.col("row_id").replace_strict(clusters))
    assert named.group_by("cluster").agg(pl.col("fold").n_unique())["fold"].to_list() == [1] * len(
        set(clusters.values())
    )
    assert len(set(clusters.values())) < rows.height


def test_order_and_the_names_of_clusters_change_nothing(built):
    rows, benchmark, found, graph = built
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=3)
    again = ladder(shuffled, graph.nodes.reverse(), graph.edges.reverse(), benchmark, cluster=single_linkage)
    assert all(again.rungs[rung].equals(roles) for rung, roles in found.rungs.items())


def test_a_certified_rung_without_rows_in_every_fold_is_left_out(curated, benchmark_of):
    rows = curated(60, seed=2, spread=0).with_columns(cdrh3=pl.lit("ARDYW"))
    found, _ = build(rows, benchmark_of())
    assert CERTIFIED not in found.rungs
    assert "class" in found.left_out[CERTIFIED]  # all rows are alike: one fold holds them all
    assert RANDOM in found.rungs


def test_a_rung_without_any_bound_is_not_called_certified(curated, benchmark_of):
    benchmark = benchmark_of(identity={"vh": None, "cdrh3": None, "vl": None})
    assert "no identity bound" in build(curated(60, seed=2), benchmark)[0].left_out[CERTIFIED]


def family(near, size, others, seed=1):
    """Return CURATED rows: one family of `size`, and `others` that resemble nobody."""
    rng = random.Random(seed)
    founder = "".join(rng.choices(AMINO_ACIDS, k=110))
    texts = [near(founder, 3, rng) for _ in range(size)]
    texts += ["".join(rng.choices(AMINO_ACIDS, k=110)) for _ in range(others)]
    table = {
        "row_id": [f"r{n}" for n in range(len(texts))],
        "vh": texts,
        "label": [n % 2 == 0 for n in range(len(texts))],
    }
    return conform(pl.DataFrame(table), CURATED)


def test_where_all_are_of_one_family_only_the_random_rung_is_left(benchmark_of, near):
    found, _ = build(family(near, 90, 0), benchmark_of())
    assert list(found.rungs) == [RANDOM]
    assert set(found.left_out.values()) == {"a fold lacks a class"}


def test_a_family_that_would_leave_too_little_to_train_on_is_no_rung(benchmark_of, near):
    found, _ = build(family(near, 240, 60), benchmark_of())
    assert "clusters are too large: a fit would train on" in found.left_out["clusters-0.9"]


def test_a_certified_rung_that_costs_too_much_says_what_it_would_cost(benchmark_of, near):
    rows, benchmark = family(near, 0, 90), benchmark_of(max_removed=0.0)
    names = rows["row_id"]
    path = pl.DataFrame({"left": names[:-1], "right": names[1:], "by": "vh", "identity": 0.95}, schema=EDGES)
    nodes = similarity_graph(rows, benchmark.split.identity, cluster=single_linkage).nodes
    found = ladder(rows, nodes, path, benchmark, cluster=single_linkage)
    assert "would remove 2" in found.left_out[CERTIFIED] or "would remove 3" in found.left_out[CERTIFIED]
    assert RANDOM in found.rungs


def test_of_many_rows_whole_clusters_are_drawn(built, monkeypatch):
    rows, benchmark, _, graph = built
    monkeypatch.setattr(module, "MOST_ROWS", {"antigen-specificity": 60})
    found = ladder(rows, graph.nodes, graph.edges, benchmark, cluster=single_linkage)
    kept = graph.nodes.join(found.rows, on="row_id", how="semi")
    sizes = graph.nodes.group_by("cluster").len()
    assert 60 <= kept.height < 60 + 10
    assert kept.group_by("cluster").len().join(sizes, on=["cluster", "len"]).height == kept["cluster"].n_unique()
