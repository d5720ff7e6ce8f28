import numpy as np
import pytest

from ab_assets.evaluation.chains import chain_metrics
from ab_assets.evaluation.metrics import METRICS, point_metrics
from ab_assets.evaluation.samples import Sample


def test_each_chain_is_measured_as_if_it_were_alone():
    generator = np.random.default_rng(2)
    labels, scores = generator.random(90) < 0.3, np.round(generator.random(90), 1)
    chains = generator.permutation(np.repeat([4, 7, 9], 30)).astype(np.int32)
    sample = Sample(0, 1, 0.6, labels, scores, chains * 10, chains, np.arange(90), {})
    values, units = chain_metrics(sample)
    assert units.tolist() == [40, 70, 90]
    for place, chain in enumerate((4, 7, 9)):
        alone = point_metrics(labels[chains == chain], scores[chains == chain], threshold=0.6)
        assert values[place] == pytest.approx([alone[metric].value for metric in METRICS])


def test_what_is_undefined_in_a_chain_is_nan():
    labels, chains = np.array([True, False, False, False]), np.array([0, 0, 1, 1], dtype=np.int32)
    sample = Sample(0, 1, 0.5, labels, np.array([0.9, 0.1, 0.2, 0.3]), chains, chains, np.arange(4), {})
    values, _ = chain_metrics(sample)
    undefined = [metric for metric, value in zip(METRICS, values[1], strict=True) if np.isnan(value)]
    assert undefined == ["ap", "auroc", "mcc", "f1", "precision", "recall", "balanced_accuracy"]
    assert np.isfinite(values[0]).all()
