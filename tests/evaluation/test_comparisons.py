import numpy as np
import polars as pl
import pytest

from ab_assets.errors import CorruptArtifactError, UnknownNameError
from ab_assets.evaluation.comparisons import COMPARED, compare, simultaneous
from ab_assets.evaluation.scores import score
from ab_assets.evaluation.thresholds import thresholds
from ab_assets.tables import COMPARISONS

BASE = "kmer-logistic"
MODELS = ["a fine-tuned", "a frozen-probe", "b fine-tuned", "a fine-tuned-shuffled"]
BASELINES = ["majority", BASE, "kmer-logistic-shuffled"]


@pytest.fixture
def made(antibodies, units_of):
    labels = np.random.default_rng(0).random(200) < 0.5
    signals = dict(zip([*MODELS, *BASELINES], [2.0, 1.5, 1.5, 0.0, None, 1.0, 0.0], strict=True))
    parts = []
    for place, (method, signal) in enumerate(signals.items()):
        raw = np.random.default_rng(place).normal(size=200)
        scores = np.full(200, 0.5) if signal is None else 1 / (1 + np.exp(-raw - signal * labels))
        parts.append(antibodies(scores, labels, method=method))
    table = pl.concat(parts)
    return score(table, thresholds(table), units_of(table, 80), resamples=500, task="antigen-specificity")


@pytest.fixture
def compared(made):
    return compare(made.resamples, made.scores, methods=MODELS, primary_baseline=BASE)


def pick(table, method, reference, metric="ap"):
    found = table.filter(pl.col("method") == method, pl.col("reference") == reference, pl.col("metric") == metric)
    return found.row(0, named=True) if found.height else None


def values(made, method, metric="ap"):
    found = made.resamples.filter(pl.col("method") == method, pl.col("metric") == metric)
    return found["values"].item().to_numpy()


def value(made, method, metric="ap"):
    chosen = made.scores.filter(pl.col("method") == method, pl.col("metric") == metric)
    return chosen["value"].item()


def test_the_primary_family_is_every_model_method_against_the_baseline_without_controls(compared):
    primary = compared.filter(pl.col("family") == "primary")
    assert compared.schema == COMPARISONS
    assert primary.select("metric", "method", "reference").rows() == [
        (metric, method, BASE) for metric in COMPARED for method in MODELS[:3]
    ]


def test_other_pairs_are_exploratory_once_each_and_controls_only_meet_their_own_method(compared):
    pairs = compared.filter(pl.col("family") == "exploratory", pl.col("metric") == "mcc")
    assert pairs.select("method", "reference").rows() == [
        ("a fine-tuned", "a frozen-probe"),
        ("a fine-tuned", "b fine-tuned"),
        ("a fine-tuned", "majority"),
        ("a frozen-probe", "b fine-tuned"),
        ("a frozen-probe", "majority"),
        ("b fine-tuned", "majority"),
        (BASE, "majority"),
        ("a fine-tuned", "a fine-tuned-shuffled"),
        (BASE, "kmer-logistic-shuffled"),
    ]


def test_a_difference_is_of_the_points_and_its_interval_of_paired_resamples(made, compared):
    found = pick(compared, "a fine-tuned", "b fine-tuned")
    assert found["difference"] == pytest.approx(value(made, "a fine-tuned") - value(made, "b fine-tuned"))
    paired = values(made, "a fine-tuned") - values(made, "b fine-tuned")
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.quantile(paired, [0.025, 0.975])))


def test_the_primary_intervals_are_wider_than_pointwise_ones_and_centred(made, compared):
    for method in MODELS[:3]:
        found = pick(compared, method, BASE)
        error = (values(made, method) - values(made, BASE)).std(ddof=1)
        assert (found["low"] + found["high"]) / 2 == pytest.approx(found["difference"])
        assert found["high"] - found["difference"] > 1.96 * error


def test_an_undefined_metric_gives_a_null_difference_not_a_missing_row(compared):
    found = pick(compared, "b fine-tuned", "majority", "mcc")
    assert (found["difference"], found["low"], found["high"]) == (None, None, None)


def test_a_method_undefined_in_the_family_does_not_take_the_others_with_it(made):
    table = compare(made.resamples, made.scores, methods=["majority", "a fine-tuned"], primary_baseline=BASE)
    assert pick(table, "majority", BASE, "mcc")["low"] is None
    assert pick(table, "a fine-tuned", BASE, "mcc")["low"] is not None


def test_a_method_equals_itself_with_an_interval_of_no_width(made):
    table = compare(made.resamples, made.scores, methods=[BASE], primary_baseline=BASE)
    found = pick(table, BASE, BASE)
    assert (found["difference"], found["low"], found["high"]) == (0, 0, 0)


def test_simultaneous_intervals_hold_together_in_95_percent_and_one_alone_is_pointwise():
    drawn = np.random.default_rng(0).normal(size=(4, 20_000)) * np.array([[1], [2], [3], [4]])
    ends = np.array(simultaneous(np.zeros(4), drawn))
    inside = ((drawn >= ends[:, :1]) & (drawn <= ends[:, 1:])).all(axis=0).mean()
    assert inside == pytest.approx(0.95, abs=1e-3)
    # four independent differences: the 0.95 ** (1/4) quantile of a standard normal's absolute value
    assert ends[:, 1] / drawn.std(axis=1, ddof=1) == pytest.approx([2.49] * 4, abs=0.05)
    assert simultaneous(np.zeros(1), drawn[:1])[0][1] == pytest.approx(1.96, abs=0.05)


def test_simultaneous_intervals_leave_out_resamples_in_which_a_difference_is_undefined():
    drawn = np.random.default_rng(0).normal(size=(2, 400))
    holes = drawn.copy()
    holes[0, :100] = np.nan
    assert simultaneous(np.zeros(2), holes) == simultaneous(np.zeros(2), drawn[:, 100:])
    assert simultaneous(np.zeros(2), holes[:, :100]) == []


def test_without_models_only_baselines_are_compared(made):
    table = compare(made.resamples, made.scores, methods=[], primary_baseline=BASE)
    assert set(table["family"]) == {"exploratory"}


def test_methods_resampled_differently_are_refused(made):
    other = made.resamples.with_columns(
        draws=pl.when(pl.col("method") == "majority").then(pl.lit("other")).otherwise("draws")
    )
    with pytest.raises(CorruptArtifactError, match=r"resampled differently.*majority"):
        compare(other, made.scores, methods=MODELS, primary_baseline=BASE)


@pytest.mark.parametrize("named", [{"methods": ["c fine-tuned"]}, {"methods": [], "primary_baseline": "c fine-tuned"}])
def test_a_method_without_scores_is_named(made, named):
    with pytest.raises(UnknownNameError, match="'c fine-tuned' has no scores"):
        compare(made.resamples, made.scores, **({"primary_baseline": BASE} | named))
