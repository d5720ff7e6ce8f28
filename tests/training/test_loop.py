import pytest
import torch

from ab_assets.errors import FitFailedError
from ab_assets.models.loading import load_encoder
from ab_assets.models.twins import twin_spec
from ab_assets.progress import silent
from ab_assets.training import loop, passes, trunk
from ab_assets.training.batches import training_batches
from ab_assets.training.data import FitData, count_labels
from ab_assets.training.heads import TunedModel
from ab_assets.training.recipe import Recipe
from ab_assets.training.updates import SingleUpdater, UpdateRule, adamw, rate

FAST = {"trainable_layers": 2, "learning_rate": 1e-2, "epochs": 3}


@pytest.fixture(params=["antigen-specificity", "paratope"])
def data(request, rows, roles):
    return FitData.build(rows, roles, fit=0, task=request.param, chain_names=("vh", "vl"))


@pytest.fixture
def specificity(rows, roles):
    return FitData.build(rows, roles, fit=0, task="antigen-specificity", chain_names=("vh", "vl"))


def started(data, recipe, seed=1, family="bert"):
    encoder = load_encoder(twin_spec(family))
    torch.manual_seed(seed)
    stack = encoder.trainable_copy(3 - recipe.trainable_layers)
    model = TunedModel(stack, width=32, pooled=2, task=data.task, recipe=recipe)
    return model, trunk.FrozenTrunk(encoder, 3 - recipe.trainable_layers)


def run(data, *, seed=1, progress=silent, family="bert", **changes):
    recipe = Recipe(**FAST | changes)
    model, frozen = started(data, recipe, family=family)
    history = loop.fine_tune(model, data, frozen, recipe, seed=seed, progress=progress)
    return history, model, frozen


def test_training_lowers_the_loss_and_keeps_the_best_epoch(data):
    history, model, frozen = run(data, epochs=4)
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss
    assert history.best_validation_loss == min(e.validation_loss for e in history.epochs)
    kept = passes.validation_loss(model, data.validation, frozen, passes.class_weights(data, Recipe(**FAST)))
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
    negative, positive = passes.class_weights(data, Recipe(class_weight="balanced"))
    positives, total = count_labels(data.train)
    assert negative * (total - positives) == pytest.approx(positive * positives)
    assert passes.class_weights(data, Recipe(class_weight="none")) == (1, 1)


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
    groups = adamw(model.trainable_weights(), UpdateRule.of(recipe, updates=1)).param_groups
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
    usual = {(e.row_id, e.scored): one for e, (one,) in passes.predict_logits(model, data.validation, frozen)}
    monkeypatch.setattr(trunk, "_TOKEN_BUDGET", {"cpu": budget})
    frozen = trunk.FrozenTrunk(frozen.encoder, frozen.split)
    for example, (logits,) in passes.predict_logits(model, data.validation[::-1], frozen):
        torch.testing.assert_close(logits, usual[example.row_id, example.scored], atol=1e-5, rtol=0)


def test_progress_says_epoch_and_step(specificity):
    said = []
    run(specificity, epochs=1, progress=lambda *what: said.append(what))
    assert said == [("epoch 1 of 1", 1, 2), ("epoch 1 of 1", 2, 2)]


def assert_same_training(one, other, *, within):
    for mine, its in zip(one[0].epochs, other[0].epochs, strict=True):
        assert mine.train_loss == pytest.approx(its.train_loss, abs=within)
        assert mine.validation_loss == pytest.approx(its.validation_loss, abs=within)
    expected = other[1].trainable_weights()
    for name, weight in one[1].trainable_weights().items():
        if not name.endswith("key.bias"):  # no output depends on it: its gradient is rounding, which AdamW enlarges
            torch.testing.assert_close(weight, expected[name], atol=within, rtol=0)


@pytest.mark.parametrize("budget", [1, 60, 150])
def test_any_token_budget_gives_the_same_losses_and_weights(data, budget, monkeypatch):
    gently = {"family": "esm", "dropout": 0, "learning_rate": 1e-3}
    whole = run(data, **gently)
    monkeypatch.setattr(trunk, "_TOKEN_BUDGET", {"cpu": budget})
    assert_same_training(run(data, **gently), whole, within=1e-5)


class Memory:
    """Lets no forward pass of what learns take more than so many tokens; dropout was drawn before it fails."""

    def __init__(self, monkeypatch, limit):
        self.failed = 0
        forward = TunedModel.forward

        def limited(model, texts):
            if max(states.ids.numel() for states in texts) > limit:
                if model.training:
                    torch.rand(3)
                self.failed += 1
                raise torch.OutOfMemoryError
            return forward(model, texts)

        monkeypatch.setattr(TunedModel, "forward", limited)


