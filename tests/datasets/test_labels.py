import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_assets.datasets.labels import canonical, is_missing, read_labels


def read(values, positive, negative=()):
    label, undeclared = read_labels(pl.Series(values, dtype=pl.String), positive=positive, negative=negative)
    return label.to_list(), undeclared.to_list()


@pytest.mark.parametrize("value", ["1", "1.0", " 1 ", "1e0", "+1", "01", "1."])
def test_spellings_of_a_number_are_one_label(value):
    assert canonical(value) == "1"


def test_boolean_words_are_one_label_and_other_words_keep_their_case():
    assert canonical("TRUE") == canonical("true")
    assert canonical("Binder") != canonical("binder")


@pytest.mark.parametrize("value", ["1/2", "1_0", "1e9999", "٣", "1,0"])
def test_what_only_python_would_take_for_a_number_stays_text(value):
    assert canonical(value) == value


@given(st.integers(-(10**30), 10**30))
def test_large_numbers_that_differ_stay_different(number):
    assert canonical(str(number)) != canonical(str(number + 1))
    assert canonical(f"{number}.000") == canonical(str(number))


def test_without_declared_negatives_every_other_value_is_negative():
    assert read(["1", "1.0", "0", "weak", None], ["1"]) == ([True, True, False, False, None], [False] * 5)


def test_with_declared_negatives_anything_else_is_undeclared():
    assert read(["1", "0.0", "maybe", None], ["1"], ["0"]) == ([True, False, None, None], [False, False, True, False])


@pytest.mark.parametrize("value", ["NA", "n/a", "NaN", "<NA>", "null", ""])
def test_an_empty_cell_as_table_programs_write_it_is_no_label(value):
    assert is_missing(value)
    assert read([value], ["1"]) == ([None], [False])


def test_a_declared_value_is_a_label_even_if_it_looks_empty():
    assert read(["NA"], ["1"], ["NA"]) == ([False], [False])


def test_none_is_a_word_for_no_binding():
    assert read(["none"], ["strong"]) == ([False], [False])


def test_no_rows_have_no_labels():
    assert read([], ["1"]) == ([], [])
    assert read([None], []) == ([None], [False])
