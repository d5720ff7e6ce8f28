"""Fine-tuning of a model on one fit's examples: same seed, same bytes, also when it was interrupted in between."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ab_assets.errors import InterruptedFitError
from ab_assets.training.batches import training_batches
from ab_assets.training.data import UNKNOWN_LABEL, count_labels, residue_count
from ab_assets.training.interruption import Interruption
from ab_assets.training.passes import (
    LabelMean,
    class_weights,
    require_finite,
    seen_labels,
    summed_loss,
    validation_loss,
)
from ab_assets.training.portions import portions
from ab_assets.training.trunk import token_budget
from ab_assets.training.updates import UpdateRule, rank_seed, single_updater

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ab_assets.progress import Progress
    from ab_assets.training.data import Example, FitData
    from ab_assets.training.heads import TunedModel
    from ab_assets.training.portions import Portion
    from ab_assets.training.recipe import Recipe
    from ab_assets.training.snapshots import Snapshot, Snapshots
    from ab_assets.training.trunk import FrozenTrunk
    from ab_assets.training.updates import UpdaterOf

SECONDS_BETWEEN_SNAPSHOTS = 120.0
"""How much work an unfinished fit loses when it is killed, and the validation that was under way."""


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
    model: TunedModel,
    data: FitData,
    trunk: FrozenTrunk,
    recipe: Recipe,
    *,
    seed: int,
    progress: Progress,
    snapshots: Snapshots | None = None,
    budget: int | None = None,
) -> History:
    """Train `model` in place and leave it with the weights of its best epoch by validation loss.

    `seed` decides the order of batches and dropout. With `snapshots` a fit that was interrupted goes on where its
    newest whole snapshot was, and ends with the same bytes. `budget`: tokens of one pass, by default what suits the
    device. Raises FitFailedError when a loss is not finite, InterruptedFitError after SIGTERM, when the state is safe.
    """
    run = Run(model, data, trunk, recipe, seed=seed, progress=progress, snapshots=snapshots, budget=budget)
    return run.finish()


class Run:
    """One fit, or one rank's part of it, and all that it must remember between two updates.

    Ranks come with equal models and the same arguments, but each with its own snapshots. `module`: what an update
    runs, where that is more than `model`. `best` are the weights of the best epoch, on rank 0.
    """

    def __init__(
        self,
        model: TunedModel,
        data: FitData,
        trunk: FrozenTrunk,
        recipe: Recipe,
        *,
        seed: int,
        progress: Progress,
        snapshots: Snapshots | None = None,
        budget: int | None = None,
        updater_of: UpdaterOf = single_updater,
        module: nn.Module | None = None,
    ) -> None:
        self.model, self.data, self.trunk, self.recipe, self.seed = model, data, trunk, recipe, seed
        self.progress, self.snapshots = progress, snapshots
        self.class_weights = class_weights(data, recipe)
        self.lengths = [sum(map(residue_count, example.texts)) for example in data.train]
        self.steps_per_epoch = math.ceil(len(data.train) / recipe.batch_size)
        _start_at_prevalence(model, data, self.class_weights)
        rule = UpdateRule.of(recipe, updates=recipe.epochs * self.steps_per_epoch)
        self.updater = updater_of(model if module is None else module, model.trainable_weights(), rule)
        self.budget = token_budget(trunk.encoder) if budget is None else budget
        self.step = 0
        self.losses = LabelMean()
        self.epochs: list[Epoch] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch = 0
        self.saved = time.monotonic()

    def finish(self) -> History:
        """Run to the end, or to where SIGTERM asks to stop."""
        with torch.random.fork_rng(devices=_cuda_devices(self.trunk)), Interruption() as interruption:
            torch.manual_seed(rank_seed(self.seed, self.updater.rank))
            self._resume()
            self.saved = time.monotonic()
            while not self._done():
                self._epoch_from(self.step - len(self.epochs) * self.steps_per_epoch, interruption)
                self._keep_epoch()
                (late,) = self.updater.summed(self._late())
                if late:
                    self._save()
        self.updater.load(self.best)
        stopped = "early" if len(self.epochs) < self.recipe.epochs else "epochs"
        return History(tuple(self.epochs), self.best_epoch, stopped)

    def _done(self) -> bool:
        passed = len(self.epochs)
        return passed == self.recipe.epochs or (passed > 0 and passed - 1 - self.best_epoch >= self.recipe.patience)

    def _late(self) -> bool:
        return time.monotonic() - self.saved > SECONDS_BETWEEN_SNAPSHOTS

    def _epoch_from(self, start: int, interruption: Interruption) -> None:
        epoch = len(self.epochs)
        batches = training_batches(self.lengths, self.recipe.batch_size, seed=self.seed, epoch=epoch)
        self.updater.train(mode=True)
        for number in range(start, len(batches)):
            self._update([self.data.train[i] for i in batches[number]])
            self.progress(f"epoch {epoch + 1} of {self.recipe.epochs}", number + 1, len(batches))
            # ranks hear and look at different moments
            stop, late = self.updater.summed(interruption.requested, self._late())
            if stop:
                self._save()
                kept = f"all is kept up to step {self.step}" if self.snapshots else "nothing is kept"
                self.progress(f"asked to stop: {kept}", 1, 1)
                raise InterruptedFitError(
                    what=f"the fit was asked to stop after step {self.step}",
                    hint="Run it again: it goes on from there." if self.snapshots else "",
                )
            if number + 1 < len(batches) and late:
                self._save()

    def _update(self, examples: list[Example]) -> None:
        """Change the weights once; where memory does not suffice, in as many smaller parts as it takes."""
        while True:
            state = torch.get_rng_state(), [torch.cuda.get_rng_state(d) for d in _cuda_devices(self.trunk)]
            try:
                total = self._gradients(examples)
                break
            except torch.OutOfMemoryError:
                longest = max(self.trunk.length(example.texts) for example in examples)
                if self.updater.world > 1 or self.budget <= longest:  # other ranks would wait for this pass
                    raise
            self.budget = max(longest, min(self.budget, longest * len(examples)) // 2)
            for weight in self.model.trainable_weights().values():
                weight.grad = None
            torch.set_rng_state(state[0])
            for device, one in zip(_cuda_devices(self.trunk), state[1], strict=True):
                torch.cuda.set_rng_state(one, device)
            torch.cuda.empty_cache()
            self.progress(f"out of memory: {self.budget} tokens at a time from now on, updates stay the same", 1, 1)
        norm = self.updater.step()
        require_finite(norm.item(), examples, step=self.step + 1, what="the norm of the gradient")
        self.step += 1
        self.losses.add(*total)

    def _gradients(self, examples: list[Example]) -> tuple[float, int]:
        """Add up the gradients of the mean loss over all labels; return the loss and the number of labels."""
        labels = max(1, sum(self._seen_labels(example) for example in examples))  # none where all are truncated
        total = 0.0
        mine = self._mine(examples)
        for number, portion in enumerate(mine, start=1):
            part = [examples[i] for i in portion.indices]
            loss = summed_loss(self.model, part, self.trunk, self.class_weights, self.updater.forward)[0] / labels
            loss = loss if portion.counts else loss * 0
            if self.updater.world == 1:  # ranks look at what they have together, so that all stop or none
                require_finite(loss.item(), part, step=self.step + 1)
            self.updater.backward(loss, last=number == len(mine))
            total += loss.item()
        (total,) = self.updater.summed(total)
        require_finite(total, examples, step=self.step + 1)
        return total, labels

    def _mine(self, examples: Sequence[Example]) -> list[Portion]:
        lengths = [self.trunk.length(example.texts) for example in examples]
        return portions(lengths, world=self.updater.world, token_budget=self.budget)[self.updater.rank]

    def _seen_labels(self, example: Example) -> int:
        assert example.labels is not None  # noqa: S101 - FitData has labelled examples only
        return int((seen_labels(example, self.model, self.trunk) != UNKNOWN_LABEL).sum())

    def _keep_epoch(self) -> None:
        """Validate, remember the weights if they are the best so far, and begin a new epoch."""
        validation = self._validation_loss()
        self.epochs.append(Epoch(len(self.epochs), self.losses.value, validation))
        self.losses = LabelMean()
        if len(self.epochs) == 1 or validation < self.epochs[self.best_epoch].validation_loss:
            self.best_epoch = len(self.epochs) - 1
            self.best = self.updater.weights()

    def _validation_loss(self) -> float:
        examples = self.data.validation
        if self.updater.world == 1:
            return validation_loss(self.model, examples, self.trunk, self.class_weights, self.progress)
        self.updater.train(mode=False)
        mine = [0.0, 0.0]
        with torch.no_grad():
            for portion in self._mine(examples):
                part = [examples[i] for i in portion.indices]
                loss, size = summed_loss(self.model, part, self.trunk, self.class_weights, self.updater.forward)
                if portion.counts:
                    mine = [mine[0] + loss.item(), mine[1] + size]
        total, labels = self.updater.summed(*mine)
        require_finite(total, examples, step=None)
        return total / labels

    def _save(self) -> None:
        if self.snapshots is None:
            return
        tensors = {f"updater.{name}": tensor for name, tensor in self.updater.state().items()}
        tensors |= {f"best.{name}": weight for name, weight in self.best.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        for number, device in enumerate(_cuda_devices(self.trunk)):
            tensors[f"random.cuda.{number}"] = torch.cuda.get_rng_state(device)
        state: dict[str, Any] = {
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "best_epoch": self.best_epoch,
            "losses": self.losses.state(),
            "device": self.trunk.encoder.device.type,
            "budget": self.budget,
        }
        self.snapshots.save(self.step, tensors, state)
        self.saved = time.monotonic()

    def _resume(self) -> None:
        snapshot = self._newest_of_all()
        if snapshot is None:
            return
        self.step = snapshot.step
        tensors, state = snapshot.tensors, snapshot.state
        self.updater.restore(_below("updater.", tensors))
        self.best = _below("best.", tensors)
        if state["device"] == self.trunk.encoder.device.type:  # on another, dropout and memory are its own
            torch.set_rng_state(tensors["random.cpu"])
            for number, device in enumerate(_cuda_devices(self.trunk)):
                torch.cuda.set_rng_state(tensors[f"random.cuda.{number}"], device)
            self.budget = state["budget"]
        self.epochs = [Epoch(**epoch) for epoch in state["epochs"]]
        self.best_epoch = state["best_epoch"]
        self.losses = LabelMean(*state["losses"])
        self.progress(f"resumed after step {self.step}", 1, 1)

    def _newest_of_all(self) -> Snapshot | None:
        """Return this rank's part of the newest snapshot that is whole on every rank, None if there is none."""
        if self.snapshots is None:
            return None
        rank, world = self.updater.rank, self.updater.world
        mine = self.snapshots.newest()
        step = -1 if mine is None else mine.step
        steps = self.updater.summed(*(step if other == rank else 0 for other in range(world)))
        if step > min(steps) >= 0:
            mine = self.snapshots.newest(step=int(min(steps)))
        (found,) = self.updater.summed(mine is not None)
        return mine if found == world else None


def _start_at_prevalence(model: TunedModel, data: FitData, weights: tuple[float, float]) -> None:
    """Give the head the bias that says the share of positive labels (Lin et al. 2017, section 4.1).

    From a bias of 0 the first steps would only lower every logit, and those of conserved residues the fastest: that
    alone ranks variable residues above them, whatever the labels say.
    """
    positives, total = count_labels(data.train)
    odds = (weights[1] * positives) / (weights[0] * (total - positives))
    nn.init.constant_(model.head.out.bias, math.log(odds))


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _cuda_devices(trunk: FrozenTrunk) -> list[torch.device]:
    device = trunk.encoder.device
    return [device] if device.type == "cuda" else []
