import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from ab_assets.evaluation.bootstrap import draw
from ab_assets.evaluation.metrics import METRICS, point_metrics
from ab_assets.evaluation.scores import KEPT, score
from ab_assets.evaluation.thresholds import thresholds
from ab_assets.tables import SCORES

RESAMPLES = 200


@pytest.fixture
def scored(units_of):
    def make(predictions, *, number=40, task="antigen-specificity", resamples=RESAMPLES, units=None):
        units = units_of(predictions, number) if units is None else units
        return score(predictions, thresholds(predictions), units, resamples=resamples, task=task)

    return make


@pytest.fixture
def two_fits(antibodies, noisy):
    """Two fits with different test rows, two seeds each."""

    def make(method="m", signal=1.0):
        parts = []
        for fit in (0, 1):
            labels, _ = noisy(fit)
            for seed in (1, 2):
                raw = np.random.default_rng([fit, seed]).normal(size=len(labels)) + signal * labels
                scores = 1 / (1 + np.exp(-raw))
                parts.append(antibodies(scores, labels, method=method, fit=fit, seed=seed, prefix=f"f{fit}-"))
        return pl.concat(parts)

    return make


def row(result, metric, *, method="m", view="all"):
    found = result.scores.filter(pl.col("method") == method, pl.col("metric") == metric, pl.col("view") == view)
    return found.row(0, named=True)


def values(result, metric, method="m"):
    kept = result.resamples.filter(pl.col("method") == method, pl.col("metric") == metric)
    return kept["values"].explode(empty_as_null=True).to_numpy()


def test_every_metric_is_in_the_table_with_its_counts(scored, antibodies, noisy):
    labels, scores = noisy()
    result = scored(antibodies(scores, labels))
    assert result.scores.schema == SCORES
    assert result.scores["metric"].to_list() == list(METRICS)
    assert set(result.scores["view"]) == {"all"}
    found = row(result, "ap")
    assert (found["positives"], found["negatives"], found["clusters"]) == (labels.sum(), (~labels).sum(), 40)
    assert found["low"] < found["value"] < found["high"]
    assert (found["fold_spread"], found["seed_spread"], found["reason"]) == (None, None, None)


def test_metrics_are_averaged_over_fits_and_seeds_and_never_pooled(scored, two_fits):
    table = two_fits()
    shifted = table.with_columns(score=pl.when(pl.col("fit") == 1).then(pl.col("score") / 100).otherwise("score"))
    test = shifted.filter(pl.col("role") == "test")
    single = [roc_auc_score(part["label"], part["score"]) for part in test.partition_by("fit", "seed")]
    pooled = roc_auc_score(test["label"], test["score"])
    found = row(scored(shifted), "auroc")
    assert found["value"] == pytest.approx(np.mean(single))
    assert abs(found["value"] - pooled) > 0.01


def test_fold_and_seed_spread_are_standard_deviations_of_means_over_the_other(scored, two_fits):
    table = two_fits()
    by_fit_and_seed = np.array(
        [
            [roc_auc_score(part["label"], part["score"]) for part in of_fit.partition_by("seed")]
            for of_fit in table.filter(pl.col("role") == "test").partition_by("fit")
        ]
    )
    found = row(scored(table), "auroc")
    assert found["fold_spread"] == pytest.approx(by_fit_and_seed.mean(axis=1).std(ddof=1))
    assert found["seed_spread"] == pytest.approx(by_fit_and_seed.mean(axis=0).std(ddof=1))
    assert found["positives"] + found["negatives"] == 480


def test_the_interval_is_that_of_a_slow_loop_over_the_same_draws(scored, two_fits, units_of):
    table = two_fits()
    units, decided = units_of(table, 40), thresholds(table)
    test = table.filter(pl.col("role") == "test").join(units, on="row_id").join(decided, on=["method", "fit", "seed"])
    draws = draw(test["unit"].unique().to_list(), RESAMPLES)
    slow = []
    for place in range(RESAMPLES):
        times = pl.DataFrame({"unit": draws.units, "times": draws.multiplicities[:, place].astype(float)})
        fits = test.join(times, on="unit").partition_by("fit", "seed")
        slow.append(
            [
                np.mean(
                    [
                        point_metrics(
                            f["label"].to_numpy(),
                            f["score"].to_numpy(),
                            threshold=f["threshold"][0],
                            weights=f["times"].to_numpy(),
                        )[metric].value
                        for f in fits
                    ]
                )
                for metric in KEPT
            ]
        )
    result = scored(table, units=units)
    for metric, expected in zip(KEPT, np.array(slow).T, strict=True):
        np.testing.assert_allclose(values(result, metric), expected, atol=1e-12)
        ends = np.quantile(expected, [0.025, 0.975])
        assert [row(result, metric)[end] for end in ("low", "high")] == pytest.approx(ends)


def test_methods_scored_in_different_calls_stay_paired(scored, two_fits):
    a, b = two_fits("a"), two_fits("b", signal=2.0)
    together, alone = scored(pl.concat([a, b])), scored(b)
    assert together.resamples["draws"].unique().to_list() == alone.resamples["draws"].unique().to_list()
    np.testing.assert_array_equal(values(together, "ap", "b"), values(alone, "ap", "b"))
    same = scored(pl.concat([a, a.with_columns(method=pl.lit("copy"))]))
    np.testing.assert_array_equal(values(same, "mcc", "a"), values(same, "mcc", "copy"))


