"""The graph holds exactly the pairs at or above a bound, and groups are one component."""

from __future__ import annotations

from itertools import combinations

import polars as pl
import pytest

from ab_assets.benchmarks.schema import Identity
from ab_assets.splits.graph import similarity_graph
from ab_assets.splits.identity import sequence_identity
from ab_assets.tables import CURATED, EDGES, NODES, conform


def own_clusters(rows):
    return dict(zip(rows["row_id"], rows["row_id"], strict=True))


def graph_of(rows, identity=None, **options):
    return similarity_graph(rows, identity or Identity(), cluster=own_clusters, **options)


def mixed():
    """Return a pair, a VL that resembles the pair's, a VH alone with the pair's loop, and an unrelated VL."""
    rows = [
        {"row_id": "pair", "vh": "A" * 40, "vl": "C" * 40, "cdrh3": "ARDYWG"},
        {"row_id": "light", "vl": "C" * 38 + "DD"},
        {"row_id": "heavy", "vh": "E" * 40, "cdrh3": "ARDYWA"},
        {"row_id": "other", "vl": "F" * 40},
    ]
    return conform(pl.DataFrame(rows), CURATED)


@pytest.mark.parametrize("seed", range(5))
def test_edges_are_those_of_brute_force(curated, seed):
    rows = curated(40, seed=seed).sort("row_id")
    expected = {
        (a["row_id"], b["row_id"], by)
        for a, b in combinations(rows.iter_rows(named=True), 2)
        for by, bound in (("vh", 0.9), ("cdrh3", 0.8))
        if sequence_identity(a[by], b[by], kind=by) >= bound
    }
    edges = graph_of(rows).edges
    assert set(edges.select("left", "right", "by").iter_rows()) == expected
    assert edges.height == len(expected)


def test_a_row_without_vh_is_tied_to_every_similar_vl():
    edges = graph_of(mixed()).edges
    assert set(edges.select("left", "right", "by").iter_rows()) == {("light", "pair", "vl"), ("heavy", "pair", "cdrh3")}


def test_a_bound_on_vl_gates_every_vl():
    edges = graph_of(mixed(), Identity(vh=0.9, vl=0.99)).edges
    assert edges["by"].to_list() == ["cdrh3"]


def test_without_bounds_there_are_no_edges(curated):
    graph = graph_of(curated(20, seed=1), Identity(vh=None, cdrh3=None))
    assert graph.edges.height == 0
    assert graph.nodes["component"].n_unique() == 20


def test_rows_of_one_entry_are_one_component():
    rows = mixed().with_columns(entry=pl.Series(["1abc", None, None, "1abc"]))
    nodes = dict(graph_of(rows).nodes.select("row_id", "component").iter_rows())
    assert nodes["pair"] == nodes["light"] == nodes["heavy"] == nodes["other"]
    assert graph_of(mixed()).summary["components"] == 2


def test_subjects_are_contracted_when_named():
    rows = mixed().with_columns(subject_id=pl.lit("donor"))
    assert graph_of(rows, groups=("entry", "subject_id")).summary["components"] == 1


def test_tables_follow_their_schemas_and_row_order_changes_nothing(curated):
    rows = curated(40, seed=2)
    graph, again = graph_of(rows), graph_of(rows.reverse())
    assert graph.nodes.schema == NODES
    assert graph.edges.schema == EDGES
    assert graph.nodes.equals(again.nodes)
    assert graph.edges.equals(again.edges)
    assert (graph.edges["left"] < graph.edges["right"]).all()


def test_the_summary_counts_what_the_tables_hold(curated):
    graph = graph_of(curated(40, seed=2))
    sizes = graph.nodes.group_by("component").len()["len"]
    assert graph.summary["components"] == len(sizes)
    assert graph.summary["largest_component"] == max(sizes)
    assert graph.summary["edges_by_vh"] == graph.edges.filter(pl.col("by") == "vh").height
