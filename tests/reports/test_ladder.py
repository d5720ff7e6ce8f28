import polars as pl

from ab_assets.reports.ladder import ladder_figure, ladder_table, ladder_words, title_of
from ab_assets.reports.report import render_report
from ab_assets.tables import LADDER, RUNGS

SCORES = pl.DataFrame(
    [
        (rung, "kmer-logistic", metric, value, value - 0.03, value + 0.03, difference, low, high)
        for metric in ("ap", "auroc")
        for rung, value, difference, low, high in (
            ("random", 0.74, 0.08, 0.04, 0.12),
            ("clusters-0.8", 0.65, -0.01, -0.05, 0.03),
            ("certified", 0.66, None, None, None),
        )
    ],
    schema=LADDER,
    orient="row",
)
SIMILAR = pl.DataFrame(
    [
        ("random", "vh", 0.9, 1.0, 40, 80, 60),
        ("clusters-0.8", "vh", 0.9, 0.96, 9, 80, 60),
        ("certified", "vh", 0.9, 0.88, 0, 80, 60),
        *[(rung, "vl", None, 1.0, None, 80, 60) for rung in ("random", "clusters-0.8", "certified")],
        *[(rung, "cdrh3", 0.8, 0.0, 0, 80, 60) for rung in ("random", "clusters-0.8", "certified")],
    ],
    schema=RUNGS,
    orient="row",
)


def test_rungs_have_names_for_readers():
    assert [title_of(rung) for rung in ("random", "clusters-0.8", "certified")] == [
        "Random",
        "Clusters at 80\N{NO-BREAK SPACE}%",
        "Certified",
    ]


def test_the_table_says_how_similar_the_sides_are_and_what_that_adds():
    table = ladder_table(SCORES, SIMILAR)
    assert table.measures == ("VH", "VL")  # a measure that no pair has is not shown
    random, clusters, certified = table.rungs
    assert random.identities == (("1.000", "40 of 80"), ("1.000", ""))
    assert random.scores == (("0.740", "[0.710, 0.770]", "+0.080", "[+0.040, +0.120]"),)
    assert clusters.scores[0][2] == "\N{MINUS SIGN}0.010"
    assert certified.scores[0][2:] == ("", "")


def test_the_conclusion_is_a_sentence_and_rungs_left_out_say_why():
    words = ladder_words(SCORES, {"clusters-0.7": "clusters are too large"})
    assert "AUROC +0.080 [+0.040, +0.120] above the certified" in words[0]
    assert words[1] == "Clusters at 70\N{NO-BREAK SPACE}%: left out, clusters are too large."
    lower = SCORES.with_columns(difference=-pl.col("difference"))
    assert "no higher AUROC" in ladder_words(lower, {})[0]


def test_the_figure_has_every_rung_and_one_legend_entry_per_method():
    figure = ladder_figure(SCORES)
    assert list(figure.layout.xaxis.ticktext) == ["Random", "80\N{NO-BREAK SPACE}%", "Certified"]
    assert [len(trace.x) for trace in figure.data] == [3, 3]
    assert sum(bool(trace.showlegend) for trace in figure.data) == 1
    assert ladder_figure(SCORES.filter(rung="random")) is None


def test_an_interval_that_ends_at_zero_is_drawn():
    figure = ladder_figure(SCORES.with_columns(low=pl.lit(0.0)))
    assert figure.data[0].error_y.arrayminus[0] == 0.74


def test_the_report_shows_the_ladder_where_there_is_one(make_report):
    page = render_report(make_report(ladder=SCORES, rungs=SIMILAR))
    assert "Leak ladder" in page
    assert "40 of 80 at the bound" in page
    assert "Leak ladder" not in render_report(make_report())
