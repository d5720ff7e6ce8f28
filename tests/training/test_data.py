import polars as pl
import pytest

from ab_assets.errors import FitFailedError
from ab_assets.training.data import (
    UNKNOWN_LABEL,
    FitData,
    chosen_antibodies,
    count_labels,
    examples_of,
    texts_of,
    unique_texts,
)

SPECIFICITY = {"task": "antigen-specificity", "chain_names": ("vh", "vl")}
PARATOPE = {"task": "paratope", "chain_names": ("vh", "vl")}


@pytest.mark.parametrize("kind", [SPECIFICITY, PARATOPE])
def test_the_order_of_rows_and_roles_does_not_matter(rows, roles, kind):
    assert [e.row_id for e in FitData.build(rows, roles, fit=0, **kind).train] == [
        e.row_id for e in FitData.build(rows.reverse(), roles.reverse(), fit=0, **kind).train
    ]


def test_an_antibody_is_one_example_with_its_chains_in_order(rows):
    (example,) = examples_of(rows.head(1), **SPECIFICITY)
    assert example.texts == ((rows["vh"][0],), (rows["vl"][0],))
    assert (example.scored, example.labels.tolist()) == ((), [1])
    (together,) = examples_of(rows.head(1), **SPECIFICITY, joined=True)
    assert together.texts == ((rows["vh"][0], rows["vl"][0]),)


def test_a_paratope_example_is_one_chain_with_a_label_per_residue(rows):
    vh, vl = examples_of(rows.head(1), **PARATOPE)
    assert [(e.scored, e.texts) for e in (vh, vl)] == [
        (("vh",), ((rows["vh"][0],),)),
        (("vl",), ((rows["vl"][0],),)),
    ]
    assert vh.labels.tolist() == rows["vh_paratope"][0].to_list()


def test_joined_chains_are_one_example_and_a_chain_without_labels_counts_for_nothing(rows):
    lacking = rows.head(1).with_columns(vl_paratope=pl.lit(None, pl.List(pl.Boolean)))
    (both,) = examples_of(lacking, **PARATOPE, joined=True)
    vh, vl = rows["vh"][0], rows["vl"][0]
    assert (both.scored, both.texts) == (("vh", "vl"), ((vh, vl),))
    assert both.labels.tolist() == [*rows["vh_paratope"][0], *[UNKNOWN_LABEL] * len(vl)]
    assert count_labels([both])[1] == len(vh)


def test_a_missing_chain_leaves_out_the_antibody_or_only_the_chain(rows):
    lacking = rows.head(1).with_columns(vl=pl.lit(None, pl.String))
    assert examples_of(lacking, **SPECIFICITY) == []
    for joined in (False, True):
        assert [e.scored for e in examples_of(lacking, **PARATOPE, joined=joined)] == [("vh",)]


def test_test_rows_and_unlabelled_rows_are_never_trained_on(rows, roles):
    unlabelled = rows.with_columns(label=pl.when(pl.int_range(pl.len()) > 0).then("label"))
    data = FitData.build(unlabelled, roles, fit=0, **SPECIFICITY)
    assert len(data.train) == 31
    test = set(roles.filter((pl.col("fit") == 0) & (pl.col("role") == "test"))["row_id"])
    assert not test & {e.row_id for e in (*data.train, *data.validation)}


def test_shuffled_labels_replace_true_ones_of_their_fit(rows, roles, shuffled):
    true = FitData.build(rows, roles, fit=1, **PARATOPE)
    control = FitData.build(rows, roles, fit=1, **PARATOPE, shuffled_labels=shuffled)
    assert (true.shuffled, control.shuffled) == (False, True)
    for one, other in zip(true.train, control.train, strict=True):
        assert (one.row_id, one.scored, one.texts) == (other.row_id, other.scored, other.texts)
        assert (one.labels != other.labels).all()


def test_one_class_or_no_rows_fail_before_anything_is_loaded(rows, roles):
    with pytest.raises(FitFailedError, match="one class only"):
        FitData.build(rows.with_columns(label=pl.lit(value=True)), roles, fit=0, **SPECIFICITY)
    with pytest.raises(FitFailedError, match="no labelled validation row"):
        FitData.build(rows, roles.filter(pl.col("role") != "validation"), fit=0, **SPECIFICITY)


def test_the_digest_changes_with_what_is_learnt_and_with_nothing_else(rows, roles, shuffled):
    digest = FitData.build(rows, roles, fit=0, **PARATOPE).digest()
    renamed = rows.reverse().with_columns(sequence_id=pl.lit("x"), label=~pl.col("label"))
    assert FitData.build(renamed, roles, fit=0, **PARATOPE).digest() == digest
    others = [
        FitData.build(rows, roles, fit=1, **PARATOPE),
        FitData.build(rows, roles, fit=0, **PARATOPE, shuffled_labels=shuffled),
        FitData.build(rows, roles, fit=0, **SPECIFICITY),
        FitData.build(rows, roles, fit=0, **PARATOPE, joined=True),
    ]
    assert len({digest, *(other.digest() for other in others)}) == 5


def test_texts_are_named_once_and_labels_are_counted(rows):
    twice = examples_of(pl.concat([rows, rows]), **SPECIFICITY)
    assert len(unique_texts(twice)) == 96
    assert texts_of(rows, ("vh", "vl")) == unique_texts(twice)
    assert len(texts_of(rows, ("vh", "vl"), joined=True)) == 48
    assert count_labels(examples_of(rows, **SPECIFICITY)) == (24, 48)


def test_the_first_test_binders_are_chosen_and_any_where_labels_are_per_residue(rows, roles):
    chosen = chosen_antibodies(rows, roles, fit=0, limit=3)
    assert chosen["row_id"].to_list() == [f"{i:016x}" for i in (40, 42, 44)]
    paratope = rows.with_columns(label=pl.lit(None, pl.Boolean))
    assert chosen_antibodies(paratope, roles, fit=0, limit=3)["row_id"].to_list() == [f"{i:016x}" for i in (40, 41, 42)]
