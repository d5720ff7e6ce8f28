"""Advice is measured, not guessed."""

from __future__ import annotations

import numpy as np
import polars as pl

from ab_assets.splits.graph import similarity_graph
from ab_assets.splits.options import options, strata_of, units_of
from ab_assets.tables import CURATED, conform


def own_clusters(rows):
    return dict(zip(rows["row_id"], rows["row_id"], strict=True))


def test_every_option_says_what_it_would_remove(curated, benchmark_of):
    rows, benchmark = curated(60, seed=1), benchmark_of(folds=4)
    text = options(rows, similarity_graph(rows, benchmark.split.identity, cluster=own_clusters).edges, benchmark)
    assert "vh = 0.95, cdrh3 = 0.85 would remove" in text
    assert "vh = 1.00, cdrh3 = 0.90 would remove" in text
    assert "folds = 3 would remove" in text


def test_fewer_than_three_folds_are_not_offered(curated, benchmark_of):
    rows = curated(30, seed=1)
    edges = similarity_graph(rows, benchmark_of().split.identity, cluster=own_clusters).edges
    assert "folds =" not in options(rows, edges, benchmark_of(folds=3))


def test_without_a_partition_there_is_nothing_to_measure(curated, benchmark_of):
    rows = curated(30, seed=1)
    edges = similarity_graph(rows, benchmark_of().split.identity, cluster=own_clusters).edges
    assert "report" in options(rows, edges, benchmark_of(policy="time"))


def test_classes_are_labels_or_else_chains():
    rows = pl.DataFrame({"label": [True, False, True], "vh": ["A", "A", None], "vl": ["C", None, "C"]})
    assert strata_of(conform(rows, CURATED)).tolist() == [1, 0, 1]
    assert strata_of(conform(rows.drop("label"), CURATED)).tolist() == [0, 2, 1]


def test_rows_that_share_any_group_are_one_unit():
    rows = conform(
        pl.DataFrame({"entry": ["x", "x", None, None, None], "subject_id": [None, "d", "d", None, None]}), CURATED
    )
    both, entries = units_of(rows, ("entry", "subject_id")), units_of(rows, ("entry",))
    assert [len(np.unique(units)) for units in (both, entries)] == [3, 4]
    assert both[0] == both[1] == both[2]
