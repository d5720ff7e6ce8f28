import numpy as np
import polars as pl
import pytest

from ab_assets.evaluation.baselines.fitting import FitItems
from ab_assets.evaluation.baselines.nearest_neighbour import nearest_neighbour
from ab_assets.tables import CURATED, conform


def rows(*antibodies):
    given = [{"row_id": f"{n:02d}", "vh": vh, "vl": vl, "label": label} for n, (vh, vl, label) in enumerate(antibodies)]
    return conform(pl.DataFrame(given), CURATED)


TRAIN = rows(
    ("AAAAAAAAAA", "KKKK", True),
    ("AAAAAAAAAC", "KKKK", True),
    ("DDDDDDDDDD", "LLLL", False),
    ("DDDDDDDDDE", "LLLL", False),
)


@pytest.mark.parametrize("chains", [("vh",), ("vl",), ("vh", "vl")])
def test_an_antibody_gets_the_labels_of_those_it_resembles(chains):
    queries = rows(("AAAAAAAAAF", "KKKR", True), ("DDDDDDDDDF", "LLLR", False))
    validation, test = nearest_neighbour(FitItems(chains, TRAIN, queries, queries))
    assert validation[0] > 0.9
    assert validation[1] < 0.1
    np.testing.assert_array_equal(validation, test)


def test_identity_is_the_mean_over_chains():
    # VH alone is nearest to the first, VL alone to the second, and VL is further from the first than VH from the second
    train = rows(("AAAAAAAAAA", "KKKKKKKKKK", True), ("AAAAACCCCC", "LLLLLLLLLL", False))
    queries = rows(("AAAAAAAAAA", "LLLLLLLLLL", False))
    validation, _ = nearest_neighbour(FitItems(("vh", "vl"), train, queries, queries))
    assert validation[0] < 0.5


def test_an_antibody_like_no_other_gets_the_mean_label_of_its_neighbours():
    queries = rows(("WWWWWWWWWW", "WWWW", True))
    train = TRAIN.with_columns(label=pl.Series([True, True, True, False]))
    validation, _ = nearest_neighbour(FitItems(("vh",), train, queries, queries))
    assert validation[0] in {0.75, 1.0}


def test_fewer_training_antibodies_than_neighbours_all_vote():
    queries = rows(("AAAAADDDDD", "KKKK", None))
    assert np.isfinite(nearest_neighbour(FitItems(("vh",), TRAIN.head(3), TRAIN, queries))[1]).all()


def test_queries_are_compared_in_slices_without_a_seam(monkeypatch, binders):
    items = FitItems(("vh",), binders.head(40), binders.slice(40, 25), binders.tail(25))
    whole = nearest_neighbour(items)
    monkeypatch.setattr("ab_assets.evaluation.baselines.nearest_neighbour._QUERIES", 7)
    for one, other in zip(whole, nearest_neighbour(items), strict=True):
        np.testing.assert_array_equal(one, other)
