import pytest
import torch

from ab_assets.errors import FitFailedError
from ab_assets.models.loading import load_encoder
from ab_assets.models.twins import twin_spec
from ab_assets.progress import silent
from ab_assets.training import loop, trunk
from ab_assets.training.data import FitData
from ab_assets.training.heads import TunedModel
from ab_assets.training.recipe import Recipe
from ab_assets.training.updates import optimizer_for, rate

FAST = {"trainable_layers": 2, "learning_rate": 1e-2, "epochs": 3}


@pytest.fixture(params=["antigen-specificity", "paratope"])
def data(request, rows, roles):
    return FitData.build(rows, roles, fit=0, task=request.param, chain_names=("vh", "vl"))


@pytest.fixture
def specificity(rows, roles):
    return FitData.build(rows, roles, fit=0, task="antigen-specificity", chain_names=("vh", "vl"))


def started(data, recipe, seed=1):
    encoder = load_encoder(twin_spec("bert"))
    torch.manual_seed(seed)
    stack = encoder.trainable_copy(3 - recipe.trainable_layers)
    model = TunedModel(stack, width=32, pooled=2, task=data.task, recipe=recipe)
    return model, trunk.FrozenTrunk(encoder, 3 - recipe.trainable_layers)


def run(data, *, seed=1, progress=silent, **changes):
    recipe = Recipe(**FAST | changes)
    model, frozen = started(data, recipe)
    history = loop.fine_tune(model, data, frozen, recipe, seed=seed, progress=progress)
    return history, model, frozen


def test_training_lowers_the_loss_and_keeps_the_best_epoch(data):
    history, model, frozen = run(data, epochs=4)
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss
    assert history.best_validation_loss == min(e.validation_loss for e in history.epochs)
    kept = loop.validation_loss(model, data.validation, frozen, loop.class_weights(data, Recipe(**FAST)))
    assert kept == pytest.approx(history.best_validation_loss, abs=1e-6)


def test_same_seed_same_losses_and_the_seed_matters(data):
    assert run(data)[0] == run(data)[0]
    assert run(data)[0] != run(data, seed=2)[0]


def test_the_callers_random_state_is_left_alone(specificity):
    torch.manual_seed(3)
    recipe = Recipe(**FAST)
    model, frozen = started(specificity, recipe, seed=3)
    before = torch.get_rng_state()
    loop.fine_tune(model, specificity, frozen, recipe, seed=1, progress=silent)
    assert torch.equal(before, torch.get_rng_state())


def test_training_stops_when_validation_does_not_improve(specificity):
    history, _, _ = run(specificity, epochs=50, patience=2, learning_rate=0.05)
    assert history.stopped == "early"
    assert len(history.epochs) == history.best_epoch + 3


@pytest.mark.parametrize("weight", [float("nan"), 3e38])
def test_a_loss_that_is_no_number_names_step_and_rows(specificity, weight):
    recipe = Recipe(**FAST, batch_size=4)
    model, frozen = started(specificity, recipe)
    with torch.no_grad():
        model.head.out.weight.fill_(weight)
    with pytest.raises(FitFailedError, match="step 1") as caught:
        loop.fine_tune(model, specificity, frozen, recipe, seed=1, progress=silent)
    assert any(example.row_id in str(caught.value) for example in specificity.train)
    assert "Lower training.learning_rate" in str(caught.value)


def test_balanced_classes_weigh_the_same_in_total(rows, roles):
    data = FitData.build(rows, roles, fit=0, task="paratope", chain_names=("vh", "vl"))
    negative, positive = loop.class_weights(data, Recipe(class_weight="balanced"))
    positives, total = loop.count_labels(data.train)
    assert negative * (total - positives) == pytest.approx(positive * positives)
    assert loop.class_weights(data, Recipe(class_weight="none")) == (1, 1)


def test_the_rate_rises_then_falls_to_zero():
    rates = [rate(step, 20, 0.2) for step in range(21)]
    assert rates[:5] == sorted(rates[:5])
    assert max(rates) == 1.0
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] == 0.0
    assert rates[0] > 0


def test_biases_and_norms_are_not_decayed(specificity):
    recipe = Recipe(**FAST)
    model, _ = started(specificity, recipe)
    groups = optimizer_for(model.trainable_weights(), recipe).param_groups
    assert [(g["lr"], g["weight_decay"]) for g in groups] == [(0.01, 0.01), (0.01, 0.0)]
    assert all((weight.ndim > 1) == (g["weight_decay"] > 0) for g in groups for weight in g["params"])
    assert sum(len(g["params"]) for g in groups) == len(model.trainable_weights())


def test_frozen_layers_run_once_however_many_epochs(specificity):
    _, _, frozen = run(specificity, epochs=3)
    assert frozen.passes == len(specificity.texts())


@pytest.mark.parametrize("budget", [1, 50, 10_000])
def test_batch_size_and_order_do_not_change_a_logit(data, budget, monkeypatch):
    recipe = Recipe(**FAST)
    model, frozen = started(data, recipe)
    usual = {(e.row_id, e.scored): one for e, (one,) in loop.predict_logits(model, data.validation, frozen)}
    monkeypatch.setattr(trunk, "_TOKEN_BUDGET", {"cpu": budget})
    frozen = trunk.FrozenTrunk(frozen.encoder, frozen.split)
    for example, (logits,) in loop.predict_logits(model, data.validation[::-1], frozen):
        torch.testing.assert_close(logits, usual[example.row_id, example.scored], atol=1e-5, rtol=0)


def test_progress_says_epoch_and_step(specificity):
    said = []
    run(specificity, epochs=1, progress=lambda *what: said.append(what))
    assert said == [("epoch 1 of 1", 1, 2), ("epoch 1 of 1", 2, 2)]
