import polars as pl
import pytest

from ab_assets.datasets.readers.lists import as_list


def read(value, dtype=pl.String, *, signs=True):
    frame = pl.DataFrame({"x": [value]}, schema={"x": dtype})
    return frame.select(as_list(frame, "x", one_sign_each=signs))["x"].to_list()[0]


@pytest.mark.parametrize("text", ["1 2 111A", "1,2, 111A", "['1', '2', '111A']", '["1";"2";"111A"]', "(1|2|111A)"])
def test_positions_are_separated_in_any_common_way(text):
    assert read(text, signs=False) == ["1", "2", "111A"]


@pytest.mark.parametrize("text", ["010", "0 1 0", "[0, 1, 0]", " 010 "])
def test_flags_may_stand_without_separators(text):
    assert read(text) == ["0", "1", "0"]


def test_one_position_is_not_taken_apart():
    assert read("111A", signs=False) == ["111A"]


def test_parquet_lists_stay_as_they_are():
    assert read([True, False], pl.List(pl.Boolean)) == ["true", "false"]


@pytest.mark.parametrize("value", [None, "", "[]"])
def test_an_empty_list_is_none(value):
    assert read(value) is None
    assert read([], pl.List(pl.String)) is None
