"""The ladder measures what it says, and finds the leak that was put there."""

from __future__ import annotations

import hashlib
import os
import random
from itertools import product
from pathlib import Path

import polars as pl
import pytest

from ab_assets.benchmarks.schema import Benchmark
from ab_assets.evaluation import ladder as module
from ab_assets.evaluation.ladder import climb
from ab_assets.splits.clusters import mmseqs_clusters
from ab_assets.splits.graph import similarity_graph
from ab_assets.splits.identity import largest_identity, sequence_identity
from ab_assets.splits.ladder import RUNGS, ladder
from ab_assets.tables import CURATED, conform

pytestmark = pytest.mark.xdist_group("ladder")  # one fixture for all

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
MIRROR = os.environ.get("AB_ASSETS_MIRROR", "")


def benchmark(**split):
    return Benchmark.model_validate(
        {
            "name": "b",
            "task": "antigen-specificity",
            "source": {"files": ("a.csv",)},
            "split": {"folds": 4, **split},
            "evaluation": {"resamples": 200},
        }
    )


def families(seed=1):
    """Return families whose members share a label that says nothing about other families."""
    rng = random.Random(seed)
    table = []
    for _ in range(40):
        founder, label = rng.choices(LETTERS, k=100), rng.random() < 0.5
        for _ in range(5):
            vh = list(founder)
            for index in rng.sample(range(100), 5):
                vh[index] = rng.choice(LETTERS)
            table.append({"row_id": f"r{len(table):03d}", "vh": "".join(vh), "label": label})
    return conform(pl.DataFrame(table), CURATED)


@pytest.fixture(scope="module")
def climbed():
    rows, asked = families(), benchmark()
    graph = similarity_graph(rows, asked.split.identity, cluster=mmseqs_clusters)
    return rows, graph, asked, climb(rows, graph.nodes, graph.edges, asked, seed=1)


def test_labels_that_only_families_share_are_predicted_on_the_random_rung_alone(climbed):
    auroc = climbed[3].scores.filter(metric="auroc", method="nearest-neighbour")
    values = dict(auroc.select("rung", "value").iter_rows())
    assert tuple(values) == RUNGS
    assert values["random"] > 0.95
    assert values["certified"] < 0.7
    difference = auroc.row(0, named=True)
    assert difference["difference"] == pytest.approx(values["random"] - values["certified"])
    assert difference["difference_low"] > 0
    assert difference["difference_low"] <= difference["difference"] <= difference["difference_high"]


def test_the_certified_rung_is_compared_with_nothing(climbed):
    assert climbed[3].scores.filter(rung="certified")["difference"].is_null().all()


def test_identity_and_rows_over_the_bound_are_those_of_brute_force(climbed):
    rows, graph, asked, found = climbed
    built = ladder(rows, graph.nodes, graph.edges, asked, cluster=mmseqs_clusters)
    vh = dict(rows.select("row_id", "vh").iter_rows())
    for rung, roles in built.rungs.items():
        highest, over = 0.0, set()
        for fit in range(4):
            part = roles.filter(pl.col("fit") == fit)
            test, train = (part.filter(pl.col("role") == role)["row_id"].to_list() for role in ("test", "train"))
            for one, other in product(test, train):
                identity = sequence_identity(vh[one], vh[other], kind="vh")
                highest = max(highest, identity)
                over |= {one} if identity >= 0.9 else set()
        said = found.rungs.filter(rung=rung, by="vh").row(0, named=True)
        assert (said["identity"], said["over"]) == (highest, len(over))
        assert said["tested"] == rows.height


def test_a_measure_without_a_bound_is_measured_and_counts_nobody(climbed):
    vl = climbed[3].rungs.filter(by="vl")
    assert vl["over"].is_null().all()
    assert vl["bound"].is_null().all()


@pytest.mark.parametrize("kind", ["vh", "cdrh3"])
@pytest.mark.parametrize("seed", range(5))
def test_the_largest_identity_is_that_of_all_pairs(kind, seed):
    rng = random.Random(seed)
    texts = [["".join(rng.choices("AC", k=rng.randint(10, 14))) for _ in range(600)] for _ in range(2)]
    texts[0][5] = None
    every = max(sequence_identity(one, other, kind=kind) for one in texts[0][:300] for other in texts[1][:40])
    assert largest_identity(texts[0][:300], texts[1][:40], kind=kind) == every
    assert largest_identity(texts[0], texts[1], kind=kind) >= every
    assert largest_identity([], texts[1], kind=kind) == 0.0


@pytest.mark.long
@pytest.mark.real_data
@pytest.mark.skipif(not MIRROR, reason="AB_ASSETS_MIRROR is not set")
def test_the_published_drop_of_kmer_regression_is_found(monkeypatch):
    monkeypatch.setattr(module, "METHODS", {"antigen-specificity": ("kmer-logistic",)})
    # reference: .740 random, .707 / .652 / .626 with VH clusters at 90 / 80 / 70 %
    raw = pl.read_csv(Path(MIRROR) / "derived_deepaai_sarscov2_paired.csv")
    names = [hashlib.sha256(f"{vh}|{vl}".encode()).hexdigest()[:16] for vh, vl in raw.select("heavy", "light").rows()]
    table = raw.select(pl.Series("row_id", names), vh="heavy", vl="light", label=pl.col("label") == 1)
    rows = conform(table.unique("row_id", maintain_order=True), CURATED)
    asked = benchmark(folds=5).model_copy(update={"chains": "HL"})
    graph = similarity_graph(rows, asked.split.identity, cluster=mmseqs_clusters, workers=2)
    found = climb(rows, graph.nodes, graph.edges, asked, seed=1, workers=2)
    kmer = found.scores.filter(metric="auroc", method="kmer-logistic")
    values = dict(kmer.select("rung", "value").iter_rows())
    known = {"random": 0.740, "clusters-0.9": 0.707, "clusters-0.8": 0.652, "clusters-0.7": 0.626}
    assert all(values[rung] == pytest.approx(auroc, abs=0.02) for rung, auroc in known.items())
    assert (kmer["low"] < kmer["value"]).all()
    assert (kmer["value"] < kmer["high"]).all()
    highest = dict(found.rungs.filter(by="vh").select("rung", "identity").iter_rows())
    assert highest["random"] == 1.0
    assert highest["clusters-0.7"] > 0.95
    assert highest["certified"] < 0.9


def test_light_chains_without_a_heavy_one_are_gated_at_its_bound():
    rows = families(seed=2).select(row_id="row_id", label="label", vl="vh")
    rows = conform(rows, CURATED)
    asked = benchmark().model_copy(update={"chains": "L"})
    graph = similarity_graph(rows, asked.split.identity, cluster=mmseqs_clusters)
    found = climb(rows, graph.nodes, graph.edges, asked, seed=1).rungs.filter(by="vl")
    over = dict(found.select("rung", "over").iter_rows())
    assert set(found["bound"]) == {0.9}
    assert over["random"] > 0
    assert over["certified"] == 0
