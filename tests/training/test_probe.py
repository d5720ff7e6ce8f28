import numpy as np
import pytest

from ab_assets.training import probe as probes
from ab_assets.training.data import Example
from ab_assets.training.probe import STRENGTHS, LinearProbe, fit_linear_probe, labelled_items, probabilities_of


def separable(count, seed, features=6):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, features)).astype(np.float32) * 10 + 3
    return x, x[:, 0] > 3


def example(labels, sequence="AAAA"):
    return Example("r", ((sequence,),), ("vh",), None if labels is None else np.array(labels, dtype=np.int8))


@pytest.mark.parametrize(("count", "features", "accuracy"), [(30, 40, 0.6), (200, 6, 0.9)])
def test_a_linear_rule_is_found_with_more_features_than_rows_and_fewer(count, features, accuracy):
    probe = fit_linear_probe(*separable(count, 0, features), *separable(200, 1, features), balanced=False)
    assert probe.strength in STRENGTHS
    x, y = separable(500, 2, features)
    assert ((probe.probabilities(x) > 0.5) == y).mean() > accuracy


def test_probabilities_are_sklearns(tmp_path):
    from sklearn.linear_model import LogisticRegression

    x, y = separable(100, 0)
    probe = fit_linear_probe(x, y, x, y, balanced=True)
    scaled = (x - probe.mean) / probe.scale
    theirs = LogisticRegression(C=probe.strength, class_weight="balanced", tol=1e-8, max_iter=1000).fit(scaled, y)
    np.testing.assert_allclose(probe.probabilities(x), theirs.predict_proba(scaled)[:, 1], atol=1e-3)


def test_noise_gets_the_strongest_regularisation():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(60, 40)).astype(np.float32)
    y = generator.random(60) < 0.5
    assert fit_linear_probe(x[:40], y[:40], x[40:], y[40:], balanced=True).strength <= 1e-3


def test_a_constant_feature_changes_nothing():
    x, y = separable(50, 0)
    constant = np.hstack([x, np.full((50, 1), 7, dtype=np.float32)])
    probe = fit_linear_probe(constant, y, constant, y, balanced=False)
    assert np.isfinite(probe.probabilities(constant)).all()


def test_a_probe_survives_storage():
    x, y = separable(50, 0)
    probe = fit_linear_probe(x, y, x, y, balanced=False)
    again = LinearProbe.of_arrays(probe.arrays())
    np.testing.assert_array_equal(again.probabilities(x), probe.probabilities(x))


def test_only_seen_residues_of_labelled_chains_are_items():
    states = np.arange(6, dtype=np.float32).reshape(3, 2)
    seen, labels = labelled_items(
        [(example([True, False, True, True]), [states]), (example(None), [states])], limit=10, seed=0
    )
    assert labels.tolist() == [True, False, True]
    assert seen.tolist() == states.tolist()


def test_a_sample_keeps_state_and_label_together_and_follows_the_seed():
    parts = [(example([i % 2 == 0] * 4), [np.full((4, 1), i, dtype=np.float32)]) for i in range(10)]
    states, labels = labelled_items(parts, limit=12, seed=1)
    assert states.shape == (12, 1)
    assert labels.tolist() == (states[:, 0] % 2 == 0).tolist()
    np.testing.assert_array_equal(states, labelled_items(parts, limit=12, seed=1)[0])
    assert states.tolist() != labelled_items(parts, limit=12, seed=2)[0].tolist()


@pytest.mark.parametrize("together", [1, 5, 1000])
def test_examples_scored_together_get_their_own_scores(monkeypatch, together):
    monkeypatch.setattr(probes, "_SCORED_TOGETHER", together)
    x, y = separable(50, 0)
    probe = fit_linear_probe(x, y, x, y, balanced=False)
    parts = np.split(x, [1, 2, 6, 6, 30])
    pairs = [(example([True]), [part]) for part in parts[:3]] + [(example([True]), parts[3:])]
    scored = list(probabilities_of(probe, iter(pairs)))
    assert [one for one, _ in scored] == [one for one, _ in pairs]
    for (_, states), (_, scores) in zip(pairs, scored, strict=True):
        for one, part in zip(scores, states, strict=True):
            np.testing.assert_allclose(one, probe.probabilities(part), rtol=1e-12)
    assert list(probabilities_of(probe, [])) == []
