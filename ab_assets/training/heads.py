"""From a model's last states to one logit per antibody or per residue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ab_assets.models.encoders import WholeStack
from ab_assets.training.adapters import adapt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ab_assets.benchmarks.schema import Task
    from ab_assets.models.encoders import Encoder, LayerStack
    from ab_assets.training.recipe import Recipe
    from ab_assets.training.trunk import TextStates

_INITIAL_DEVIATION = 0.02  # as the linear layers of BERT, Devlin et al. 2019


class TunedModel(nn.Module):
    """The layers of a model that learn under a new head.

    For antigen specificity each chain is pooled on its own and the pooled states are concatenated, by text, then
    chain; for paratopes every residue has its own logit. `pooled`: how many states an antibody is pooled to.
    """

    def __init__(self, stack: LayerStack, *, width: int, pooled: int, task: Task, recipe: Recipe) -> None:
        super().__init__()
        self.stack = stack
        self.per_residue = task == "paratope"
        self.pooling = recipe.pooling
        self.embeds = recipe.learns_from_tokens
        self.head = Head(width * (1 if self.per_residue else pooled), kind=recipe.head, dropout=recipe.dropout)

    def forward(self, texts: Sequence[TextStates]) -> Tensor:
        """Return logits: (antibody,), or for paratopes (seen residue,) over the one text of each example in order."""
        if self.per_residue:
            (states,) = texts
            features = self._states(states).flatten(0, 1)[states.residue_index()]
        else:
            features = torch.cat([pooled for states in texts for pooled in self._pooled(states)], dim=1)
        logits: Tensor = self.head(features).squeeze(-1)
        return logits.float()

    def trainable_weights(self) -> dict[str, nn.Parameter]:
        """Return what a fit learns by name: the layers as in the whole model, the head under `head.`."""
        layers = {name: weight for name, weight in self.stack.named_weights().items() if weight.requires_grad}
        return layers | {f"head.{name}": weight for name, weight in self.head.named_parameters()}

    def _states(self, states: TextStates, *, first_only: bool = False) -> Tensor:
        below = states.hidden
        if below is None:
            assert isinstance(self.stack, WholeStack)  # noqa: S101 - only a model that embeds gets no states
            below = self.stack.embed(states.ids, states.mask)
        above: Tensor = self.stack(below, states.mask, first_only=first_only)
        return above

    def _pooled(self, states: TextStates) -> list[Tensor]:
        if self.pooling == "cls":
            return [self._states(states, first_only=True)[:, 0]]
        hidden = self._states(states)
        return [mean_over_residues(hidden, states.residues(chain)) for chain in range(states.seen.shape[1])]


def tuned_model(
    encoder: Encoder, recipe: Recipe, task: Task, pooled: int, *, seed: int, copied: bool = True
) -> TunedModel:
    """Return what a fit starts from, its head and adapters drawn from `seed`; arguments as of TunedModel.

    `copied` False takes the encoder's own layers, for a process that does nothing else with them.
    """
    layers = encoder.layer_count
    learning = None
    if recipe.method != "full":
        learning = encoder.stack(layers - recipe.learning_layers(layers), layers).named_weights()
        learning = {} if recipe.method == "lora" else learning
    take = encoder.trainable_copy if copied else encoder.trainable_self
    stack = take(recipe.split_layer(layers), embeddings=recipe.learns_from_tokens, learning=learning)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if recipe.method == "lora":
            adapt(stack, recipe)
        model = TunedModel(stack, width=encoder.width, pooled=pooled, task=task, recipe=recipe)
    return model.to(encoder.device)


class Head(nn.Module):
    """Dropout and a linear layer, with `kind` "dense" a hidden layer with tanh before it."""

    def __init__(self, width: int, *, kind: str, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.dense = _linear(width, width) if kind == "dense" else None
        self.out = _linear(width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return (item, 1) logits from (item, feature) states."""
        if self.dense is not None:
            features = torch.tanh(self.dense(self.dropout(features)))
        logits: Tensor = self.out(self.dropout(features))
        return logits


def mean_over_residues(hidden: Tensor, residues: Tensor) -> Tensor:
    """Return the mean state of each text's residues: (text, token, feature), (text, token) -> (text, feature)."""
    weight = residues.to(hidden.dtype).unsqueeze(-1)
    return (hidden * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


def _linear(features: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(features, outputs)
    nn.init.normal_(layer.weight, std=_INITIAL_DEVIATION)
    nn.init.zeros_(layer.bias)
    return layer
