"""Fine-tuning of a model's last layers on one fit's examples: same seed, same bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ab_assets.errors import FitFailedError
from ab_assets.models.tokenization import SPECIAL_TOKENS
from ab_assets.training.batches import inference_batches, training_batches
from ab_assets.training.data import count_labels
from ab_assets.training.trunk import token_budget

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ab_assets.progress import Progress
    from ab_assets.training.data import Example, FitData
    from ab_assets.training.heads import TunedModel
    from ab_assets.training.recipe import Recipe
    from ab_assets.training.trunk import ChainStates, FrozenTrunk

_SHOWN_ROWS = 5


@dataclass(frozen=True, slots=True)
class Epoch:
    """Mean loss per label over one pass through the training rows and, after it, over the validation rows."""

    epoch: int
    train_loss: float
    validation_loss: float


@dataclass(frozen=True, slots=True)
class History:
    """What happened during a fit. `stopped`: "early" when validation stopped improving, else "epochs"."""

    epochs: tuple[Epoch, ...]
    best_epoch: int
    stopped: str

    @property
    def best_validation_loss(self) -> float:
        """The lowest validation loss, that of the weights which were kept."""
        return self.epochs[self.best_epoch].validation_loss


def fine_tune(
    model: TunedModel, data: FitData, trunk: FrozenTrunk, recipe: Recipe, *, seed: int, progress: Progress
) -> History:
    """Train `model` in place and leave it with the weights of its best epoch by validation loss.

    `seed` decides the order of batches and dropout. Raises FitFailedError when a loss is not finite.
    """
    trunk.ensure(data.sequences())
    weights = _class_weights(data, recipe)
    _start_at_prevalence(model, data, weights)
    lengths = [sum(len(s) for s in example.sequences) for example in data.train]
    steps = recipe.epochs * math.ceil(len(lengths) / recipe.batch_size)
    optimizer = _optimizer(model, recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps, recipe.warmup_fraction))
    epochs: list[Epoch] = []
    best: dict[str, Tensor] = {}
    best_epoch = 0
    with torch.random.fork_rng(devices=_cuda_devices(trunk)):
        torch.manual_seed(seed)
        for epoch in range(recipe.epochs):
            batches = training_batches(lengths, recipe.batch_size, seed=seed, epoch=epoch)
            losses = _Mean()
            model.train()
            for number, batch in enumerate(batches, start=1):
                examples = [data.train[i] for i in batch]
                loss, size = _loss(model, examples, trunk, weights)
                _require_finite(loss, examples, step=epoch * len(batches) + number)
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                norm = nn.utils.clip_grad_norm_(model.trainable_weights().values(), recipe.max_gradient_norm)
                _require_finite(norm, examples, step=epoch * len(batches) + number)
                optimizer.step()
                schedule.step()
                losses.add(loss.item(), size)
                progress(f"epoch {epoch + 1} of {recipe.epochs}", number, len(batches))
            validation = validation_loss(model, data.validation, trunk, weights)
            epochs.append(Epoch(epoch, losses.value, validation))
            if not best or validation < epochs[best_epoch].validation_loss:
                best_epoch = epoch
                best = {name: weight.detach().clone() for name, weight in model.trainable_weights().items()}
            elif epoch - best_epoch >= recipe.patience:
                break
    with torch.no_grad():
        for name, weight in model.trainable_weights().items():
            weight.copy_(best[name])
    stopped = "early" if len(epochs) < recipe.epochs else "epochs"
    return History(tuple(epochs), best_epoch, stopped)


def validation_loss(
    model: TunedModel, examples: Sequence[Example], trunk: FrozenTrunk, weights: tuple[float, float]
) -> float:
    """Return the mean loss per label over `examples`, without dropout."""
    losses = _Mean()
    model.eval()
    with torch.inference_mode():
        for chosen in example_batches(examples, token_budget(trunk.encoder)):
            loss, size = _loss(model, chosen, trunk, weights)
            _require_finite(loss, chosen, step=None)
            losses.add(loss.item(), size)
    return losses.value


def predict_logits(
    model: TunedModel, examples: Sequence[Example], trunk: FrozenTrunk
) -> Iterator[tuple[Example, Tensor]]:
    """Yield each example with its logits on the CPU: (1,) per antibody, (seen residue,) per chain. Order is free."""
    model.eval()
    for chosen in example_batches(examples, token_budget(trunk.encoder)):
        chains = _chain_states(chosen, trunk)
        with torch.inference_mode(), trunk.encoder.autocast():
            logits = model(chains).cpu()
        counts = chains[0].seen if model.per_residue else (1,) * len(chosen)
        yield from zip(chosen, logits.split(list(counts)), strict=True)


def example_batches(examples: Sequence[Example], budget: int) -> Iterable[list[Example]]:
    """Return the examples from short to long in batches for a forward pass."""
    lengths = [max(len(s) for s in example.sequences) + SPECIAL_TOKENS for example in examples]
    return ([examples[i] for i in batch] for batch in inference_batches(lengths, budget))


def _chain_states(examples: Sequence[Example], trunk: FrozenTrunk) -> list[ChainStates]:
    return [trunk.batch(chain) for chain in zip(*(example.sequences for example in examples), strict=True)]


def _loss(
    model: TunedModel, examples: Sequence[Example], trunk: FrozenTrunk, weights: tuple[float, float]
) -> tuple[Tensor, int]:
    chains = _chain_states(examples, trunk)
    labels = [torch.from_numpy(example.labels) for example in examples if example.labels is not None]
    if model.per_residue:
        labels = [one[:seen] for one, seen in zip(labels, chains[0].seen, strict=True)]
    target = torch.cat(labels).to(trunk.encoder.device)
    with trunk.encoder.autocast():
        logits = model(chains)
    weight = torch.where(target, weights[1], weights[0])
    loss = nn.functional.binary_cross_entropy_with_logits(logits, target.float(), weight=weight)
    return loss, len(target)


def _class_weights(data: FitData, recipe: Recipe) -> tuple[float, float]:
    if recipe.class_weight == "none":
        return 1.0, 1.0
    positives, total = count_labels(data.train)
    return total / (2 * (total - positives)), total / (2 * positives)


def _start_at_prevalence(model: TunedModel, data: FitData, weights: tuple[float, float]) -> None:
    """Give the head the bias that says the share of positive labels (Lin et al. 2017, section 4.1).

    From a bias of 0 the first steps would only lower every logit, and those of conserved residues the fastest: that
    alone ranks variable residues above them, whatever the labels say.
    """
    positives, total = count_labels(data.train)
    odds = (weights[1] * positives) / (weights[0] * (total - positives))
    nn.init.constant_(model.head.bias, math.log(odds))


def _optimizer(model: TunedModel, recipe: Recipe) -> torch.optim.Optimizer:
    weights = model.trainable_weights().values()
    # biases and norms are not decayed (Devlin et al. 2019)
    decayed = {"params": [w for w in weights if w.ndim > 1], "weight_decay": recipe.weight_decay}
    others = {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0}
    return torch.optim.AdamW([decayed, others], lr=recipe.learning_rate)


def _rate(step: int, steps: int, warmup_fraction: float) -> float:
    warmup = math.ceil(steps * warmup_fraction)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return max(0.0, (steps - step) / max(1, steps - warmup))


def _require_finite(value: Tensor, examples: Sequence[Example], *, step: int | None) -> None:
    if torch.isfinite(value):
        return
    rows = [example.row_id for example in examples]
    shown = ", ".join(rows[:_SHOWN_ROWS]) + (f" and {len(rows) - _SHOWN_ROWS} more" if len(rows) > _SHOWN_ROWS else "")
    raise FitFailedError(
        what="the loss is not a finite number",
        where=f"step {step}" if step is not None else "validation",
        found=f"{value.item()} on rows {shown}",
        hint="Lower training.learning_rate, or look at these rows.",
    )


def _cuda_devices(trunk: FrozenTrunk) -> list[torch.device]:
    device = trunk.encoder.device
    return [device] if device.type == "cuda" else []


class _Mean:
    """A mean over labels, gathered batch by batch."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._size = 0

    def add(self, mean: float, size: int) -> None:
        self._sum += mean * size
        self._size += size

    @property
    def value(self) -> float:
        return self._sum / self._size
