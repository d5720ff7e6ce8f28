"""A chain's IMGT positions are known because they were used to build it."""

from __future__ import annotations

import numpy as np
import pytest

from ab_assets.datasets.imgt import sort_key
from ab_assets.datasets.numbering import AnarciiNumbering
from ab_assets.datasets.simulation.repertoire import (
    FOUNDER_LOAD,
    MutationLoad,
    cdr3_positions,
    draw_heavy,
    draw_light,
    mutate,
)


@pytest.mark.parametrize("length", range(34))
def test_cdr3_positions_are_distinct_and_in_order(length):
    positions = cdr3_positions(length)
    assert len(set(positions)) == length
    assert list(positions) == sorted(positions, key=sort_key)


@pytest.mark.parametrize(
    ("length", "middle"),
    [(13, ("111", "112")), (14, ("111", "112A", "112")), (15, ("111", "111A", "112A", "112")), (5, ("107", "116"))],
)
def test_loops_grow_and_shrink_at_their_middle(length, middle):
    positions = cdr3_positions(length)
    start = positions.index(middle[0])
    assert positions[start : start + len(middle)] == middle


def test_mutation_keeps_the_piece_that_it_is_told_to():
    rng = np.random.default_rng(1)
    heavy = draw_heavy(rng, "YYDSSGY")
    everything = MutationLoad(framework=1.0, cdr=1.0, cdr3=1.0)
    mutated = mutate(rng, heavy, everything, keep="YYDSSGY")
    assert "YYDSSGY" in mutated.cdr3
    kept = sum(a == b for a, b in zip(heavy.sequence, mutated.sequence, strict=True))
    assert kept == len("YYDSSGY") + 7  # the piece, and the columns that the fold needs
    assert (mutated.positions, mutated.v_call) == (heavy.positions, heavy.v_call)


def test_an_independent_numbering_finds_the_same_positions(tmp_path):
    rng = np.random.default_rng(2)
    chains = [mutate(rng, draw_heavy(rng, "YYDSSG"), FOUNDER_LOAD) for _ in range(8)]
    chains += [mutate(rng, draw_light(rng), FOUNDER_LOAD) for _ in range(8)]
    found = AnarciiNumbering(tmp_path / "numbering.sqlite", threads=1).number([chain.sequence for chain in chains])
    agree = [
        [a == b for a, b in zip(chain.positions, found[chain.sequence].positions, strict=True)] for chain in chains
    ]
    assert np.mean(np.concatenate(agree)) > 0.97
