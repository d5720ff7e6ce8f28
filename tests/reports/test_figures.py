import polars as pl

from ab_assets.reports.chance import chance, prevalence
from ab_assets.reports.figures import comparison_figure, score_figure

TITLES = {"antiberty": "AntiBERTy"}


def test_every_defined_score_is_one_point_and_no_other(scores):
    figure = score_figure(scores, TITLES)
    defined = scores.filter(pl.col("metric").is_in(["ap", "mcc", "auroc"]) & pl.col("value").is_not_null())
    assert len(figure.data) == defined.height


def test_controls_are_hollow_and_stand_on_a_band_below_the_rest(scores):
    figure = score_figure(scores, TITLES)
    band = next(shape for shape in figure.layout.shapes if shape.type == "rect")
    low = {trace.y[0] for trace in figure.data if trace.marker.color == "#ffffff"}
    rest = {trace.y[0] for trace in figure.data if trace.marker.color != "#ffffff"}
    assert min(low) > band.y0 > max(rest)


def test_an_interval_reaches_from_low_to_high(scores):
    trace = next(t for t in score_figure(scores, TITLES).data if t.x[0] == 0.71)
    assert (round(trace.error_x.array[0], 3), round(trace.error_x.arrayminus[0], 3)) == (0.03, 0.03)


def test_labels_from_data_are_shown_as_they_are(scores):
    figure = score_figure(scores, {"antiberty": "<a href='x'>"})
    assert "&lt;a href=&#x27;x&#x27;&gt; fine-tuned" in figure.layout.yaxis.ticktext


def test_differences_are_those_of_the_primary_family(comparisons):
    figure = comparison_figure(comparisons, TITLES)
    assert sorted(trace.x[0] for trace in figure.data) == [-0.06, -0.01, 0.05]
    assert comparison_figure(comparisons.filter(pl.col("family") == "exploratory"), TITLES) is None


def test_chance_is_prevalence_for_average_precision(scores):
    assert (chance(scores, "ap"), chance(scores, "mcc"), chance(scores, "auroc")) == (0.4, 0.0, 0.5)
    assert chance(scores, "f1") is None


def test_prevalence_comes_from_class_counts_where_it_was_not_stored(scores):
    assert prevalence(scores.filter(pl.col("metric") != "prevalence")) == 0.4
    assert prevalence(scores.clear()) is None