@pytest.mark.parametrize("options", [{"family": "esm", "dropout": 0}, {"family": "bert", "dropout": 0.1}], ids=str)
def test_out_of_memory_leads_to_the_updates_of_a_smaller_budget(data, options, monkeypatch):
    said = []
    with monkeypatch.context() as short:
        memory = Memory(short, 70)
        pressed = run(data, progress=lambda *what: said.append(what[0]), **options)
    told = [line for line in said if line.startswith("out of memory")]
    assert len(told) == memory.failed
    training = [line for line in told if line.endswith("from now on, updates stay the same")]
    assert said[: said.index("epoch 1 of 3")][-len(training) :] == training  # all in the first update
    budget = int(training[-1].split()[3])
    assert 20 < budget < 140
    monkeypatch.setattr(trunk, "_TOKEN_BUDGET", {"cpu": budget})
    assert_same_training(pressed, run(data, **options), within=1e-6)


def test_memory_that_does_not_suffice_for_one_example_is_an_error(data, monkeypatch):
    steps = []
    monkeypatch.setattr(SingleUpdater, "step", lambda *_: steps.append(1))
    Memory(monkeypatch, 9)
    with pytest.raises(torch.OutOfMemoryError):
        run(data)
    assert steps == []
    recipe = Recipe(**FAST)
    model, frozen = started(data, recipe)
    with pytest.raises(torch.OutOfMemoryError):
        passes.validation_loss(model, data.validation, frozen, (1, 1))
    with pytest.raises(torch.OutOfMemoryError):
        list(passes.predict_logits(model, data.validation, frozen))


def test_validation_and_prediction_go_on_in_smaller_batches_where_memory_does_not_suffice(data, monkeypatch):
    model, frozen = started(data, Recipe(**FAST))
    loss = passes.validation_loss(model, data.validation, frozen, (1, 2))
    logits = {(e.row_id, e.scored): one for e, (one,) in passes.predict_logits(model, data.validation, frozen)}
    memory, said = Memory(monkeypatch, 50), []

    def progress(*what):
        said.append(what[0])

    assert passes.validation_loss(model, data.validation, frozen, (1, 2), progress) == pytest.approx(loss, abs=1e-6)
    found = [(e, one) for e, (one,) in passes.predict_logits(model, data.validation[::-1], frozen, progress)]
    assert len(found) == len(logits)
    for example, one in found:
        torch.testing.assert_close(one, logits[example.row_id, example.scored], atol=1e-5, rtol=0)
    assert len(said) == memory.failed > 2
    assert set(said) <= {f"out of memory: {2048 >> halved} tokens at a time" for halved in range(1, 11)}


@pytest.mark.parametrize("budget", [1, 60, 10_000])
def test_a_loss_that_is_no_number_names_the_micro_batch_and_nothing_is_learnt_from_it(specificity, budget, monkeypatch):
    chosen = specificity.train[13]
    recipe = Recipe(**FAST, batch_size=4)
    monkeypatch.setattr(trunk, "_TOKEN_BUDGET", {"cpu": budget})
    model, frozen = started(specificity, recipe)
    ids = torch.tensor(frozen.tokenized(chosen.texts[0]).ids)
    forward, step = TunedModel.forward, SingleUpdater.step
    seen, steps, before = [], [], []

    def poisoned(model, texts):
        rows = texts[0].ids
        hit = rows.shape[1] >= len(ids) and bool((rows[:, : len(ids)] == ids).all(dim=1).any())
        seen.append(len(rows))
        return forward(model, texts) * (float("nan") if hit else 1)

    def noted(updater):
        norm = step(updater)
        steps.append(len(steps))
        before[:] = updater.weights().values()
        return norm

    monkeypatch.setattr(TunedModel, "forward", poisoned)
    monkeypatch.setattr(SingleUpdater, "step", noted)
    with pytest.raises(FitFailedError, match="the loss is not a finite number") as caught:
        loop.fine_tune(model, specificity, frozen, recipe, seed=1, progress=silent)
    lengths = [sum(len(chain) for text in example.texts for chain in text) for example in specificity.train]
    batches = training_batches(lengths, 4, seed=1, epoch=0)
    (expected,) = (number for number, batch in enumerate(batches) if 13 in batch)
    assert f"step {expected + 1}:" in str(caught.value)
    assert steps == list(range(expected))
    assert all(torch.equal(*pair) for pair in zip(before, model.trainable_weights().values(), strict=True))
    named = {example.row_id for example in specificity.train if example.row_id in str(caught.value)}
    assert chosen.row_id in named
    assert named <= {specificity.train[i].row_id for i in batches[expected]}
    assert len(named) == seen[-1]
    assert {1: 1, 10_000: 4}.get(budget, seen[-1]) == seen[-1]


def test_a_gradient_that_is_no_number_is_told_apart_from_the_loss(specificity):
    recipe = Recipe(**FAST)
    model, frozen = started(specificity, recipe)
    model.head.out.weight.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(FitFailedError, match="step 1: the norm of the gradient is not a finite number"):
        loop.fine_tune(model, specificity, frozen, recipe, seed=1, progress=silent)
