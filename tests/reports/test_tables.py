import re

import polars as pl
import pytest

from ab_assets.reports import tables, wording

TITLES = {"antiberty": "AntiBERTy"}


def row_of(table, name):
    return next(row for _, rows in table.groups for row in rows if row.name == name)


def test_an_undefined_metric_is_a_dash_that_says_why(scores):
    table = tables.score_table(scores, TITLES)
    place = [key for key, _, _ in table.columns].index("mcc")
    score = row_of(table, "majority").scores[place]
    assert (score.value, score.title, score.order) == (wording.DASH, "one class is never predicted", None)


def test_a_value_without_interval_says_so(scores):
    bare = scores.with_columns(low=pl.lit(None, pl.Float64), reason=pl.lit("one cluster only: no interval"))
    score = row_of(tables.score_table(bare, TITLES), "kmer-logistic").scores[0]
    assert (score.value, score.interval, score.title) == ("0.720", "", "one cluster only: no interval")


def test_a_metric_that_a_method_lacks_is_not_computed(scores):
    partial = scores.filter(~((pl.col("method") == "kmer-logistic") & (pl.col("metric") == "auroc")))
    table = tables.score_table(partial, TITLES)
    assert "not computed" in [score.title for score in row_of(table, "kmer-logistic").scores]


def test_controls_have_a_group_of_their_own(scores):
    headings = [heading for heading, _ in tables.score_table(scores, TITLES).groups]
    assert headings == ["Language models", "Baselines", "Controls: trained on shuffled labels"]


def test_prevalence_is_no_column_of_the_score_table(scores):
    assert [key for key, _, _ in tables.score_table(scores, TITLES).columns] == ["ap", "mcc", "auroc"]


def test_views_stand_side_by_side_without_controls(scores):
    by_region = scores.with_columns(view=pl.lit("region:cdr3"))
    table = tables.view_table(pl.concat([scores, by_region]), TITLES, views={"region:cdr3": "CDR3"}, metric="ap")
    assert row_of(table, "antiberty fine-tuned").scores[0].value == "0.710"
    assert not any(row.group == "control" for _, rows in table.groups for row in rows)


def test_primary_comparisons_make_one_row_per_method(comparisons):
    matrix = tables.difference_matrix(comparisons, TITLES)
    assert matrix.metrics == ("AP", "MCC")
    first, second = matrix.rows
    assert [cell.verdict for cell in first[1]] == ["no difference shown", "better"]
    assert second[1][1] is None


def test_exploratory_comparisons_are_a_family_apart(comparisons):
    assert [d.reference for d in tables.differences(comparisons, {}, family="exploratory")] == ["esm2-8m fine-tuned"]


def test_spreads_are_shown_where_they_are_known(scores):
    found = tables.spreads(scores, TITLES)
    assert (found[0].method, found[0].fold, found[0].seed) == ("AntiBERTy fine-tuned", "0.020", wording.DASH)
    assert tables.spreads(scores.with_columns(fold_spread=pl.lit(None, pl.Float64)), TITLES) == ()


def test_markdown_names_every_method_once_with_controls_last(scores):
    lines = tables.scores_markdown(scores, TITLES).splitlines()
    assert lines[0] == "| method | AP | MCC | AUROC |"
    assert lines[2].startswith("| AntiBERTy fine-tuned | 0.710 \\[0.680, 0.740\\] |")
    assert len(lines) == 2 + scores["method"].n_unique()
    assert "shuffled" in lines[-1]


@pytest.mark.parametrize("hostile", ["a|b", "<img src=x>", "[x](javascript:1)", "`x`", "two\nlines"])
def test_markdown_shows_text_from_data_as_it_is(hostile):
    text = tables.markdown(["id"], [[hostile]])
    assert len(text.splitlines()) == 3
    assert not re.search(r"(?<!\\)[<`\[\]()]", text)
    assert len(re.findall(r"(?<!\\)\|", text.splitlines()[2])) == 2


def test_comparisons_in_markdown_are_the_primary_family(comparisons):
    text = tables.comparisons_markdown(comparisons, TITLES)
    assert "no difference shown" in text
    assert "ESM-2" not in text
