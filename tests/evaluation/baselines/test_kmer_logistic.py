import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from ab_assets.evaluation.baselines import logistic as module
from ab_assets.evaluation.baselines.fitting import fit_items
from ab_assets.evaluation.baselines.kmer_logistic import kmer_logistic


@pytest.fixture
def items_of(roles_of, benchmark_of):
    return lambda rows, chains="H": fit_items(rows, roles_of(rows), benchmark_of(chains=chains))


def test_only_the_used_chains_are_read(binders, items_of):
    labels = binders["label"].tail(30)
    assert roc_auc_score(labels, kmer_logistic(items_of(binders, "H"))[1]) > 0.9
    assert roc_auc_score(labels, kmer_logistic(items_of(binders, "L"))[1]) < 0.8
    assert roc_auc_score(labels, kmer_logistic(items_of(binders, "HL"))[1]) > 0.9


def test_cdrh3_counts_where_it_is_known_and_is_not_needed(binders, items_of):
    without = binders.with_columns(cdrh3=pl.lit(None, dtype=pl.String))
    some = binders.with_columns(cdrh3=pl.when(pl.col("row_id") > "r010").then("cdrh3"))
    scores = [kmer_logistic(items_of(rows))[1] for rows in (binders, some, without)]
    assert all(roc_auc_score(binders["label"].tail(30), one) > 0.85 for one in scores)
    assert (scores[0] != scores[2]).any()


def test_a_chain_that_a_row_lacks_counts_nothing(binders, items_of):
    rows = binders.with_columns(vl=pl.when(pl.col("row_id") != "r070").then("vl"))
    assert len(kmer_logistic(items_of(rows, "HL"))[1]) == 30


def test_the_strength_is_the_one_with_the_lowest_error_on_validation(binders, items_of, monkeypatch):
    items = items_of(binders)
    chosen = items.validation_error(kmer_logistic(items)[0])
    each = []
    for strength in module.STRENGTHS:
        monkeypatch.setattr(module, "STRENGTHS", (strength,))
        each.append(items.validation_error(kmer_logistic(items)[0]))
    assert chosen == min(each) < max(each)
