"""A model as ranks fit it: all layers that run in a pass in one module, and the loss of some examples under it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ab_assets.errors import FitFailedError
from ab_assets.models.loading import load_encoder
from ab_assets.models.tokenization import FIRST_RESIDUE, SPECIAL_TOKENS
from ab_assets.training.heads import TunedModel
from ab_assets.training.loop import _class_weights, _start_at_prevalence
from ab_assets.training.portions import portions
from ab_assets.training.trunk import ChainStates

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from ab_assets.models.encoders import Encoder
    from ab_assets.models.specification import ModelSpec
    from ab_assets.training.data import Example, FitData
    from ab_assets.training.recipe import Recipe
    from ab_assets.training.updates import Updater

_SHOWN_ROWS = 5


@dataclass(frozen=True, slots=True)
class ChainTokens:
    """A batch of chains on a device before any layer; ids: (chain, token), the rest as in ChainStates."""

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

    def forward(self, chains: Sequence[ChainTokens] | Sequence[ChainStates], *, frozen_only: bool = False) -> Tensor:
        """Return the tuned model's logits; `frozen_only`: of one batch of tokens the states (chain, token, feature).

        Chains may come as states that frozen layers gave before.
        """
        states = [self._after_frozen(chain) if isinstance(chain, ChainTokens) else chain for chain in chains]
        if frozen_only:
            return states[0].hidden
        logits: Tensor = self.tuned(states)
        return logits

    def train(self, mode: bool = True) -> WholeModel:  # noqa: FBT001, FBT002 - as nn.Module
        """Switch dropout of what learns on or off."""
        super().train(mode)
        self.embeddings.eval()
        self.frozen.eval()
        return self

    def _after_frozen(self, chain: ChainTokens) -> ChainStates:
        with torch.no_grad():
            hidden: Tensor = self.frozen(self._embed(chain.ids, chain.mask), chain.mask)
        return ChainStates(hidden.float(), chain.mask, chain.residues, chain.seen)


class FitModel:
    """The model of one fit, the module that an updater runs, and the loss of examples under it.

    `load_on`: where the weights are when this returns; `device`: where examples go. `passes` counts the chains that
    this process ran through the frozen layers to keep their states.
    """

    def __init__(
        self,
        spec: ModelSpec,
        recipe: Recipe,
        data: FitData,
        *,
        seed: int,
        load_on: torch.device,
        device: torch.device,
    ) -> None:
        encoder = load_encoder(spec, device=str(load_on))
        split = encoder.layer_count - recipe.learning_layers(encoder.layer_count)
        # the only copy there is learns: this process does nothing else with the model
        stack = encoder.stack(split, encoder.layer_count).requires_grad_(requires_grad=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            chains = len(data.chain_names)
            tuned = TunedModel(stack, width=encoder.width, chains=chains, task=data.task, recipe=recipe)
        self.tuned = tuned.to(load_on)
        self.module = WholeModel(encoder, self.tuned, split)
        self._class_weights = _class_weights(data, recipe)
        _start_at_prevalence(self.tuned, data, self._class_weights)
        self._encoder = encoder
        self._device = device
        self._states: dict[str, Tensor] = {}
        self.passes = 0
        self._autocast = device.type == "cuda" and encoder.precision == "bf16"

    def labels(self, example: Example) -> int:
        """Return over how many labels the loss of an example is a sum."""
        return self._seen(example.sequences[0]) if self.tuned.per_residue else 1

    def tokens(self, example: Example) -> int:
        """Return the tokens of an example's longest chain."""
        return max(map(self._length, example.sequences))

    def keep_states(self, sequences: Sequence[str], updater: Updater, token_budget: int) -> None:
        """Run each chain through the frozen layers once, a share on each rank, and keep the states on every rank."""
        lengths = [self._length(sequence) for sequence in sequences]
        updater.train(mode=False)
        for portions_now in zip(*portions(lengths, world=updater.world, token_budget=token_budget), strict=True):
            self.passes += len(portions_now[updater.rank].indices) * portions_now[updater.rank].counts
            chosen = [[sequences[i] for i in portion.indices] for portion in portions_now]
            mine = self._tokens(chosen[updater.rank])
            with torch.no_grad(), self._autocasting():
                states = updater.forward([mine], frozen_only=True)
            rows = [sum(map(self._length, chains)) for chains in chosen]
            for chains, whole in zip(chosen, updater.gathered(states[mine.mask], rows), strict=True):
                parts = torch.split(whole.cpu(), [self._length(chain) for chain in chains])
                self._states |= {chain: part.clone() for chain, part in zip(chains, parts, strict=True)}

    def loss(self, forward: Callable[..., Tensor], examples: Sequence[Example]) -> Tensor:
        """Return the sum of the losses of all labels of the examples, as `forward` runs `module`."""
        chains = [self._chain(list(chain)) for chain in zip(*(e.sequences for e in examples), strict=True)]
        labels = [torch.from_numpy(e.labels)[: self.labels(e)] for e in examples if e.labels is not None]
        target = torch.cat(labels).to(self._device)
        with self._autocasting():
            logits = forward(chains)
        weight = torch.where(target, self._class_weights[1], self._class_weights[0])
        return nn.functional.binary_cross_entropy_with_logits(logits, target.float(), weight=weight, reduction="sum")

    def _seen(self, sequence: str) -> int:
        return min(len(sequence), self._encoder.max_length)

    def _length(self, sequence: str) -> int:
        return self._seen(sequence) + SPECIAL_TOKENS

    def _autocasting(self) -> AbstractContextManager[object]:
        return torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._autocast)

    def _chain(self, sequences: list[str]) -> ChainTokens | ChainStates:
        tokens = self._tokens(sequences)
        if not self._states:
            return tokens
        hidden = nn.utils.rnn.pad_sequence([self._states[s] for s in sequences], batch_first=True)
        return ChainStates(hidden.to(self._device), tokens.mask, tokens.residues, tokens.seen)

    def _tokens(self, sequences: list[str]) -> ChainTokens:
        encoder = self._encoder
        encoded = [torch.tensor(encoder.tokenizer.encode(s, encoder.max_length).ids) for s in sequences]
        ids = nn.utils.rnn.pad_sequence(encoded, batch_first=True, padding_value=encoder.tokenizer.pad)
        lengths = torch.tensor([len(one) for one in encoded])[:, None]
        position = torch.arange(ids.shape[1])
        residues = (position >= FIRST_RESIDUE) & (position < lengths - SPECIAL_TOKENS + FIRST_RESIDUE)
        mask = position < lengths
        seen = tuple(len(one) - SPECIAL_TOKENS for one in encoded)
        return ChainTokens(ids.to(self._device), mask.to(self._device), residues.to(self._device), seen)


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