def test_the_order_of_rows_changes_nothing(scored, two_fits):
    table = two_fits()
    shuffled = table.sample(fraction=1, shuffle=True, seed=3)
    one, other = scored(table).scores, scored(shuffled).scores
    assert one.drop("value", "low", "high").select("metric", "reason").equals(other.select("metric", "reason"))
    np.testing.assert_allclose(one["value"].to_numpy(), other["value"].to_numpy())
    np.testing.assert_allclose(one["low"].to_numpy(), other["low"].to_numpy())


def test_a_fit_without_a_class_is_left_out_of_the_mean_and_said(scored, antibodies, noisy):
    labels, scores = noisy()
    table = pl.concat(
        [antibodies(scores, labels), antibodies(scores[:5], np.zeros(5, dtype=bool), fit=1, prefix="other")]
    )
    found = row(scored(table), "auroc")
    assert found["value"] == pytest.approx(roc_auc_score(labels, scores))
    assert found["reason"] == "undefined in 1 of 2 fits: one class only"
    assert found["low"] is not None


def test_an_undefined_metric_is_null_with_its_reason(scored, antibodies):
    result = scored(antibodies([0.3] * 50, [True] * 20 + [False] * 30))
    found = row(result, "mcc")
    assert (found["value"], found["low"], found["reason"]) == (None, None, "every call is the same")
    assert row(result, "auroc")["value"] == 0.5
    assert result.skipped.filter(pl.col("metric") == "mcc").is_empty()


def test_resamples_that_lack_a_class_are_skipped_and_counted(scored, antibodies):
    table = antibodies([0.9, 0.8, 0.1, 0.2, 0.3, 0.6], [True, True, False, False, False, False])
    result = scored(table, number=12)
    drawn = draw([f"u{place:03d}" for place in range(6)], RESAMPLES).multiplicities
    lacking = ((drawn[:2].sum(axis=0) == 0) | (drawn[2:].sum(axis=0) == 0)).sum()
    skipped = {metric: number for _, metric, _, number in result.skipped.rows()}
    assert skipped["ap"] == skipped["auroc"] == lacking > 0
    assert np.isnan(values(result, "ap")).sum() == lacking
    assert row(result, "ap")["low"] is not None


def test_few_clusters_are_said_and_one_gives_no_interval(scored, antibodies, noisy, units_of):
    labels, scores = noisy()
    table = antibodies(scores, labels)
    assert scored(table, number=30).warnings == ()
    assert scored(table, number=29).warnings == ("fewer than 30 clusters: not ranked",)
    found = row(scored(table, number=1), "ap")
    assert (found["low"], found["high"], found["reason"]) == (None, None, "one cluster only: no interval")


def test_test_items_without_a_score_are_said(scored, antibodies, noisy):
    labels, scores = noisy()
    result = scored(antibodies([None, None, *scores[2:]], labels))
    assert result.warnings == ("m: 2 test items have no score and are left out",)
    assert row(result, "ap")["positives"] + row(result, "ap")["negatives"] == len(labels) - 2


@pytest.fixture
def paratopes(residues):
    generator = np.random.default_rng(1)
    labels = generator.random((36, 12)) < 0.3
    labels[0] = False
    scores = np.round(0.6 * generator.random((36, 12)) + 0.4 * labels, 2)
    return residues(scores, labels), labels, scores


def test_paratopes_are_also_scored_per_chain_chain_type_and_region(scored, paratopes):
    table, labels, scores = paratopes
    result = scored(table, task="paratope", number=72)
    assert result.scores["view"].unique(maintain_order=True).to_list() == [
        "all",
        "per-chain",
        "chain:vh",
        "region:fwr3",
        "region:cdr3",
    ]
    chains = [roc_auc_score(label, score) for label, score in zip(labels[1:], scores[1:], strict=True)]
    found = row(result, "auroc", view="per-chain")
    assert found["value"] == pytest.approx(np.mean(chains))
    assert found["reason"] == "undefined in 1 of 36 chains"
    assert found["low"] < found["value"] < found["high"]
    # positions 100-111: five residues of FR3, seven of CDR3
    assert row(result, "auroc", view="region:cdr3")["value"] == pytest.approx(
        roc_auc_score(labels[:, 5:].ravel(), scores[:, 5:].ravel())
    )
    assert row(result, "recall", view="chain:vh")["value"] == row(result, "recall")["value"]


def test_resampling_whole_antibodies_widens_intervals_of_residues_that_agree(scored, residues):
    generator = np.random.default_rng(0)
    labels = np.tile([True, False] * 5, (60, 1))
    scores = np.where(labels, generator.random((60, 1)), 0.5)
    table = residues(scores, labels)
    found = row(scored(table, task="paratope", number=120), "recall")
    assert found["high"] - found["low"] > 2 * 1.96 * np.sqrt(0.25 / labels.sum())
