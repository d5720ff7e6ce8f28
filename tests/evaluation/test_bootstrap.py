import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as theirs

from ab_assets.evaluation.bootstrap import draw, interval, mean_defined, resampled_means, resampled_metrics, seed_of
from ab_assets.evaluation.metrics import METRICS, point_metrics
from ab_assets.evaluation.samples import Sample

NAMES = tuple(f"unit{number:03d}" for number in range(40))


def sample(labels, scores, units, threshold=0.5):
    count = np.arange(len(labels))
    return Sample(0, 1, threshold, labels, scores, units.astype(np.int32), count.astype(np.int32), count, {})


@pytest.fixture
def items(noisy):
    labels, scores = noisy(3, count=200)
    return labels, scores, np.random.default_rng(5).integers(0, len(NAMES), 200)


@given(number=st.integers(1, 60), resamples=st.integers(1, 30))
def test_every_resample_draws_as_many_units_as_there_are(number, resamples):
    draws = draw([f"u{place}" for place in range(number)], resamples)
    assert draws.multiplicities.shape == (number, resamples)
    assert draws.multiplicities.sum(axis=0).tolist() == [number] * resamples


def test_draws_depend_on_the_names_alone_not_on_their_order():
    turned = draw(NAMES[::-1], 50)
    assert turned.units == NAMES
    assert (turned.multiplicities == draw(NAMES, 50).multiplicities).all()
    assert (draw((*NAMES[:-1], "other"), 50).multiplicities != turned.multiplicities).any()
    assert seed_of(["a", "b"]) == seed_of(["b", "a"]) == 9086284064639102403


def test_fewer_resamples_are_the_first_of_more_whatever_is_drawn_at_once(monkeypatch):
    many = draw(NAMES, 100).multiplicities
    monkeypatch.setattr("ab_assets.evaluation.bootstrap._DRAWN_AT_ONCE", 7 * len(NAMES))
    assert (draw(NAMES, 60).multiplicities == many[:, :60]).all()


def test_multiplicities_are_multinomial():
    drawn = draw(NAMES, 4000).multiplicities
    assert drawn.mean(axis=1) == pytest.approx(np.ones(len(NAMES)), abs=0.08)
    assert drawn.var() == pytest.approx(1 - 1 / len(NAMES), abs=0.02)


def test_each_metric_of_each_resample_is_scikit_learns_on_the_repeated_items(items):
    labels, scores, units = items
    draws = draw(NAMES, 25)
    found = resampled_metrics(sample(labels, scores, units), draws)
    for place in range(25):
        repeat = draws.multiplicities[units, place]
        label, score = np.repeat(labels, repeat), np.repeat(scores, repeat)
        assert found["ap"][place] == pytest.approx(theirs.average_precision_score(label, score))
        assert found["auroc"][place] == pytest.approx(theirs.roc_auc_score(label, score))
        assert found["mcc"][place] == pytest.approx(theirs.matthews_corrcoef(label, score >= 0.5))
        slow = point_metrics(label, score, threshold=0.5)
        assert {name: found[name][place] for name in METRICS} == pytest.approx({n: slow[n].value for n in METRICS})


def test_neither_threads_nor_blocks_nor_units_without_items_change_a_value(items, monkeypatch):
    labels, scores, units = items
    one = resampled_metrics(sample(labels, scores, units % 30), draw(NAMES, 700))
    monkeypatch.setattr("ab_assets.evaluation.bootstrap._BLOCK", 64)
    other = resampled_metrics(sample(labels, scores, units % 30), draw(NAMES, 700), workers=3)
    for name in METRICS:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-12)


def test_resampled_means_weigh_items_by_their_unit_and_leave_undefined_ones_out():
    draws = draw(["a", "b", "c"], 50)
    values = np.array([[1.0, 5.0], [2.0, np.nan], [4.0, np.nan], [8.0, np.nan]])
    found = resampled_means(values, np.array([0, 1, 2, 2], dtype=np.int32), draws)
    a, b, c = draws.multiplicities.astype(float)
    np.testing.assert_allclose(found[:, 0], (a + 2 * b + 12 * c) / (a + b + 2 * c))
    np.testing.assert_array_equal(found[:, 1], np.where(a > 0, 5.0, np.nan))


def test_means_over_fits_skip_undefined_values_and_count_them():
    mean, skipped = mean_defined([np.array([1.0, np.nan, np.nan]), np.array([3.0, 5.0, np.nan])])
    np.testing.assert_array_equal(mean, [2.0, 5.0, np.nan])
    assert skipped == 3


def test_the_interval_is_the_central_95_percent_of_the_defined_values():
    values = np.append(np.arange(1001.0), np.nan)
    assert interval(values) == pytest.approx((25, 975))
    assert interval(np.array([np.nan])) is None


def test_intervals_cover_the_truth_and_resampling_single_items_would_not():
    covered = {"clusters": 0, "items": 0}
    for seed in range(60):
        generator = np.random.default_rng(seed)
        units = np.repeat(np.arange(40), 10)
        labels = np.repeat(generator.random(40) < 0.5, 10)
        # members of a cluster share most of what makes their score right or wrong: the true recall is a half
        scores = (np.repeat(generator.random(40), 10) + 0.01 * generator.normal(size=400)).clip(0, 1)
        for kind, unit in (("clusters", units), ("items", np.arange(400))):
            draws = draw([f"u{number:03d}" for number in range(unit.max() + 1)], 200)
            low, high = interval(resampled_metrics(sample(labels, scores, unit), draws)["recall"])
            covered[kind] += low <= 0.5 <= high
    assert covered["clusters"] >= 51
    assert covered["items"] <= 42
