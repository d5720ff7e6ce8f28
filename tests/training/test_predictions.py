import numpy as np
import polars as pl

from ab_assets.tables import PREDICTIONS
from ab_assets.training.data import examples_of
from ab_assets.training.predictions import SCORED, as_predictions, scored_table

BOTH = ("vh", "vl")


def test_an_antibody_is_one_row_with_its_true_label(rows):
    examples = examples_of(rows, task="antigen-specificity", chain_names=BOTH)
    table = scored_table(rows, [(e, [np.array([0.25])]) for e in reversed(examples)])
    assert table.schema == SCORED
    assert table["row_id"].to_list() == sorted(rows["row_id"])
    assert table["label"].to_list() == rows.sort("row_id")["label"].to_list()
    assert table["chain"].null_count() == table["residue"].null_count() == len(rows)


def test_every_residue_is_a_row_and_unseen_ones_have_no_score(rows):
    one = rows.head(1)
    vh, vl = examples_of(one, task="paratope", chain_names=BOTH)
    table = scored_table(one, [(vl, [np.array([0.5, 0.6])]), (vh, [np.full(len(one["vh"][0]), 0.1)])])
    assert table["chain"].to_list() == ["vh"] * len(one["vh"][0]) + ["vl"] * len(one["vl"][0])
    light = table.filter(pl.col("chain") == "vl")
    assert light["residue"].to_list() == list(range(len(one["vl"][0])))
    assert light["position"].to_list() == one["vl_positions"][0].to_list()
    assert light["label"].to_list() == one["vl_paratope"][0].to_list()
    assert light["score"].to_list()[:3] == [0.5, 0.6, None]


def test_chains_of_one_example_are_scored_apart(rows):
    one = rows.head(1)
    (both,) = examples_of(one, task="paratope", chain_names=BOTH, joined=True)
    table = scored_table(one, [(both, [np.full(len(one["vh"][0]), 0.1), np.array([0.5])])])
    assert table.filter(chain="vh")["score"].to_list() == [0.1] * len(one["vh"][0])
    assert table.filter(chain="vl")["score"].to_list() == [0.5, *[None] * (len(one["vl"][0]) - 1)]


def test_unlabelled_and_unnumbered_rows_have_no_label_and_no_position(rows):
    bare = rows.head(1).with_columns(
        vh_paratope=pl.lit(None, pl.List(pl.Boolean)), vh_positions=pl.lit(None, pl.List(pl.String))
    )
    (vh,) = examples_of(bare, task="paratope", chain_names=("vh",))
    table = scored_table(bare, [(vh, [np.full(len(bare["vh"][0]), 0.1)])])
    assert table["label"].null_count() == table["position"].null_count() == len(table)


def test_nothing_scored_is_an_empty_table(rows):
    assert scored_table(rows, []).schema == SCORED


def test_predictions_are_the_validation_and_test_rows_of_a_fit(rows, roles):
    examples = examples_of(rows, task="antigen-specificity", chain_names=BOTH)
    scored = scored_table(rows, [(e, [np.array([0.25])]) for e in examples])
    table = as_predictions(scored, roles, method="fine-tuned", fit=1, seed=3)
    assert table.schema == PREDICTIONS
    expected = roles.filter((pl.col("fit") == 1) & (pl.col("role") != "train"))
    assert dict(table.select("row_id", "role").iter_rows()) == dict(expected.select("row_id", "role").iter_rows())
    assert table.select("method", "fit", "seed").unique().row(0) == ("fine-tuned", 1, 3)
