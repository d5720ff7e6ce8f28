"""The bound never exceeds the distance, and spares most comparisons of real chains."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from ab_assets.datasets.simulation.demo import simulate_specificity
from ab_assets.splits.grams import fewest_edits, signatures

CHAINS = st.lists(st.text("ACDEFGHIKLMNPQRSTVWYX", max_size=60), min_size=1, max_size=8)
FEW_LETTERS = st.lists(st.text("AC", max_size=40), min_size=1, max_size=8)


@settings(deadline=None)  # the first call compiles
@given(CHAINS | FEW_LETTERS, CHAINS | FEW_LETTERS)
def test_the_bound_never_exceeds_the_edit_distance(queries, targets):
    bound = fewest_edits(signatures(queries), signatures(targets))
    assert (bound <= process.cdist(queries, targets, scorer=Levenshtein.distance)).all()


@settings(deadline=None)
@given(st.text("ACDEFGHIKLMNPQRSTVWY", max_size=60), st.data())
def test_few_edits_change_few_grams(text, data):
    edited = list(text)
    edits = data.draw(st.integers(0, 6))
    for _ in range(edits):
        place = data.draw(st.integers(0, len(edited)))
        kind = data.draw(st.sampled_from(["insert", "delete", "exchange"])) if place < len(edited) else "insert"
        edited[place : place + (kind != "insert")] = [] if kind == "delete" else ["W"]
    assert fewest_edits(signatures([text]), signatures(["".join(edited)]))[0, 0] <= edits


def test_most_heavy_chains_are_spared_the_comparison():
    chains = simulate_specificity(3, 1500)["heavy"].unique(maintain_order=True).to_list()
    queries, targets = chains[:100], chains[100:]
    distance = process.cdist(queries, targets, scorer=Levenshtein.distance)
    bound = fewest_edits(signatures(queries), signatures(targets))
    assert np.mean(bound > distance.min(axis=1, keepdims=True)) > 0.6
