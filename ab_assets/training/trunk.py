"""The frozen part of a model runs once per distinct chain; its states are kept for every fit, seed and control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ab_assets.models.tokenization import FIRST_RESIDUE, SPECIAL_TOKENS
from ab_assets.progress import Progress, silent
from ab_assets.training.batches import inference_batches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ab_assets.models.encoders import Encoder

# Padded tokens per forward pass: on a CPU about what stays in cache, on a GPU enough to fill it.
_TOKEN_BUDGET = {"cpu": 4096, "cuda": 65536}

# What the last states of chains may take in memory beside the states at the split.
_KEPT_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class ChainStates:
    """States of a batch of chains on the model's device.

    hidden: (chain, token, feature) float32; mask: (chain, token), True for a token of the chain, False for padding;
    residues: the same, True for residues only; seen: residues of each chain that the model saw.
    """

    hidden: Tensor
    mask: Tensor
    residues: Tensor
    seen: tuple[int, ...]


class FrozenTrunk:
    """Embeddings and the layers before `split`, in evaluation mode without dropout, with a memory of what they gave.

    `passes` counts the chains that went through.
    """

    def __init__(self, encoder: Encoder, split: int, *, progress: Progress = silent) -> None:
        self.encoder = encoder
        self.split = split
        self.passes = 0
        self._progress = progress
        self._states: dict[str, Tensor] = {}
        self._final: dict[str, Tensor] = {}
        self._final_bytes = 0

    def prepare(self, sequences: Iterable[str]) -> None:
        """Run these chains, all of them together and no others, unless that is what was run before.

        In its last bits a chain's states depend on the batch it was in: after this they follow from `sequences` alone.
        """
        wanted = set(sequences)
        if wanted != self._states.keys():
            self._states.clear()
            self._final.clear()
            self._final_bytes = 0
            self.ensure(wanted)

    def ensure(self, sequences: Iterable[str]) -> None:
        """Run the chains that were not run before, in batches of similar length."""
        missing = sorted({s for s in sequences if s not in self._states}, key=lambda s: (len(s), s))
        done = 0
        for batch in length_batches(missing, self.encoder):
            chosen = [missing[i] for i in batch]
            ids, mask = tokens(self.encoder, chosen)
            with torch.inference_mode(), self.encoder.autocast():
                hidden = self.encoder.embed(ids, mask)
                hidden = self.encoder.run_layers(hidden, mask, start=0, stop=self.split).float().cpu()
            for sequence, states, length in zip(chosen, hidden, mask.sum(dim=1).tolist(), strict=True):
                self._states[sequence] = states[:length].clone()
            done += len(chosen)
            self.passes += len(chosen)
            self._progress("frozen layers", done, len(missing))

    def batch(self, sequences: Sequence[str]) -> ChainStates:
        """Return the kept states of `sequences`, padded to the longest of them; runs what is missing."""
        self.ensure(sequences)
        states = [self._states[sequence] for sequence in sequences]
        lengths = torch.tensor([len(one) for one in states])
        hidden = torch.nn.utils.rnn.pad_sequence(states, batch_first=True)
        position = torch.arange(hidden.shape[1])
        mask = position < lengths[:, None]
        residues = (position >= FIRST_RESIDUE) & (position < (lengths - SPECIAL_TOKENS + FIRST_RESIDUE)[:, None])
        device = self.encoder.device
        seen = tuple(len(one) - SPECIAL_TOKENS for one in states)
        return ChainStates(hidden.to(device), mask.to(device), residues.to(device), seen)

    def final_states(self, sequences: Sequence[str], *, keep: bool = False) -> Iterator[tuple[str, Tensor]]:
        """Yield each chain and its residues' states after the pre-trained model's last layer: (residue, feature).

        `keep`: remember them for the next call, as long as they take less than a gibibyte.
        """
        encoder = self.encoder
        yield from ((sequence, self._final[sequence]) for sequence in sequences if sequence in self._final)
        missing = [sequence for sequence in sequences if sequence not in self._final]
        for batch in length_batches(missing, encoder):
            chosen = [missing[i] for i in batch]
            states = self.batch(chosen)
            with torch.inference_mode(), encoder.autocast():
                last = encoder.run_layers(states.hidden, states.mask, start=self.split, stop=encoder.layer_count)
            for sequence, hidden, seen in zip(chosen, last.float().cpu(), states.seen, strict=True):
                residues = hidden[FIRST_RESIDUE : FIRST_RESIDUE + seen].clone()
                if keep and self._final_bytes + residues.nbytes <= _KEPT_BYTES:
                    self._final[sequence] = residues
                    self._final_bytes += residues.nbytes
                yield sequence, residues


def tokens(encoder: Encoder, sequences: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return token ids and mask of the chains, both (chain, token), padded to the longest, on the encoder's device."""
    encoded = [torch.tensor(encoder.tokenizer.encode(s, encoder.max_length).ids) for s in sequences]
    ids = torch.nn.utils.rnn.pad_sequence(encoded, batch_first=True, padding_value=encoder.tokenizer.pad)
    lengths = torch.tensor([len(one) for one in encoded])
    mask = torch.arange(ids.shape[1]) < lengths[:, None]
    return ids.to(encoder.device), mask.to(encoder.device)


def length_batches(sequences: Sequence[str], encoder: Encoder) -> list[list[int]]:
    """Return indices of `sequences` in batches that fit the device's token budget."""
    lengths = [min(len(s), encoder.max_length) + SPECIAL_TOKENS for s in sequences]
    return [batch.tolist() for batch in inference_batches(lengths, token_budget(encoder))]


def token_budget(encoder: Encoder) -> int:
    """Return how many tokens, padding included, one forward pass takes on the encoder's device."""
    return _TOKEN_BUDGET.get(encoder.device.type, _TOKEN_BUDGET["cpu"])
