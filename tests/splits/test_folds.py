"""Folds hold no edge between them, lose few rows, and depend on nothing but the graph."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_assets.splits.folds import REMOVED, _evenest, assign_folds, pack


@st.composite
def graphs(draw):
    """Return (left, right, strata, units, folds) of a small random graph, sparse or dense."""
    rows = draw(st.integers(6, 40))
    row = st.integers(0, rows - 1)
    edges = np.array(draw(st.lists(st.tuples(row, row), max_size=3 * rows)), dtype=np.int64).reshape(-1, 2)
    strata = np.array(draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows)))
    sharing = draw(st.booleans())
    units = np.array([draw(row) for _ in range(rows)]) if sharing else np.arange(rows)
    return edges[:, 0], edges[:, 1], strata, np.unique(units, return_inverse=True)[1], draw(st.integers(3, 5))


def assign(left, right, strata, units, folds):
    return assign_folds(left, right, strata=strata, units=units, folds=folds, starts=3)


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_no_edge_and_no_unit_joins_two_folds(graph):
    left, right, _, units, folds = graph
    fold = assign(*graph)
    both = (fold[left] != REMOVED) & (fold[right] != REMOVED)
    assert (fold[left][both] == fold[right][both]).all()
    assert all(len(set(fold[units == unit]) - {REMOVED}) <= 1 for unit in set(units))
    assert set(fold) <= set(range(folds)) | {REMOVED}


@settings(max_examples=75, deadline=None)
@given(graphs())
def test_a_row_is_removed_only_between_two_folds(graph):
    left, right, _, units, _ = graph
    removed_only_between_folds(left, right, units, assign(*graph))


def test_a_row_between_pieces_that_end_in_one_fold_is_put_back():
    for seed in range(300):
        rng = np.random.default_rng(seed)
        rows = int(rng.integers(6, 41))
        left, right = rng.integers(0, rows, (2, int(rng.integers(0, 3 * rows + 1))))
        strata, folds = rng.integers(0, 2, rows), int(rng.integers(3, 6))
        removed_only_between_folds(left, right, np.arange(rows), assign(left, right, strata, np.arange(rows), folds))


def removed_only_between_folds(left, right, units, fold):
    for row in np.flatnonzero(fold == REMOVED):
        near = set(fold[right[left == row]]) | set(fold[left[right == row]]) | set(fold[units == units[row]])
        assert len(near - {REMOVED}) > 1


@settings(max_examples=50, deadline=None)
@given(graphs(), st.randoms(use_true_random=False))
def test_the_order_of_edges_changes_nothing(graph, random):
    left, right, *rest = graph
    order = list(range(len(left)))
    random.shuffle(order)
    assert (assign(*graph) == assign(right[order], left[order], *rest)).all()


def cliques(sizes):
    """Return all edges within consecutive groups of these sizes."""
    starts = np.cumsum([0, *sizes])
    parts = [np.stack(np.triu_indices(size, 1)) + start for start, size in zip(starts, sizes, strict=False)]
    return np.concatenate(parts, axis=1)


def test_components_that_fit_stay_whole():
    sizes = [9, 8, 7, 6, 5, 5, 4, 4]
    left, right = cliques(sizes)
    fold = assign_folds(left, right, strata=np.arange(48) % 2, units=np.arange(48), folds=4)
    assert REMOVED not in fold
    assert np.bincount(fold).tolist() == [12, 12, 12, 12] or np.ptp(np.bincount(fold)) <= 3


def test_bridges_between_families_are_what_is_removed():
    """Eight families of 20 tied into one component by three rows: cutting it costs those rows at most."""
    left, right = cliques([20] * 8)
    bridges = [
        (160 + bridge, family * 20)
        for bridge, pair in enumerate([(0, 1, 2, 3), (3, 4, 5), (5, 6, 7)])
        for family in pair
    ]
    left, right = np.append(left, [a for a, _ in bridges]), np.append(right, [b for _, b in bridges])
    fold = assign_folds(left, right, strata=np.arange(163) % 2, units=np.arange(163), folds=4)
    assert (fold == REMOVED).sum() <= 3
    assert np.ptp(np.bincount(fold[fold != REMOVED])) <= 2


def test_folds_are_even_in_size_and_label():
    strata = (np.arange(200) % 5 == 0).astype(int)
    none = np.empty(0, dtype=np.int64)
    fold = assign_folds(none, none, strata=strata, units=np.arange(200), folds=4)
    assert np.bincount(fold).tolist() == [50] * 4
    assert np.bincount(fold, weights=strata).tolist() == [10] * 4


def test_fold_0_holds_the_most_components():
    left, right = cliques([20, 20])
    fold = assign_folds(left, right, strata=np.zeros(60, int), units=np.arange(60), folds=3)
    assert sorted(np.flatnonzero(fold == 0)) == list(range(40, 60))


def test_what_cannot_be_divided_is_not_thinned_out():
    """A family larger than a fold stays whole where cutting it would only discard rows."""
    left, right = cliques([30])
    fold = assign_folds(left, right, strata=np.zeros(50, int), units=np.arange(50), folds=4)
    assert REMOVED not in fold


@pytest.mark.parametrize("folds", [3, 7])
def test_packing_puts_the_largest_first_where_there_is_most_room(folds):
    weights = np.array([[5, 0], [3, 1], [2, 2], *[[1, 0]] * 20, *[[0, 1]] * 20])
    load = np.zeros((folds, 2))
    np.add.at(load, pack(weights, folds), weights)
    assert np.ptp(load.sum(axis=1)) <= 1


def test_of_cuts_that_lose_hardly_more_rows_the_most_even_one_is_taken():
    strata = np.arange(2000) % 2
    uneven, even, costly = (np.repeat(np.arange(4), 500) for _ in range(3))
    uneven[:100] = 1
    even[[0, 501, 1000, 1501]] = REMOVED
    costly[:40] = REMOVED
    assert _evenest([uneven, even, costly], strata, 4) is even
    assert _evenest([uneven, costly], strata, 4) is uneven
