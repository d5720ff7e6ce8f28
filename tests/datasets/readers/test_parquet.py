from datetime import date

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ab_assets.datasets.readers.parquet import read_parquet
from ab_assets.errors import UnreadableFileError


def read(path, *wanted):
    (table,) = read_parquet(path, file=path.name, wanted=wanted)
    return table


@pytest.fixture
def table(tmp_path):
    def write(frame):
        frame.write_parquet(tmp_path / "a.parquet")
        return tmp_path / "a.parquet"

    return write


def test_every_kind_of_value_becomes_text(table):
    frame = pl.DataFrame(
        {"i": [1], "f": [float("nan")], "b": [True], "d": [date(2020, 1, 2)], "s": ["x"], "other": [0]}
    )
    frame = frame.with_columns(pl.col("s").cast(pl.Categorical))
    columns = read(table(frame), "i", "f", "b", "d", "s").columns.values()
    assert [column[0] for column in columns] == ["1", None, "true", "2020-01-02", "x"]


def test_lists_stay_lists(table):
    frame = pl.DataFrame({"p": [["1", "111A"], None], "b": [[True, False], []], "n": [[1, None], [2]]})
    result = read(table(frame), "p", "b", "n").columns
    assert result["p"].to_list() == [["1", "111A"], None]
    assert result["b"].to_list() == [["true", "false"], []]
    assert result["n"].to_list() == [["1", None], ["2"]]


def test_rows_are_counted_even_if_no_column_is_wanted(table):
    raw = read(table(pl.DataFrame({"a": [1, 2]})))
    assert (raw.rows.to_list(), raw.columns, raw.header) == ([1, 2], {}, ("a",))


def test_a_column_of_structures_is_refused_by_name(table):
    with pytest.raises(UnreadableFileError, match="column 's'"):
        read(table(pl.DataFrame({"s": [{"x": 1}]})), "s")
    assert read(table(pl.DataFrame({"s": [{"x": 1}], "a": [1]})), "a").header == ("s", "a")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_an_error_in_words_whatever_its_place(tmp_path, data):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": ["x", "yy"] * 50, "l": [["1", "2"], None] * 50}).write_parquet(path)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(content))
    try:
        read(path, "a", "l")
    except UnreadableFileError as error:
        assert error.problem.where == "a.parquet"  # noqa: PT017 - many a flipped byte does no harm
