import numpy as np
import pytest

from ab_assets.errors import FitFailedError
from ab_assets.training import svm_probe
from ab_assets.training.probe import fit_linear_probe
from ab_assets.training.svm_probe import PENALTIES, WIDTHS, SupportVectorProbe, drawn_items, fit_svm_probe


def rings(count, seed, features=4, share=0.5):
    """Two rings around one centre in the first two features; the others are noise on other scales."""
    generator = np.random.default_rng(seed)
    y = generator.random(count) < share
    angle = generator.uniform(0, 2 * np.pi, count)
    radius = np.where(y, 3, 1) + generator.normal(scale=0.3, size=count)
    noise = generator.normal(size=(count, features - 2)) * 0.2
    x = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), noise])
    return (x * np.arange(1, features + 1) * 10 + 7).astype(np.float32), y


def blobs(count, seed, features=20, share=0.5):
    """Two clouds that overlap."""
    generator = np.random.default_rng(seed)
    y = generator.random(count) < share
    return (generator.normal(size=(count, features)) + 0.3 * y[:, None]).astype(np.float32), y


def fitted(train, validation, *, balanced=False, seed=0):
    return fit_svm_probe(*train, *validation, balanced=balanced, seed=seed)


def accuracy(probe, data):
    return ((probe.probabilities(data[0]) > 0.5) == data[1]).mean()


def test_rings_that_no_line_parts_are_parted():
    train, validation, test = rings(200, 0), rings(100, 1), rings(300, 2)
    assert accuracy(fitted(train, validation), test) > 0.95
    assert accuracy(fit_linear_probe(*train, *validation, balanced=False), test) < 0.65


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("data", [rings, blobs])
def test_decisions_are_sklearns(data, balanced):
    from sklearn.svm import SVC

    x, y = data(150, 0, share=0.3)
    probe = fitted((x, y), data(80, 1, share=0.3), balanced=balanced)
    new = data(2500, 2)[0]
    scaled = (x - probe.mean) / probe.scale
    theirs = SVC(C=probe.strength, gamma=probe.gamma, class_weight="balanced" if balanced else None).fit(scaled, y)
    np.testing.assert_allclose(
        probe.decisions(new), theirs.decision_function((new - probe.mean) / probe.scale), rtol=0, atol=1e-9
    )


def test_widths_are_multiples_of_sklearns_scale_whatever_is_constant(monkeypatch):
    x, y = blobs(60, 0)
    x = np.hstack([x, np.full((60, 5), 7.1, dtype=np.float32)])
    monkeypatch.setattr(svm_probe, "WIDTHS", (1.0,))
    probe = fitted((x, y), (x, y))
    scaled = (x - probe.mean) / probe.scale
    assert probe.gamma == pytest.approx(1 / (scaled.shape[1] * scaled.var()))
    assert np.isfinite(probe.probabilities(x)).all()


def test_probabilities_rank_as_decisions_even_where_validation_says_the_opposite():
    x, y = blobs(200, 0)
    probe = fitted((x, y), (x, ~y))
    decisions, scores = probe.decisions(x), probe.probabilities(x)
    assert probe.slope > 0
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (np.diff(scores[np.argsort(decisions)]) >= 0).all()
    assert len(np.unique(scores)) > 100


def test_probabilities_are_calibrated():
    train, validation, test = (blobs(1500, seed, share=0.3) for seed in range(3))
    scores = fitted(train, validation).probabilities(test[0])
    assert scores.mean() == pytest.approx(test[1].mean(), abs=0.05)
    for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 1)):
        inside = (scores >= low) & (scores < high)
        assert test[1][inside].mean() == pytest.approx(scores[inside].mean(), abs=0.1)


def test_the_lowest_validation_loss_is_chosen(monkeypatch):
    train, validation = blobs(120, 0), blobs(80, 1)
    chosen = fitted(train, validation)
    losses = {}
    for penalty in PENALTIES:
        for width in WIDTHS:
            monkeypatch.setattr(svm_probe, "PENALTIES", (penalty,))
            monkeypatch.setattr(svm_probe, "WIDTHS", (width,))
            one = fitted(train, validation)
            scores = one.probabilities(validation[0])
            loss = -np.log(np.where(validation[1], scores, 1 - scores)).mean()
            assert one.validation_loss == pytest.approx(loss, rel=1e-9)
            losses[penalty, one.gamma] = loss
    assert chosen.validation_loss == pytest.approx(min(losses.values()))
    assert losses[chosen.strength, chosen.gamma] == pytest.approx(chosen.validation_loss)
    assert len(set(losses.values())) > 5


def test_of_equal_losses_the_strongest_regularisation_and_widest_kernel_win():
    train, validation = blobs(60, 0), blobs(30, 1)
    one_class = (validation[0], np.zeros(30, dtype=bool))  # every candidate does best with the same constant
    probe = fitted(train, one_class)
    assert (probe.strength, probe.gamma) == (PENALTIES[0], pytest.approx(WIDTHS[0] / 20))
    np.testing.assert_allclose(probe.probabilities(validation[0]), 1 / 32, atol=1e-4)


