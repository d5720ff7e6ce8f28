import warnings

import numpy as np
import polars as pl
import pytest

from ab_assets.datasets import imgt
from ab_assets.evaluation.baselines.fitting import fit_items, residues_of
from ab_assets.evaluation.baselines.windowed_forest import PROPERTIES, REACH, features, place_of, windowed_forest

WIDTH = (2 * REACH + 1) * 3 + 2
CENTRE = slice(REACH * 3, REACH * 3 + 3)


@pytest.fixture
def residues(curated):
    rows = curated(
        [
            {"row_id": "a", "vh": "EVQLVX", "vh_positions": ["1", "2", "3", "4", "5", "6"], "vl": "DIQMTQSPSSLS"},
            {"row_id": "b", "vh": "WYWYW"},
        ]
    )
    return residues_of(rows, ("vh", "vl"))


def test_the_centre_of_the_window_is_the_residue_itself(residues):
    found = features(residues)
    assert found.shape == (23, WIDTH)
    known = residues["amino_acid"] != "X"
    expected = np.array([PROPERTIES[one] for one in residues["amino_acid"].filter(known)], dtype=np.float32)
    np.testing.assert_array_equal(found[known.to_numpy(), CENTRE], expected)


def test_neighbours_are_read_in_their_order_and_never_across_chains(residues):
    found = features(residues)
    window = found[1, : WIDTH - 2].reshape(2 * REACH + 1, 3)
    beyond = window[0]
    np.testing.assert_array_equal(window[REACH - 1], np.float32(PROPERTIES["E"]))
    np.testing.assert_array_equal(window[REACH + 2], np.float32(PROPERTIES["L"]))
    assert (window[: REACH - 1] == beyond).all()
    assert (window[REACH + 5 :] == beyond).all()
    alone = features(residues.filter(pl.col("row_id") == "b"))
    np.testing.assert_array_equal(found[-5:], alone)


def test_an_unknown_residue_and_the_end_of_a_chain_look_like_no_amino_acid(residues):
    found = features(residues)
    unknown, beyond = found[5, CENTRE], found[5, -5:-2]
    lowest = np.min(list(PROPERTIES.values()), axis=0)
    assert (unknown < lowest).all()
    assert (beyond < unknown).all()


def test_places_ascend_with_imgt_and_chains_are_told_apart(residues):
    assert features(residues)[:6, -2].tolist() == [1, 2, 3, 4, 5, 6]
    assert features(residues)[:, -1].tolist() == [1] * 6 + [0] * 12 + [1] * 5
    positions = ["110", "111", "111A", "111B", "112B", "112A", "112", "113"]
    assert sorted(positions, key=place_of) == sorted(positions, key=imgt.sort_key) == positions


def test_a_chain_without_positions_is_spread_over_the_same_scale(residues):
    place = features(residues)[6:18, -2]
    assert (place[0], place[-1]) == (1, 128)
    assert (np.diff(place) > 0).all()


def test_fitting_with_threads_leaves_the_warning_filters_as_they_were(structures, roles_of, benchmark_of):
    items = fit_items(structures, roles_of(structures), benchmark_of("paratope", "HL"), workers=4)
    before = list(warnings.filters)
    for _ in range(3):
        windowed_forest(items)
    assert warnings.filters == before
