"""One process's optimiser: AdamW under a rate that rises, then falls linearly to zero, with clipped gradients."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from ab_assets.training.heads import TunedModel
    from ab_assets.training.recipe import Recipe


class Updates:
    """Turns summed gradients into better weights, one update after another; `steps` of them in a whole fit."""

    def __init__(self, model: TunedModel, recipe: Recipe, *, steps: int) -> None:
        self.weights = model.trainable_weights()
        self.optimizer = optimizer_for(self.weights, recipe)
        self._recipe = recipe
        self._steps = steps

    def clear(self) -> None:
        """Forget all gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a part of the update's loss."""
        torch.autograd.backward(loss)

    def gradient_norm(self) -> Tensor:
        """Return the norm of all gradients, after which they are clipped to the recipe's."""
        norm: Tensor = nn.utils.clip_grad_norm_(self.weights.values(), self._recipe.max_gradient_norm)
        return norm

    def step(self, number: int) -> None:
        """Change the weights by update `number` (from 0)."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._recipe.learning_rate * rate(number, self._steps, self._recipe.warmup_fraction)
        self.optimizer.step()


def optimizer_for(weights: dict[str, nn.Parameter], recipe: Recipe) -> torch.optim.AdamW:
    """Return AdamW over `weights`; biases and norms are not decayed (Devlin et al. 2019)."""
    decayed = {"params": [w for w in weights.values() if w.ndim > 1], "weight_decay": recipe.weight_decay}
    others = {"params": [w for w in weights.values() if w.ndim <= 1], "weight_decay": 0.0}
    return torch.optim.AdamW([decayed, others], lr=recipe.learning_rate, fused=True)


def rate(step: int, steps: int, warmup_fraction: float) -> float:
    """Return the share of the full learning rate at update `step` (from 0) of `steps`."""
    warmup = math.ceil(steps * warmup_fraction)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return max(0.0, (steps - step) / max(1, steps - warmup))
