import polars as pl

from ab_assets.datasets.rejection import Sieve, join_rejected
from ab_assets.tables import REJECTED


def sieve_of(*values):
    rows = range(1, len(values) + 1)
    return Sieve(pl.DataFrame({"file": "a.csv", "row": rows, "x": values}, schema_overrides={"row": pl.Int64}))


def test_a_row_is_rejected_once_by_the_first_rule_it_fails():
    sieve = sieve_of(1, 2, 3)
    sieve.reject(pl.col("x") > 1, reason="large", column="x", value="x", detail="above 1")
    sieve.reject(pl.col("x") > 2, reason="larger", column="x", value="x", detail="above 2")
    assert sieve.rows["x"].to_list() == [1]
    assert sieve.rejected.rows() == [
        ("a.csv", 2, "x", "2", "large", "above 1"),
        ("a.csv", 3, "x", "3", "large", "above 1"),
    ]


def test_null_passes_a_rule():
    sieve = sieve_of(None, 2)
    sieve.reject(pl.col("x") > 1, reason="large", column=None, value=pl.lit(None), detail=pl.format("{}!", "x"))
    assert sieve.rows["row"].to_list() == [1]
    assert sieve.rejected.row(0) == ("a.csv", 2, None, None, "large", "2!")


def test_nothing_rejected_is_an_empty_table_of_the_same_columns():
    assert sieve_of(1).rejected.schema == REJECTED
    assert join_rejected([]).is_empty()
