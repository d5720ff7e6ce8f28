"""From a model's last states to one logit per antibody or per residue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ab_assets.benchmarks.schema import Task
    from ab_assets.models.encoders import LayerStack
    from ab_assets.training.recipe import Recipe
    from ab_assets.training.trunk import ChainStates

_INITIAL_DEVIATION = 0.02  # as the linear layers of BERT, Devlin et al. 2019


class TunedModel(nn.Module):
    """The trainable layers of a model under a new linear head.

    For antigen specificity each chain is pooled on its own and the pooled states are concatenated in chain order; for
    paratopes every residue has its own logit.
    """

    def __init__(self, stack: LayerStack, *, width: int, chains: int, task: Task, recipe: Recipe) -> None:
        super().__init__()
        self.stack = stack
        self.per_residue = task == "paratope"
        self.pooling = recipe.pooling
        self.dropout = nn.Dropout(recipe.dropout)
        self.head = nn.Linear(width * (1 if self.per_residue else chains), 1)
        nn.init.normal_(self.head.weight, std=_INITIAL_DEVIATION)
        nn.init.zeros_(self.head.bias)

    def forward(self, chains: Sequence[ChainStates]) -> Tensor:
        """Return logits: (antibody,), or for paratopes (seen residue,) over the one chain of each example in order."""
        if self.per_residue:
            (states,) = chains
            features = self.stack(states.hidden, states.mask)[states.residues]
        else:
            features = torch.cat([self._pooled(states) for states in chains], dim=1)
        logits: Tensor = self.head(self.dropout(features)).squeeze(-1)
        return logits.float()

    def trainable_weights(self) -> dict[str, nn.Parameter]:
        """Return what a fit learns by name: the layers as in the whole model, the head under `head.`."""
        layers = {name: weight for name, weight in self.stack.named_weights().items() if weight.requires_grad}
        return layers | {f"head.{name}": weight for name, weight in self.head.named_parameters()}

    def _pooled(self, states: ChainStates) -> Tensor:
        hidden = self.stack(states.hidden, states.mask)
        return hidden[:, 0] if self.pooling == "cls" else mean_over_residues(hidden, states.residues)


def mean_over_residues(hidden: Tensor, residues: Tensor) -> Tensor:
    """Return the mean state of each chain's residues: (chain, token, feature), (chain, token) -> (chain, feature)."""
    weight = residues.to(hidden.dtype).unsqueeze(-1)
    return (hidden * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
