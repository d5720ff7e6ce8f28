"""One update of a model's weights after another, by whoever makes them: a loop needs to know no more than an Updater.

What is here makes them in one process; `sharding.py` makes the same ones in several.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ab_assets.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class UpdateRule:
    """What AdamW does with a gradient.

    `rate`: by number of updates made before, the factor on `learning_rate`, as LambdaLR takes it.
    """

    learning_rate: float
    weight_decay: float
    max_gradient_norm: float
    rate: Callable[[int], float]

    @classmethod
    def of(cls, recipe: Recipe, *, updates: int) -> UpdateRule:
        """Return the recipe's rule for a fit of so many updates."""
        return cls(
            recipe.learning_rate,
            recipe.weight_decay,
            recipe.max_gradient_norm,
            lambda number: rate(number, updates, recipe.warmup_fraction),
        )


@dataclass(frozen=True, slots=True)
class HeldBytes:
    """Bytes of the tensors that one rank holds between two updates."""

    parameters: int
    optimizer: int


class Updater(Protocol):
    """What a training loop needs beside its model and its examples; every method is called by all ranks together."""

    rank: int
    world: int

    def forward(self, *inputs: Any, **options: Any) -> Tensor:  # noqa: ANN401 - whatever the model takes
        """Return what the model makes of this rank's inputs."""

    def train(self, mode: bool) -> None:  # noqa: FBT001 - as nn.Module
        """Switch dropout on or off."""

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add the gradients of this rank's part of the loss; `last`: no other pass follows before `step`.

        The parts of all passes of all ranks add up to the loss of the update: each is a sum over labels divided by the
        labels of the whole update, wherever they are.
        """

    def step(self) -> Tensor:
        """Clip, update, forget the gradients; return their norm over all weights before clipping, inf if invalid.

        No weight is changed by gradients that are not finite.
        """

    def summed(self, *values: float) -> tuple[float, ...]:
        """Return the sums of these numbers over all ranks."""

    def weights(self) -> dict[str, Tensor]:
        """Return copies of what learns, by name and whole, on the CPU; nothing on ranks other than 0."""

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take over what rank 0's `weights` says; the other ranks' is not looked at."""

    def state(self) -> dict[str, Tensor]:
        """Return copies of this rank's share of weights, moments and update count, on the CPU."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned on this rank of as many."""

    def held_bytes(self) -> HeldBytes:
        """Measure what this rank holds now."""


UpdaterOf: TypeAlias = "Callable[[nn.Module, Mapping[str, nn.Parameter], UpdateRule], Updater]"


def single_updater(module: nn.Module, learned: Mapping[str, nn.Parameter], rule: UpdateRule) -> Updater:
    """Return the updater of a process that trains alone; `learned` are the parameters of `module` that learn."""
    return SingleUpdater(module, learned, rule)


def adamw(learned: Mapping[str, nn.Parameter], rule: UpdateRule) -> torch.optim.AdamW:
    """Return AdamW over what learns; call it while weights have their shapes, which decide what is decayed."""
    weights = list(learned.values())
    # biases and norms are not decayed (Devlin et al. 2019)
    parts = [([w for w in weights if w.ndim > 1], rule.weight_decay), ([w for w in weights if w.ndim <= 1], 0.0)]
    groups = [{"params": params, "weight_decay": decay} for params, decay in parts if params]
    return torch.optim.AdamW(groups, lr=rule.learning_rate, fused=True)


def rate(update: int, updates: int, warmup_fraction: float) -> float:
    """Return the share of the full learning rate at an update (from 0) of `updates`: it rises, then falls to zero."""
    warmup = math.ceil(updates * warmup_fraction)
    if update < warmup:
        return (update + 1) / (warmup + 1)
    return max(0.0, (updates - update) / max(1, updates - warmup))


def rank_seed(seed: int, rank: int) -> int:
    """Return the seed of a rank's dropout: rank 0 draws as a single process does, the others differently."""
    return (rank << 32) + seed


