import polars as pl
import pytest

from ab_assets.datasets.readers.layouts import missing_columns, nearest_hint
from ab_assets.datasets.readers.source import RawTable, part_of_file, source_path, standardise
from ab_assets.errors import BadInputError, UnknownNameError


@pytest.mark.parametrize("name", ["../x.csv", "/etc/passwd", "a/../../x.csv", "..\\x.csv", ".", ""])
def test_a_file_name_may_not_lead_out_of_the_folder(tmp_path, name):
    with pytest.raises(BadInputError, match="leads out"):
        source_path(tmp_path, name)


def test_a_missing_file_names_the_nearest_that_is_there(tmp_path):
    (tmp_path / "antibodies.csv").touch()
    with pytest.raises(UnknownNameError, match=r"antibody\.csv: .*Did you mean 'antibodies\.csv'"):
        source_path(tmp_path, "antibody.csv")


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(UnknownNameError):
        source_path(tmp_path, "a.csv")


def test_a_missing_column_names_the_nearest_existing_one(table_benchmark):
    problems = missing_columns(table_benchmark(), "a.csv", ("Heavy", "light_chain", "label"))
    assert [problem.hint for problem in problems] == ["Did you mean 'Heavy'?", "Did you mean 'light_chain'?"]
    assert all(problem.where == "a.csv" for problem in problems)
    assert "columns.vh" in problems[0].what


def test_a_header_with_the_wrong_separator_is_recognised(table_benchmark):
    problem = missing_columns(table_benchmark(), "a.csv", ("heavy;light;label",))[0]
    assert "separated by semicolons" in problem.hint


def test_a_declared_column_may_not_be_there_twice(table_benchmark):
    (problem,) = missing_columns(table_benchmark(), "a.csv", ("heavy", "light", "label", "label"))
    assert "more than once" in problem.what


def test_columns_with_the_same_advice_are_one_problem(table_benchmark):
    far, near = missing_columns(table_benchmark(), "a.csv", ("hevy", "x"))
    assert (near.what, near.hint) == ("column 'heavy' (columns.vh) is missing", "Did you mean 'hevy'?")
    assert far.what == "columns 'label' (columns.label), 'light' (columns.vl) are missing"


def test_a_row_in_place_of_the_header_is_recognised_and_cut_short(table_benchmark, vh):
    (problem,) = missing_columns(table_benchmark(), "a.csv", (vh, "1"))
    assert "looks like a row" in problem.hint
    assert vh not in problem.found


def test_nothing_near_is_no_hint():
    assert nearest_hint("heavy", ["zzz", "", "y"]) == ""


def test_files_say_their_part_in_published_splits_and_as_test_files(table_benchmark):
    parts = {"train": ["a.csv"], "test": ["b.csv"]}
    published = table_benchmark(split={"policy": "published", "parts": parts})
    assert [part_of_file(published, file) for file in ("a.csv", "b.csv", "c.csv")] == ["train", "test", None]
    identity = table_benchmark(split={"parts": parts, "test_files": ["c.csv"]})
    assert [part_of_file(identity, file) for file in ("a.csv", "b.csv", "c.csv")] == [None, None, "test"]


@pytest.mark.parametrize(("junction", "cdrh3"), [("CARDYW", "ARDY"), (".CARDYW-", "ARDY"), ("CW", None), ("C", None)])
def test_a_junction_loses_its_anchors_and_a_cdr3_does_not(junction, cdrh3):
    rows = pl.Series([1], dtype=pl.Int64)
    for column, expected in (("junction_aa", cdrh3), ("cdr3_aa", junction)):
        raw = RawTable((column,), rows, {column: pl.Series([junction])})
        assert standardise(raw, {"cdrh3": column})["cdrh3"].to_list() == [expected]
