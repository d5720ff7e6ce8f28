import polars as pl
import pytest

from ab_assets.evaluation.baselines.fitting import RESIDUES, FitItems
from ab_assets.evaluation.baselines.position_frequency import PRIOR, position_frequency


def residues(*items, chain="vh"):
    rows = [
        {"row_id": "a", "chain": chain, "residue": place, "position": position, "label": label, "length": len(items)}
        for place, (position, label) in enumerate(items)
    ]
    return pl.DataFrame(rows, schema=RESIDUES)


TRAIN = pl.concat(
    [
        residues(("27", True), ("28", False), ("105", True), ("111A", False)),
        residues(("27", True), ("28", False), ("105", False), ("111B", True)),
        residues(("27", False), ("28", False), ("105", False), ("106", False), chain="vl"),
    ]
)
PREVALENCE = 4 / 12


def scores(*positions, chain="vh"):
    asked = residues(*((position, None) for position in positions), chain=chain)
    return position_frequency(FitItems(("vh", "vl"), TRAIN, asked, asked))[1].tolist()


def smoothed(positives, number):
    return pytest.approx((positives + PRIOR * PREVALENCE) / (number + PRIOR))


def test_the_score_is_the_smoothed_frequency_at_the_position_of_the_chain():
    assert scores("27", "28", "105") == [smoothed(2, 2), smoothed(0, 2), smoothed(1, 2)]
    assert scores("27", chain="vl") == [smoothed(0, 1)]


def test_insertions_are_positions_of_their_own():
    assert scores("111A", "111B") == [smoothed(0, 1), smoothed(1, 1)]


def test_a_position_that_training_never_saw_gets_the_prevalence():
    assert scores("1", "106") == [pytest.approx(PREVALENCE)] * 2


def test_without_positions_the_place_along_the_chain_decides():
    found = scores(None, None, None, None)
    assert found == [smoothed(2, 2), smoothed(0, 2), smoothed(1, 2), smoothed(1, 2)]
    assert scores("27", None, None, None)[0] == smoothed(2, 2)
