"""The compiled search keeps its books and its promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from ab_assets.splits import separation
from ab_assets.splits.separation import Vertices, separate


def vertices(seed, *, count=60, edges=150):
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, count, (2, edges))
    ends = ends[:, ends[0] != ends[1]]
    matrix = csr_array((np.ones(2 * ends.shape[1]), np.concatenate([ends, ends[::-1]], axis=1)), shape=(count, count))
    matrix.sum_duplicates()
    weight = rng.integers(0, 3, (count, 2)) + np.array([1, 0])
    return Vertices(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), weight, np.array([3, 4]))


def crossing(graph, place, folds):
    rows = np.repeat(np.arange(len(place)), np.diff(graph.indptr))
    one, other = place[rows], place[graph.indices]
    return ((one != other) & (one < folds) & (other < folds)).sum()


def worth(graph, place):
    """Return the weight removed, plus what folds that lean to one class cost (no fold is too large or too small)."""
    sizes = np.zeros((5, 2))
    np.add.at(sizes, place, graph.weight)
    kept, share = sizes[:4].sum() + graph.loose.sum(), sizes[:4].sum(axis=0) + graph.loose
    leaning = np.abs(sizes[:4] - sizes[:4].sum(axis=1, keepdims=True) * share / kept) - separation.SLACK * kept / 4
    return round(float(sizes[4].sum() + separation.LEAN * np.maximum(0, leaning).sum()), 6)


@pytest.mark.parametrize("seed", range(20))
def test_no_edge_joins_two_folds(seed):
    graph = vertices(seed)
    assert crossing(graph, separate(graph, folds=4, tolerance=0.3, starts=4)[0], 4) == 0


def test_the_same_graph_gives_the_same_answer():
    graph = vertices(1)
    one, two = (separate(graph, folds=4, tolerance=0.3, starts=4)[0] for _ in range(2))
    assert (one == two).all()


def test_more_starts_are_never_worse():
    graph = vertices(2)
    found = [worth(graph, separate(graph, folds=4, tolerance=9.0, starts=n)[0]) for n in (1, 4, 12)]
    assert found == sorted(found, reverse=True)


def test_annealing_leaves_sizes_and_contacts_true():
    graph = vertices(3)
    rows = np.repeat(np.arange(60), np.diff(graph.indptr))
    place = np.arange(60) % 4
    state = separation._state(graph, rows, place, 4, 0.3, seed=1)
    separation._cover(state)
    separation._anneal(state, 3000, 3.0, 0.1, place)
    again = separation._state(graph, rows, state.place, 4, 0.3, seed=1)
    assert (state.size == again.size).all()
    assert (state.touch == again.touch).all()
    assert crossing(graph, state.place, 4) == 0


def test_communities_respect_the_cap():
    graph = vertices(4, edges=600)
    weight = graph.weight.sum(axis=1)
    label = separation._communities(graph.indptr, graph.indices, weight, 15, np.arange(60))
    assert np.bincount(label, weights=weight).max() <= 15


def test_of_several_answers_the_best_comes_first_and_none_has_a_crossing_edge():
    graph = vertices(4)
    answers = separate(graph, folds=4, tolerance=9.0, starts=6, most=5)
    assert len(answers) == 5
    assert all(crossing(graph, place, 4) == 0 for place in answers)
    assert worth(graph, answers[0]) == min(worth(graph, place) for place in answers)
