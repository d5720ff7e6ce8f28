import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_assets.datasets.imgt import REGIONS, cdrh3_of, is_position, region_of, sort_key

# IMGT unique numbering, from the N to the C terminus of a long CDR3.
CDR3 = ["110", "111", "111A", "111B", "112C", "112B", "112A", "112", "113"]


def test_insertions_after_111_ascend_and_before_112_descend():
    assert sorted(sorted(CDR3), key=sort_key) == CDR3


def test_a_doubled_letter_follows_z():
    assert sort_key("111Z") < sort_key("111AA") < sort_key("112AA") < sort_key("112Z")


def test_numbers_sort_as_numbers():
    assert sorted(["10", "9", "100"], key=sort_key) == ["9", "10", "100"]


def test_regions_are_closed_and_leave_no_position_out():
    bounds = list(REGIONS.values())
    assert bounds[0][0] == 1
    assert bounds[-1][1] == 129
    assert all(after[0] == before[1] + 1 for before, after in pairwise(bounds))


@pytest.mark.parametrize(
    ("position", "region"),
    [
        ("26", "fwr1"),
        ("27", "cdr1"),
        ("38", "cdr1"),
        ("65", "cdr2"),
        ("104", "fwr3"),
        ("112A", "cdr3"),
        ("128", "fwr4"),
    ],
)
def test_each_region_includes_its_last_position(position, region):
    assert region_of(position) == region


@pytest.mark.parametrize("text", ["", "0", "01", "130", "A", "27a", "27.1", "-1", "1 ", "27ABC", "1\n", "٢٧"])
def test_other_text_is_no_position(text):
    assert not is_position(text)
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        sort_key(text)


@given(st.integers(1, 129), st.text("ABCXYZ", max_size=2))
def test_every_position_has_a_region_and_its_own_place(number, letters):
    position = f"{number}{letters}"
    first, last = REGIONS[region_of(position)]
    assert first <= number <= last
    assert (sort_key(position) == sort_key(str(number))) == (not letters)


def test_cdrh3_is_what_lies_at_105_to_117():
    assert cdrh3_of("CARDYW", ["104", "105", "106", "111A", "117", "118"]) == "ARDY"


def test_a_sequence_without_cdr3_residues_has_no_cdrh3():
    assert cdrh3_of("EV", ["1", None]) is None


def test_positions_must_be_as_many_as_residues():
    with pytest.raises(ValueError, match="zip"):
        cdrh3_of("EVQ", ["105"])