def set_rate(optimizer: torch.optim.Optimizer, rule: UpdateRule, updates: int) -> None:
    """Give the optimiser the learning rate of the update that follows `updates` others."""
    for group in optimizer.param_groups:
        group["lr"] = rule.learning_rate * rule.rate(updates)


def state_copies(
    state: Mapping[Any, Mapping[str, Tensor]], shares: Mapping[str, Tensor], updates: int
) -> dict[str, Tensor]:
    """Return copies of shares and moments by `name:what`, and the count of updates; on the CPU."""
    tensors = {"updates": torch.tensor(updates)}
    for name, share in shares.items():
        tensors[f"{name}:weight"] = share.detach().cpu().clone()
        for key, moment in state.get(share, {}).items():
            tensors[f"{name}:{key}"] = moment.detach().cpu().clone()
    return tensors


def take_over(optimizer: torch.optim.Optimizer, shares: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> int:
    """Fill shares and moments from what `state_copies` returned; return its count of updates."""
    with torch.no_grad():
        for name, share in shares.items():
            share.copy_(state[f"{name}:weight"])
            found = {key.removeprefix(f"{name}:"): t for key, t in state.items() if key.startswith(f"{name}:")}
            del found["weight"]
            moments = {key: t.clone().to(share.device) for key, t in found.items()}
            if moments:
                optimizer.state[share] = moments
            else:
                optimizer.state.pop(share, None)
    return int(state["updates"])


def _storages(tensors: Sequence[Tensor]) -> dict[int, int]:
    """Return bytes by address of the memory behind the tensors, shared memory once."""
    storages = [tensor.untyped_storage() for tensor in tensors]
    return {storage.data_ptr(): storage.nbytes() for storage in storages if storage.nbytes()}


def measured(parameters: Sequence[Tensor], optimizer: Sequence[Tensor]) -> HeldBytes:
    """Return the bytes of the memory behind the tensors; what both lists hold counts as parameters."""
    weights = _storages(parameters)
    rest = {address: size for address, size in _storages(optimizer).items() if address not in weights}
    return HeldBytes(parameters=sum(weights.values()), optimizer=sum(rest.values()))


class SingleUpdater:
    """All weights and their optimiser in this process."""

    rank = 0
    world = 1

    def __init__(self, module: nn.Module, learned: Mapping[str, nn.Parameter], rule: UpdateRule) -> None:
        self._module = module
        self._learned = dict(learned)
        self._rule = rule
        self._optimizer = adamw(learned, rule)
        self._updates = 0

    def forward(self, *inputs: Any, **options: Any) -> Tensor:  # noqa: ANN401
        """Run the module."""
        output: Tensor = self._module(*inputs, **options)
        return output

    def train(self, mode: bool) -> None:  # noqa: FBT001
        """Switch dropout on or off."""
        self._module.train(mode)

    def backward(self, loss: Tensor, *, last: bool) -> None:  # noqa: ARG002 - one process waits for nobody
        """Add gradients."""
        torch.autograd.backward(loss)

    def step(self) -> Tensor:
        """Clip, update, forget the gradients."""
        norm = nn.utils.clip_grad_norm_(self._learned.values(), self._rule.max_gradient_norm)
        if torch.isfinite(norm):
            set_rate(self._optimizer, self._rule, self._updates)
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._updates += 1
        return norm

    def summed(self, *values: float) -> tuple[float, ...]:
        """Return the numbers: there is no other rank."""
        return values

    def weights(self) -> dict[str, Tensor]:
        """Return copies of what learns."""
        return {name: weight.detach().cpu().clone() for name, weight in self._learned.items()}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take these weights over."""
        with torch.no_grad():
            for name, weight in self._learned.items():
                weight.copy_(weights[name])

    def state(self) -> dict[str, Tensor]:
        """Return copies of weights, moments and update count."""
        return state_copies(self._optimizer.state, self._learned, self._updates)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        self._updates = take_over(self._optimizer, self._learned, state)

    def held_bytes(self) -> HeldBytes:
        """Measure what this process holds."""
        moments = [t for state in self._optimizer.state.values() for t in state.values()]
        return measured([p.data for p in self._module.parameters()], moments)
