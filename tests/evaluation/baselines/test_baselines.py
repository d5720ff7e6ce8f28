import subprocess
import sys

import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from ab_assets.evaluation.baselines import baseline_predictions
from ab_assets.tables import PREDICTIONS, SHUFFLED_LABELS, conform


@pytest.fixture
def predict(roles_of, shuffled_of):
    def make(rows, benchmark, *, fits=1, roles=None, **given):
        roles = roles_of(rows, fits) if roles is None else roles
        return baseline_predictions(rows, roles, benchmark, shuffled_of(rows, roles), **({"seed": 7} | given))

    return make


def auroc(table, method):
    test = table.filter(pl.col("method") == method, pl.col("role") == "test")
    return roc_auc_score(test["label"], test["score"])


def test_every_method_scores_every_validation_and_test_row_of_every_fit(predict, binders, benchmark_of, roles_of):
    table = predict(binders, benchmark_of(), fits=3)
    assert table.schema == PREDICTIONS
    assert table["method"].unique(maintain_order=True).to_list() == [
        "majority",
        "kmer-logistic",
        "nearest-neighbour",
        "kmer-logistic-shuffled",
    ]
    asked = roles_of(binders, 3).filter(pl.col("role") != "train").select("fit", "row_id", "role").sort(pl.all())
    for part in table.partition_by("method"):
        assert part.select("fit", "row_id", "role").sort(pl.all()).equals(asked)
    assert (table["seed"].unique().to_list(), table["score"].null_count()) == ([7], 0)
    assert table["score"].is_between(0, 1).all()


def test_paratope_methods_score_every_residue_of_the_used_chains(predict, structures, benchmark_of):
    table = predict(structures, benchmark_of("paratope", "HL"))
    test = table.filter(pl.col("role") == "test")
    assert set(test["method"]) == {"majority", "position-frequency", "windowed-forest", "windowed-forest-shuffled"}
    assert len(set(test.group_by("method").len()["len"])) == 1
    one = test.filter(pl.col("method") == "majority", pl.col("row_id") == "s030", pl.col("chain") == "vl")
    row = structures.filter(pl.col("row_id") == "s030")
    assert one["residue"].to_list() == list(range(len(row["vl"].item())))
    assert one["label"].to_list() == row["vl_paratope"].item().to_list()
    assert one["position"].to_list() == row["vl_positions"].item().to_list()
    only_heavy = predict(structures, benchmark_of("paratope", "H"))
    assert set(only_heavy["chain"]) == {"vh"}


def test_the_planted_rule_is_learned(predict, binders, structures, benchmark_of):
    of_antibodies = predict(binders, benchmark_of())
    assert auroc(of_antibodies, "kmer-logistic") > 0.9
    assert auroc(of_antibodies, "majority") == 0.5
    of_residues = predict(structures, benchmark_of("paratope", "HL"))
    assert auroc(of_residues, "windowed-forest") > auroc(of_residues, "position-frequency") > 0.8


def test_the_control_learns_the_labels_it_is_given_and_the_others_the_true_ones(binders, benchmark_of, roles_of):
    roles = roles_of(binders)
    learned = binders.join(roles.filter(pl.col("role") != "test"), on="row_id", how="semi")
    inverted = conform(learned.select("row_id", fit=pl.lit(0), label=~pl.col("label")), SHUFFLED_LABELS)
    table = baseline_predictions(binders, roles, benchmark_of(), inverted, seed=1)
    assert auroc(table, "kmer-logistic") > 0.9
    assert auroc(table, "kmer-logistic-shuffled") < 0.1


def test_a_cheap_control_learns_every_shuffle_under_a_seed_of_its_own(binders, benchmark_of, roles_of, shuffled_of):
    roles = roles_of(binders)
    one = shuffled_of(binders, roles)
    three = pl.concat([one.with_columns(shuffle=pl.lit(k, dtype=pl.Int64)) for k in range(3)])
    table = baseline_predictions(binders, roles, benchmark_of(), three, seed=5)
    seeds = dict(table.group_by("method").agg(pl.col("seed").unique().sort()).iter_rows())
    assert seeds == {
        "majority": [5],
        "kmer-logistic": [5],
        "nearest-neighbour": [5],
        "kmer-logistic-shuffled": [5, 6, 7],
    }


def test_labels_in_the_table_are_the_true_ones_also_of_the_control(predict, binders, benchmark_of):
    table = predict(binders, benchmark_of())
    true = binders.select("row_id", true="label")
    assert (table.join(true, on="row_id").select(pl.col("label") == pl.col("true"))).to_series().all()


@pytest.mark.parametrize("task", ["antigen-specificity", "paratope"])
def test_test_labels_and_the_order_of_rows_change_no_score(rows_of, benchmark_of, roles_of, shuffled_of, task):
    rows, roles, benchmark = rows_of[task], roles_of(rows_of[task]), benchmark_of(task)
    tested = pl.col("row_id").is_in(roles.filter(pl.col("role") == "test")["row_id"].implode())
    turned = rows.with_columns(
        label=pl.when(tested).then(~pl.col("label")).otherwise("label"),
        vh_paratope=pl.when(tested).then(pl.col("vh_paratope").list.reverse()).otherwise("vh_paratope"),
    ).reverse()
    labels = shuffled_of(rows, roles)
    one, other = (baseline_predictions(given, roles, benchmark, labels, seed=1) for given in (rows, turned))
    assert one.drop("label").equals(other.drop("label"))
    assert not one["label"].equals(other["label"])


@pytest.mark.parametrize("task", ["antigen-specificity", "paratope"])
def test_a_seed_gives_the_same_scores_with_any_number_of_workers(predict, rows_of, benchmark_of, task):
    one = predict(rows_of[task], benchmark_of(task, "HL"))
    assert predict(rows_of[task], benchmark_of(task, "HL"), workers=3).equals(one)


def test_the_control_belongs_to_the_declared_primary_baseline(predict, binders, benchmark_of):
    table = predict(binders, benchmark_of(evaluation={"primary_baseline": "nearest-neighbour"}))
    assert {m for m in table["method"] if m.endswith("-shuffled")} == {"nearest-neighbour-shuffled"}


def test_progress_counts_every_method_of_every_fit(predict, binders, benchmark_of):
    said = []
    predict(binders, benchmark_of(), fits=2, progress=lambda *step: said.append(step))
    assert said[0] == ("majority, fit 0", 0, 8)
    assert [done for _, done, _ in said] == list(range(9))


def test_importing_the_evaluation_loads_no_heavy_library():
    code = (
        "import ab_assets.evaluation.baselines, ab_assets.evaluation.scores, ab_assets.evaluation.comparisons, sys;"
        "print(sys.modules.keys() & {'torch', 'sklearn', 'numba', 'scipy', 'rapidfuzz', 'dagster'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
