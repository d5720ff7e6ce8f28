"""Shuffled labels teach nothing, and change nothing else."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ab_assets.splits.controls import _traded, shuffle_labels
from ab_assets.tables import NODES, ROLES, conform


def roles_of(rows):
    names = {0: "train", 1: "train", 2: "validation", 3: "test"}
    frame = rows.select("row_id", fit=pl.lit(0), fold=pl.int_range(rows.height) % 4)
    return conform(frame.with_columns(role=pl.col("fold").replace_strict(names)), ROLES)


def nodes_of(rows, *, size=4):
    return conform(
        rows.select("row_id", component=pl.lit(0), cluster=pl.format("c{}", pl.int_range(rows.height) // size)), NODES
    )


def shuffled(rows, seed=1, task="antigen-specificity"):
    return shuffle_labels(rows, roles_of(rows), nodes_of(rows), task=task, seed=seed)


def test_test_rows_keep_their_labels(curated):
    rows = curated(80, seed=1)
    tests = set(roles_of(rows).filter(pl.col("role") == "test")["row_id"])
    assert not tests & set(shuffled(rows)["row_id"])


def test_as_many_are_positive_in_each_fold_as_before(curated):
    rows = curated(80, seed=1)
    both = shuffled(rows).join(roles_of(rows), on=["fit", "row_id"]).join(rows, on="row_id", suffix="_true")
    sums = both.group_by("fold").agg(pl.col("label").sum(), pl.col("label_true").sum())
    assert sums["label"].to_list() == sums["label_true"].to_list()


def test_labels_stay_as_often_as_chance_says(curated):
    rows = curated(400, seed=2)
    both = shuffled(rows).join(rows, on="row_id", suffix="_true")
    assert (both["label"] == both["label_true"]).mean() == pytest.approx(0.5, abs=0.05)


def test_row_order_changes_nothing_and_the_seed_does(curated):
    rows = curated(80, seed=1)
    tables = roles_of(rows), nodes_of(rows)
    one = shuffle_labels(rows, *tables, task="antigen-specificity", seed=1)
    assert one.equals(shuffle_labels(rows.reverse(), *tables, task="antigen-specificity", seed=1))
    assert not one.equals(shuffled(rows, seed=2))


@pytest.mark.parametrize("task", ["antigen-specificity", "paratope"])
def test_shuffles_differ_and_the_first_does_not_depend_on_their_number(curated, task):
    flags = [[n % 7 == i % 7 for n in range(60)] for i in range(80)]
    rows = curated(80, seed=1).with_columns(vh_paratope=pl.Series(flags))
    tables = roles_of(rows), nodes_of(rows)
    three = shuffle_labels(rows, *tables, task=task, seed=1, shuffles=3)
    parts = three.partition_by("shuffle", include_key=False)
    assert three["shuffle"].unique().to_list() == [0, 1, 2]
    assert parts[0].equals(shuffled(rows, task=task).drop("shuffle"))
    assert not parts[0].equals(parts[1])
    assert not parts[1].equals(parts[2])


def test_residues_are_permuted_within_their_chain(curated):
    labels = [[n % 7 == i % 7 for n in range(60)] for i in range(40)]
    rows = curated(40, seed=1).with_columns(vh_paratope=pl.Series(labels), label=pl.lit(None, dtype=pl.Boolean))
    both = shuffled(rows, task="paratope").join(rows, on="row_id", suffix="_true")
    assert both["vh_paratope"].list.sum().to_list() == both["vh_paratope_true"].list.sum().to_list()
    assert both["vh_paratope"].to_list() != both["vh_paratope_true"].to_list()
    assert both["vl_paratope"].null_count() == both.height


@pytest.mark.parametrize("seed", range(5))
def test_as_many_labels_lie_on_the_paratope_and_around_it_as_chance_says(curated, seed):
    labels = [[30 + i % 5 <= n < 36 + i % 9 for n in range(100 + i)] for i in range(40)]
    around = [[25 + i % 5 <= n < 41 + i % 9 for n in range(100 + i)] for i in range(40)]
    rows = curated(40, seed=1).with_columns(
        pl.Series("vh_paratope", labels), around=pl.Series(around), label=pl.lit(None, dtype=pl.Boolean)
    )
    both = shuffled(rows, seed=seed, task="paratope").join(rows, on="row_id", suffix="_true")
    lists = both.select("vh_paratope", "vh_paratope_true", "around").rows()
    for which in (1, 2):
        held = sum(int(np.sum(np.logical_and(row[0], row[which]))) for row in lists)
        by_chance = sum(np.mean(row[which]) * np.sum(row[0]) for row in lists)
        assert held == pytest.approx(by_chance, abs=4)


@pytest.mark.parametrize("seed", range(20))
def test_no_row_is_given_a_label_of_its_own_cluster(seed):
    generator = np.random.default_rng(seed)
    clusters = np.repeat(["a", "b", "c", "d"], [20, 12, 7, 1])
    order = _traded(generator.permutation(40), clusters, generator)
    assert sorted(order) == list(range(40))
    assert (clusters != clusters[order]).all()


def test_a_cluster_of_most_rows_gives_away_what_others_can_take():
    generator = np.random.default_rng(1)
    clusters = np.repeat(["a", "b"], [30, 10])
    order = _traded(generator.permutation(40), clusters, generator)
    assert (clusters == clusters[order]).sum() == 20
