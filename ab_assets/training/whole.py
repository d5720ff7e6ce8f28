"""A model as ranks fit it: all layers that run in a pass in one module, and the loss of some examples under it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from ab_assets.errors import FitFailedError
from ab_assets.models.loading import load_encoder
from ab_assets.models.tokenization import FIRST_RESIDUE, SPECIAL_TOKENS
from ab_assets.training.heads import TunedModel
from ab_assets.training.loop import _class_weights, _start_at_prevalence
from ab_assets.training.trunk import ChainStates, FrozenTrunk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ab_assets.models.encoders import Encoder
    from ab_assets.models.specification import ModelSpec
    from ab_assets.training.data import Example, FitData
    from ab_assets.training.recipe import Recipe

_SHOWN_ROWS = 5


@dataclass(frozen=True, slots=True)
class ChainTokens:
    """A batch of chains on a device; ids: (chain, token), the rest as in ChainStates."""

    ids: Tensor
    mask: Tensor
    residues: Tensor
    seen: tuple[int, ...]


class WholeModel(nn.Module):
    """Embeddings and frozen layers, in evaluation mode and without gradients, under the layers that learn."""

    def __init__(self, encoder: Encoder, tuned: TunedModel, split: int) -> None:
        super().__init__()
        self.embeddings = encoder.model.embeddings
        self.frozen = encoder.stack(0, split)
        self.tuned = tuned
        self._embed = encoder.embed

    def forward(self, chains: Sequence[ChainTokens]) -> Tensor:
        """Return the tuned model's logits."""
        states = [ChainStates(self._frozen_states(c), c.mask, c.residues, c.seen) for c in chains]
        logits: Tensor = self.tuned(states)
        return logits

    def train(self, mode: bool = True) -> WholeModel:  # noqa: FBT001, FBT002 - as nn.Module
        """Switch dropout of what learns on or off."""
        super().train(mode)
        self.embeddings.eval()
        self.frozen.eval()
        return self

    def _frozen_states(self, chain: ChainTokens) -> Tensor:
        with torch.no_grad():
            states: Tensor = self.frozen(self._embed(chain.ids, chain.mask), chain.mask)
        return states


class FitModel:
    """The model of one fit, the module that an updater runs, and the loss of examples under it.

    `frozen`: "kept" runs the layers that do not learn once per chain; "rerun" makes them part of `module`. `load_on`:
    where the weights are when this returns; `device`: where examples go.
    """

    def __init__(
        self,
        spec: ModelSpec,
        recipe: Recipe,
        data: FitData,
        *,
        seed: int,
        frozen: Literal["kept", "rerun"],
        load_on: torch.device,
        device: torch.device,
    ) -> None:
        encoder = load_encoder(spec, device=str(device if frozen == "kept" else load_on))
        split = encoder.layer_count - recipe.learning_layers(encoder.layer_count)
        if frozen == "kept":
            stack = encoder.trainable_copy(split)
        else:
            stack = encoder.stack(split, encoder.layer_count).requires_grad_(requires_grad=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            chains = len(data.chain_names)
            tuned = TunedModel(stack, width=encoder.width, chains=chains, task=data.task, recipe=recipe)
        self.tuned = tuned.to(load_on)
        self._class_weights = _class_weights(data, recipe)
        _start_at_prevalence(self.tuned, data, self._class_weights)
        self._encoder = encoder
        self._device = device
        self._trunk: FrozenTrunk | None = None
        self.module: nn.Module = self.tuned
        if frozen == "kept":
            self._trunk = FrozenTrunk(encoder, split)
            self._trunk.ensure(data.sequences())
        else:
            self.module = WholeModel(encoder, self.tuned, split)
        self._autocast = device.type == "cuda" and encoder.precision == "bf16"

    def labels(self, example: Example) -> int:
        """Return over how many labels the loss of an example is a sum."""
        if not self.tuned.per_residue:
            return 1
        return min(len(example.sequences[0]), self._encoder.max_length)

    def tokens(self, example: Example) -> int:
        """Return the tokens of an example's longest chain."""
        return max(min(len(s), self._encoder.max_length) for s in example.sequences) + SPECIAL_TOKENS

    def loss(self, forward: Callable[..., Tensor], examples: Sequence[Example]) -> Tensor:
        """Return the sum of the losses of all labels of the examples, as `forward` runs `module`."""
        chains = [self._chain(list(chain)) for chain in zip(*(e.sequences for e in examples), strict=True)]
        labels = [torch.from_numpy(e.labels)[: self.labels(e)] for e in examples if e.labels is not None]
        target = torch.cat(labels).to(self._device)
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._autocast):
            logits = forward(chains)
        weight = torch.where(target, self._class_weights[1], self._class_weights[0])
        return nn.functional.binary_cross_entropy_with_logits(logits, target.float(), weight=weight, reduction="sum")

    def _chain(self, sequences: list[str]) -> ChainTokens | ChainStates:
        if self._trunk is not None:
            return self._trunk.batch(sequences)
        encoder = self._encoder
        encoded = [torch.tensor(encoder.tokenizer.encode(s, encoder.max_length).ids) for s in sequences]
        ids = nn.utils.rnn.pad_sequence(encoded, batch_first=True, padding_value=encoder.tokenizer.pad)
        lengths = torch.tensor([len(one) for one in encoded])[:, None]
        position = torch.arange(ids.shape[1])
        residues = (position >= FIRST_RESIDUE) & (position < lengths - SPECIAL_TOKENS + FIRST_RESIDUE)
        seen = tuple(len(one) - SPECIAL_TOKENS for one in encoded)
        return ChainTokens(ids.to(self._device), (position < lengths).to(self._device), residues.to(self._device), seen)


def require_finite(value: float, examples: Sequence[Example], *, where: str) -> None:
    """Raise FitFailedError, naming the examples, when a loss or a norm is no finite number."""
    if math.isfinite(value):
        return
    rows = [example.row_id for example in examples]
    more = f" and {len(rows) - _SHOWN_ROWS} more" if len(rows) > _SHOWN_ROWS else ""
    raise FitFailedError(
        what="the loss is not a finite number",
        where=where,
        found=f"{value} on rows {', '.join(rows[:_SHOWN_ROWS])}{more}",
        hint="Lower training.learning_rate, or look at these rows.",
    )
