import polars as pl

from ab_assets.reports.methods import describe
from ab_assets.reports.paratope import position_figure, region_figure, regions_in

METHODS = [describe("antiberty fine-tuned", {}), describe("kmer-logistic", {}), describe("position-frequency", {})]


def by_region(scores):
    return pl.concat([scores, *[scores.with_columns(view=pl.lit(f"region:{r}")) for r in ("cdr3", "fwr1")]])


def test_regions_stand_from_n_to_c_terminus(scores):
    assert regions_in(by_region(scores)) == ["fwr1", "cdr3"]
    assert region_figure(scores, METHODS) is None


def test_a_region_names_its_share_of_paratope_residues(scores):
    figure = region_figure(by_region(scores), METHODS)
    assert figure.layout.xaxis.ticktext[1] == "<b>CDR3</b><br>40\N{NO-BREAK SPACE}%"


def test_methods_stand_beside_each_other_in_colours_of_their_own(scores):
    model, forest, frequency = region_figure(by_region(scores), METHODS).data
    assert model.x[0] < forest.x[0]
    assert len({trace.marker.color for trace in (model, forest, frequency)}) == 3


def test_positions_are_those_seen_in_enough_test_antibodies(make_report):
    data = make_report(task="paratope")
    observed, score = position_figure(data.predictions, METHODS[0]).data
    assert list(observed.customdata) == ["1", "27", "105", "106"]
    assert list(observed.y) == [0.0, 0.0, 1.0, 1.0]
    assert list(score.y) == [0.1, 0.8, 0.8, 0.1]
    few = data.predictions.filter(pl.col("row_id").is_in(["r0", "r1"]))
    assert position_figure(few, METHODS[0]) is None
