import csv
import io

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_assets.exports import export_csv

FORMULA_STARTS = tuple("=+-@\t\r\n")


def read(text):
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("hostile", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe(hostile):
    assert read(export_csv(pl.DataFrame({"id": [hostile]})))[1] == [f"'{hostile}"]


def test_numbers_stay_numbers():
    frame = pl.DataFrame({"difference": [-0.25, 1.0], "n": [-3, 4], "ok": [True, None]})
    assert pl.read_csv(export_csv(frame).encode()).equals(frame)


def test_lists_become_one_cell_that_is_no_formula():
    assert read(export_csv(pl.DataFrame({"sources": [["=a.csv:1", "b.csv:2"]]})))[1] == ["'=a.csv:1|b.csv:2"]


def test_a_heading_is_text_as_well():
    assert read(export_csv(pl.DataFrame({"=cmd": [1]})))[0] == ["'=cmd"]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1, max_size=5))
def test_no_exported_text_starts_like_a_formula(cells):
    rows = read(export_csv(pl.DataFrame({"id": cells, "n": [1] * len(cells)})))
    assert len(rows) == 1 + len(cells)
    assert not any(row[0].startswith(FORMULA_STARTS) for row in rows)
