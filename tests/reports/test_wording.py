import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_assets.reports import wording


@given(st.floats(-1, 1))
def test_a_number_reads_back_as_what_it_was_and_is_never_minus_zero(value):
    text = wording.number(value)
    assert float(text.replace(wording.MINUS, "-")) == pytest.approx(value, abs=0.0005 + 1e-12)
    assert text != f"{wording.MINUS}0.000"


@pytest.mark.parametrize("undefined", [None, float("nan")])
def test_an_undefined_number_is_a_dash_and_not_zero(undefined):
    assert wording.number(undefined) == wording.DASH


def test_an_interval_without_an_end_is_nothing():
    assert wording.interval(None, 0.5) == ""
    assert wording.interval(-0.1, 0.25, digits=2) == f"[{wording.MINUS}0.10, 0.25]"


@pytest.mark.parametrize(
    ("low", "high", "metric", "shown"),
    [
        (0.01, 0.2, "ap", "better"),
        (-0.2, -0.01, "ap", "worse"),
        (-0.1, 0.1, "ap", "no difference shown"),
        (0.0, 0.1, "ap", "no difference shown"),
        (0.01, 0.2, "brier", "worse"),
        (None, None, "ap", "not determined"),
    ],
)
def test_an_interval_shows_a_difference_only_when_it_excludes_zero(low, high, metric, shown):
    assert wording.verdict(low, high, metric=metric) == shown


def test_a_small_share_is_not_rounded_to_nothing():
    assert wording.percent(0.001) == f"<{wording.NBSP}1{wording.NBSP}%"
    assert wording.percent(0.0) == f"0{wording.NBSP}%"
    assert wording.percent(0.4149, digits=1) == f"41.5{wording.NBSP}%"


def test_words_agree_with_their_numbers():
    assert wording.plural(1, "seed") == "1 seed"
    assert wording.plural(1200, "antibody", "antibodies") == "1,200 antibodies"
    assert wording.listing(["a", "b", "c"], last="or") == "a, b or c"
    assert wording.listing([]) == "nothing"


@pytest.mark.parametrize(
    ("label", "inside"),
    [
        ("Windowed random forest", "windowed random forest"),
        ("k-mer logistic regression", "k-mer logistic regression"),
        ("ESM-2 8M fine-tuned", "ESM-2 8M fine-tuned"),
    ],
)
def test_names_keep_their_capitals_inside_a_sentence_only_where_they_own_them(label, inside):
    assert wording.in_sentence(label) == inside
