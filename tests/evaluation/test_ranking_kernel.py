import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_assets.evaluation.metrics import ranking
from ab_assets.evaluation.ranking_kernel import ranking_of_resamples


@settings(deadline=None)  # the first example compiles
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([2, 5, 1000]))
def test_each_resample_equals_the_weighted_metrics(seed, levels):
    generator = np.random.default_rng(seed)
    scores = np.sort(generator.integers(0, levels, 40) / levels)[::-1]
    labels = generator.random(40) < 0.3
    units = generator.integers(0, 6, 40).astype(np.int32)
    multiplicities = generator.multinomial(6, np.full(6, 1 / 6), size=9).T.astype(np.uint8)
    last = np.append(scores[1:] != scores[:-1], True)
    found = np.array(ranking_of_resamples(labels, units, last, np.ascontiguousarray(multiplicities)))
    expected = [ranking(labels, scores, weights=drawn[units].astype(float)) for drawn in multiplicities.T]
    np.testing.assert_allclose(found.T, expected, atol=1e-12)


def test_a_resample_without_one_of_the_classes_is_nan():
    labels, units = np.array([True, False]), np.array([0, 1], dtype=np.int32)
    drawn = np.array([[2, 0, 1], [0, 2, 1]], dtype=np.uint8)
    precision, area = ranking_of_resamples(labels, units, np.array([True, True]), drawn)
    assert np.isnan(precision).tolist() == np.isnan(area).tolist() == [True, True, False]
    assert (precision[2], area[2]) == (pytest.approx(1), pytest.approx(1))