def test_features_are_standardised_by_training_items_alone():
    train, validation = blobs(60, 0), blobs(30, 1)
    probe = fitted(train, (validation[0] * 100 + 5, validation[1]))
    np.testing.assert_allclose(probe.mean, train[0].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(probe.scale, train[0].std(axis=0), atol=1e-6)
    assert probe.train_items == 60


def test_scale_and_shift_of_features_change_nothing():
    train, validation, test = rings(150, 0), rings(80, 1), rings(50, 2)
    moved = [((x * 4 - 100).astype(np.float32), y) for x, y in (train, validation, test)]
    before, after = fitted(train, validation), fitted(moved[0], moved[1])
    assert (before.strength, before.gamma) == (after.strength, after.gamma)
    np.testing.assert_allclose(after.probabilities(moved[2][0]), before.probabilities(test[0]), atol=0.01)


def test_order_of_rows_changes_nothing_beyond_the_solvers_tolerance():
    train, validation, test = rings(150, 0), rings(80, 1), rings(50, 2)
    order = np.random.default_rng(3).permutation(150)
    turned = fitted((train[0][order], train[1][order]), (validation[0][::-1], validation[1][::-1]))
    expected = fitted(train, validation).probabilities(test[0])
    np.testing.assert_allclose(turned.probabilities(test[0]), expected, atol=0.01)


def test_balanced_classes_raise_the_rare_ones_probability():
    train, validation, test = (blobs(300, seed, share=0.1) for seed in range(3))
    plain, balanced = fitted(train, validation), fitted(train, validation, balanced=True)
    assert plain.probabilities(test[0]).mean() == pytest.approx(0.1, abs=0.06)
    assert balanced.probabilities(test[0]).mean() > 0.3


def test_a_probe_survives_storage(tmp_path):
    from safetensors.numpy import load_file, save_file

    probe = fitted(rings(100, 0), rings(50, 1))
    save_file(probe.arrays(), tmp_path / "probe.safetensors")
    again = SupportVectorProbe.of_arrays(load_file(tmp_path / "probe.safetensors"))
    x = rings(60, 2)[0]
    np.testing.assert_array_equal(again.probabilities(x), probe.probabilities(x))


def test_made_again_it_has_the_same_bytes(monkeypatch):
    monkeypatch.setattr(svm_probe, "ITEM_LIMIT", 60)
    train, validation = rings(100, 0), rings(80, 1)

    def stored(seed):
        return {name: array.tobytes() for name, array in fitted(train, validation, seed=seed).arrays().items()}

    assert stored(1) == stored(1)
    assert stored(1) != stored(2)
    assert fitted(train, validation).train_items <= 60


@pytest.mark.parametrize("positives", [0, 1, 100, 999, 1000])
def test_a_draw_keeps_the_share_of_each_class_and_at_least_one_item(positives):
    labels = np.random.default_rng(0).permutation(np.arange(1000) < positives)
    chosen = drawn_items(labels, limit=100, seed=4)
    assert 99 <= len(chosen) <= 100
    assert (np.diff(chosen) > 0).all()
    assert labels[chosen].sum() == pytest.approx(positives / 10, abs=1)
    assert labels[chosen].any() == labels.any()
    assert chosen.tolist() == drawn_items(labels, limit=100, seed=4).tolist()
    assert chosen.tolist() != drawn_items(labels, limit=100, seed=5).tolist()
    assert drawn_items(labels, limit=1000, seed=4).tolist() == list(range(1000))


def test_rows_are_scored_in_blocks_and_none_give_none(monkeypatch):
    probe = fitted(rings(60, 0), rings(40, 1))
    x = rings(23, 2)[0]
    whole = probe.probabilities(x)
    monkeypatch.setattr(svm_probe, "_ROWS_AT_ONCE", 5)
    np.testing.assert_allclose(probe.probabilities(x), whole, rtol=1e-12)
    assert probe.probabilities(x[:0]).shape == (0,)


def test_two_antibodies_and_one_to_validate_are_enough():
    x, y = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32), np.array([False, True])
    scores = fitted((x, y), (x[:1], y[:1]), balanced=True).probabilities(x)
    assert np.isfinite(scores).all()
    assert scores[1] > scores[0]


def test_features_that_are_all_constant_give_one_probability():
    x, y = np.full((20, 3), 7.1, dtype=np.float32), np.arange(20) < 5
    assert fitted((x, y), (x, y)).probabilities(x) == pytest.approx(np.full(20, 0.27), abs=0.03)


def test_one_class_in_training_is_refused():
    x, y = rings(20, 0)
    with pytest.raises(FitFailedError, match=r"all training labels are the same"):
        fitted((x, np.ones(20, dtype=bool)), (x, y))
