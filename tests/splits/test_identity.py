"""The fast searches agree with comparing every pair, whatever they skip."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from ab_assets.datasets.simulation.demo import simulate_specificity
from ab_assets.splits import identity, pivots
from ab_assets.splits.identity import pairs_at_or_above, pairwise_maximum, sequence_identity

KINDS = st.sampled_from(["vh", "vl", "cdrh3"])
# Few letters and lengths close together, so that similar pairs, ties and copies are common.
SEQUENCES = st.lists(st.none() | st.text("ACDE", max_size=9), max_size=12)
BOUNDS = st.sampled_from([0.05, 0.25, 1 / 3, 0.5, 0.6, 0.75, 0.8, 0.9, 1.0])


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Let several blocks and few seeds matter at the size of a test."""
    monkeypatch.setattr(identity, "QUERY_BLOCK", 3)
    monkeypatch.setattr(identity, "TARGET_BLOCK", 4)
    monkeypatch.setattr(identity, "GRAMS_BLOCK", 2)
    monkeypatch.setattr(identity, "SEEDS", 1)
    for name, size in (("PIVOTS", 2), ("SAMPLE", 3), ("GROUP", 2)):
        monkeypatch.setattr(pivots, name, size)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SEQUENCES, BOUNDS, KINDS, st.booleans())
def test_pairs_are_those_of_brute_force(monkeypatch, sequences, bound, kind, by_pivots):
    monkeypatch.setattr(identity, "PIVOTS_FROM", 2 if by_pivots else 1000)
    expected = [
        (left, right, share)
        for left, right in combinations(range(len(sequences)), 2)
        if (share := sequence_identity(sequences[left], sequences[right], kind=kind)) >= bound
        and sequences[left]
        and sequences[right]
    ]
    pairs = pairs_at_or_above(sequences, bound, kind=kind)
    assert list(zip(*(column.tolist() for column in pairs), strict=True)) == expected


@pytest.fixture(params=[0, 1000], ids=["by shared 3-grams", "all"])
def grams_from(request, monkeypatch):
    monkeypatch.setattr(identity, "GRAMS_FROM", request.param)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(queries=SEQUENCES, targets=SEQUENCES, kind=KINDS, at_least=st.sampled_from([0.0, 0.5, 0.8]))
def test_the_nearest_target_is_that_of_brute_force(grams_from, queries, targets, kind, at_least):
    nearest = pairwise_maximum(queries, targets, kind=kind, at_least=at_least)
    for query, share, target in zip(queries, nearest.identity, nearest.target, strict=True):
        every = [sequence_identity(query, item, kind=kind) for item in targets]
        best = max(every, default=0.0)
        assert share == (best if best >= at_least else 0.0)
        if share > 0:
            assert target == every.index(best)
        if target >= 0:
            assert every[target] == best


@given(st.text("ACDEFG", min_size=1, max_size=30), st.text("ACDEFG", min_size=1, max_size=30))
def test_chain_identity_is_the_normalised_similarity_of_rapidfuzz(first, second):
    expected = Levenshtein.normalized_similarity(first, second)
    assert sequence_identity(first, second, kind="vh") == pytest.approx(expected)


@pytest.mark.parametrize(("length", "edits", "bound"), [(120, 12, 0.9), (10, 3, 0.7), (20, 3, 0.85), (115, 23, 0.8)])
def test_a_pair_exactly_at_the_bound_is_found(length, edits, bound):
    pair = ["A" * length, "C" * edits + "A" * (length - edits)]
    assert sequence_identity(*pair, kind="vh") == bound
    assert len(pairs_at_or_above(pair, bound, kind="vh").left) == 1
    assert pairwise_maximum(pair[:1], pair[1:], kind="vh", at_least=bound).target[0] == 0


def test_loops_of_unequal_length_have_no_identity():
    assert sequence_identity("ARDY", "ARDYW", kind="cdrh3") == 0.0
    assert pairwise_maximum(["ARDY"], ["ARDYW"], kind="cdrh3") == (0.0, -1)


def test_copies_of_one_sequence_are_pairs_of_identity_one():
    pairs = pairs_at_or_above(["ACD", None, "ACD", "", "ACD"], 0.9, kind="vh")
    assert list(zip(pairs.left, pairs.right, strict=True)) == [(0, 2), (0, 4), (2, 4)]
    assert set(pairs.identity) == {1.0}


def test_threads_change_nothing():
    rng = np.random.default_rng(1)
    sequences = ["".join(rng.choice(list("ACDE"), 12)) for _ in range(40)]
    one, two = (pairs_at_or_above(sequences, 0.5, kind="vh", workers=workers) for workers in (1, 2))
    assert all((a == b).all() for a, b in zip(one, two, strict=True))


def test_far_queries_are_compared_in_full():
    """Nothing lies within the band, so the second, full comparison has to answer."""
    nearest = pairwise_maximum(["ACACACACAC"], ["DDDDDDDDDD", "ACDDDDDDDD"], kind="vh")
    assert nearest == (pytest.approx(0.2), 1)


def test_pivots_change_nothing_and_spare_most_comparisons(monkeypatch):
    texts = sorted(simulate_specificity(seed=4, antibodies=2500)["heavy"].unique(), key=lambda text: (len(text), text))
    monkeypatch.undo()
    assert len(texts) >= identity.PIVOTS_FROM
    compared = sum(len(these) * len(those) for these, those in pivots.candidate_blocks(texts, 13))
    assert compared < 0.4 * len(texts) ** 2 / 2
    found = pairs_at_or_above(texts, 0.9, kind="vh")
    monkeypatch.setattr(identity, "PIVOTS_FROM", 10**9)
    for one, other in zip(found, pairs_at_or_above(texts, 0.9, kind="vh"), strict=True):
        assert np.array_equal(one, other)
