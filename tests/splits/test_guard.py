"""Training gives way to validation, and both to test."""

from __future__ import annotations

import polars as pl
import pytest

from ab_assets.splits.guard import Ties, guarded
from ab_assets.tables import CURATED, EDGES, ROLES, conform


@pytest.fixture
def rows():
    entries = {"row_id": ["a", "b", "c", "d", "e"], "entry": ["1abc", None, None, None, "1abc"]}
    return conform(pl.DataFrame(entries).with_columns(subject_id=pl.lit("donor")), CURATED)


def ties(rows, *pairs, groups=()):
    edges = pl.DataFrame([(a, b, "vh", 0.95) for a, b in pairs], EDGES, orient="row")
    return Ties(rows, edges, groups)


def roles(**fits):
    known = [(int(fit[1:]), row_id, role, 0) for fit, given in fits.items() for row_id, role in given.items()]
    return conform(pl.DataFrame(known, ROLES, orient="row"), ROLES)


def left_of(table):
    return set(table.select("fit", "row_id").iter_rows())


def test_rows_tied_to_a_test_row_leave_training_and_validation(rows):
    given = roles(f0={"a": "test", "b": "train", "c": "validation", "d": "train"})
    assert left_of(guarded(given, ties(rows, ("a", "b"), ("a", "c")))) == {(0, "a"), (0, "d")}


def test_rows_tied_to_a_validation_row_leave_training_alone(rows):
    given = roles(f0={"a": "test", "b": "validation", "c": "train"})
    assert left_of(guarded(given, ties(rows, ("b", "c")))) == {(0, "a"), (0, "b")}


def test_a_validation_row_that_left_pushes_nobody_out(rows):
    given = roles(f0={"a": "test", "b": "validation", "c": "train"})
    assert left_of(guarded(given, ties(rows, ("a", "b"), ("b", "c")))) == {(0, "a"), (0, "c")}


def test_fits_are_apart(rows):
    given = roles(f0={"a": "test", "b": "train"}, f1={"a": "train", "b": "train"})
    assert left_of(guarded(given, ties(rows, ("a", "b")))) == {(0, "a"), (1, "a"), (1, "b")}


def test_a_shared_group_ties_like_an_edge(rows):
    given = roles(f0={"a": "test", "b": "train", "e": "train"})
    assert left_of(guarded(given, ties(rows, groups=("entry",)))) == {(0, "a"), (0, "b")}
    assert left_of(guarded(given, ties(rows, groups=("subject_id",)))) == {(0, "a")}
