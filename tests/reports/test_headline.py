import polars as pl
import pytest

from ab_assets.reports import headline
from ab_assets.reports.wording import MINUS, NBSP


def test_the_answer_gives_the_interval_and_what_the_comparison_shows(make_report):
    assert headline.answer(make_report()) == (
        "AntiBERTy fine-tuned, the highest of 2 models: AP 0.71 [0.68, 0.74]; against the k-mer logistic regression: "
        f"{MINUS}0.01 [{MINUS}0.04, 0.02]: no difference shown."
    )


def test_too_few_clusters_rank_nobody(make_report):
    data = make_report(not_ranked=("12 clusters are fewer than 30.",))
    assert headline.answer(data).startswith("AntiBERTy fine-tuned (not ranked): AP 0.71")
    assert ("mind", ("12 clusters are fewer than 30.",)) in [(b.kind, b.items) for b in headline.banners(data)]


def test_a_method_that_was_not_compared_is_said_to_be_so(make_report, comparisons):
    answer = headline.answer(make_report(comparisons=comparisons.clear()))
    assert answer.endswith("not compared with k-mer logistic regression.")


def test_without_models_the_answer_is_the_best_baseline(make_report, scores):
    baselines = scores.filter(pl.col("method").is_in(["kmer-logistic", "majority"]))
    assert "best baseline is k-mer logistic regression: AP 0.72" in headline.answer(make_report(scores=baselines))
    assert headline.answer(make_report(scores=scores.clear())) == "No method has been scored yet."


def test_narrow_intervals_get_a_third_decimal(make_report, scores):
    narrow = scores.with_columns(low=pl.col("value") - 0.002, high=pl.col("value") + 0.002)
    assert "AP 0.710 [0.708, 0.712]" in headline.answer(make_report(scores=narrow))


@pytest.mark.parametrize("policy", ["published", "random"])
def test_a_waived_certificate_is_red_and_measured(make_report, policy):
    banner = headline.certificate_banner(make_report(policy=policy))
    assert (banner.kind, banner.lead) == ("bad", f"Leakage certificate waived (policy: {policy})")
    assert "VH 0.950 and CDR-H3 0.850 (not gated: VL 1.000)" in banner.text
    assert f"50{NBSP}% of test rows reach the bound (VH 0.90 or CDR-H3 0.80)" in banner.text


def test_a_waiver_stays_red_when_no_row_reaches_the_bound(make_report, nearest):
    below = nearest.with_columns(identity=pl.lit(0.3))
    banner = headline.certificate_banner(make_report(policy="published", nearest=below))
    assert banner.kind == "bad"
    assert "nothing would have stopped one" in banner.text


def test_a_certified_split_is_one_green_line(make_report):
    banner = headline.certificate_banner(make_report())
    assert (banner.kind, banner.lead) == ("good", "Certified")
    assert "no test row reaches VH 0.90 or CDR-H3 0.80" in banner.text


def test_a_failed_certificate_is_never_green(make_report):
    data = make_report()
    failed = make_report(certificate={**data.certificate, "passed": False})
    assert headline.certificate_banner(failed).kind == "bad"


def test_a_row_on_the_bound_counts_as_over_it(make_report, nearest):
    on = nearest.with_columns(identity=pl.when(pl.col("by") == "vh").then(0.9).otherwise(0.0))
    assert headline.over_any_bound(make_report(nearest=on)) == 1.0
    assert headline.over_any_bound(make_report(nearest=nearest.clear())) is None


def test_a_control_above_chance_is_named(make_report, scores):
    lifted = pl.when(pl.col("method") == "kmer-logistic-shuffled").then(0.6).otherwise(0.4)
    failing = headline.failing_controls(make_report(scores=scores.with_columns(low=lifted)))
    assert [line.split(":")[0] for line in failing] == ["k-mer logistic regression, shuffled labels"]


def test_what_is_missing_is_said_above_the_results(make_report):
    shown = headline.banners(make_report(missing=("esm2-3b: no weights.",)))
    assert ("Not in this report", ("esm2-3b: no weights.",)) in [(b.lead, b.items) for b in shown]


def test_facts_place_the_numbers(make_report):
    facts = dict(headline.facts(make_report(task="paratope")))
    assert facts["Test prevalence"] == f"40.0{NBSP}% of residues"
    assert facts["Split"] == "identity, 2 fits \N{MULTIPLICATION SIGN} 1 seed"
