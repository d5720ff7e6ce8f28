import polars as pl
import pytest

from ab_assets.errors import FitFailedError
from ab_assets.evaluation.baselines.fitting import RESIDUES, fit_items, relabelled, residues_of
from ab_assets.tables import SHUFFLED_LABELS


def test_items_are_divided_by_role_and_sorted(binders, roles_of, benchmark_of):
    items = fit_items(binders.reverse(), roles_of(binders), benchmark_of())
    assert items.train["row_id"].to_list() == [f"r{n:03d}" for n in range(30)]
    assert items.test["row_id"].to_list() == [f"r{n:03d}" for n in range(60, 90)]
    assert (items.prevalence, items.labels.sum()) == (0.5, 15)


def test_residues_follow_each_chain_with_what_is_known_of_them(curated):
    rows = curated(
        [
            {"row_id": "b", "vh": "EV", "vh_positions": ["1", None], "vh_paratope": [True, False], "vl": "DIQ"},
            {"row_id": "a", "vl": "Q", "vl_paratope": [True]},
        ]
    )
    found = residues_of(rows, ("vh", "vl"))
    assert found.schema == RESIDUES
    assert found.rows() == [
        ("a", "vl", 0, None, True, "Q", 1),
        ("b", "vh", 0, "1", True, "E", 2),
        ("b", "vh", 1, None, False, "V", 2),
        ("b", "vl", 0, None, None, "D", 3),
        ("b", "vl", 1, None, None, "I", 3),
        ("b", "vl", 2, None, None, "Q", 3),
    ]


def test_chains_without_labels_are_scored_but_not_learned(curated, roles_of, benchmark_of):
    rows = curated([{"row_id": row, "vh": "EV", "vh_paratope": [True, False], "vl": "DI"} for row in ("a", "b", "c")])
    items = fit_items(rows, roles_of(rows), benchmark_of("paratope", "HL"))
    assert (items.train.height, items.validation.height, items.test.height) == (2, 4, 4)
    assert (
        items.validation_error(
            items.validation.select(pl.lit(0.5).repeat_by(1).explode()).to_series().to_numpy().repeat(4)
        )
        == 0.25
    )


def test_relabelled_rows_have_the_shuffled_labels_and_no_others(binders):
    told = binders.head(2).select("row_id", label=~pl.col("label"), fit=pl.lit(0))
    table = pl.DataFrame(told.to_dicts(), schema=SHUFFLED_LABELS)
    found = relabelled(binders, table)
    assert found["label"].head(3).to_list() == [False, True, None]
    assert found["row_id"].equals(binders["row_id"])


def test_a_fit_without_rows_or_with_one_class_is_refused_by_name(binders, roles_of, benchmark_of):
    roles = roles_of(binders)
    with pytest.raises(FitFailedError, match="b, fit 0: there is no validation row"):
        fit_items(binders, roles.filter(pl.col("role") != "validation"), benchmark_of())
    with pytest.raises(FitFailedError, match=r"all training labels are the same.*30 training items"):
        fit_items(binders.with_columns(label=pl.lit(value=True)), roles, benchmark_of())
