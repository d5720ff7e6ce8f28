"""The frozen part of a model runs once per distinct text; its states are kept for every fit, seed, control and run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from ab_assets.errors import CorruptArtifactError
from ab_assets.progress import Progress, silent
from ab_assets.training.batches import inference_batches
from ab_assets.training.data import residue_count
from ab_assets.training.states import StateStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ab_assets.models.encoders import Encoder
    from ab_assets.models.tokenization import Text, TokenizedText
    from ab_assets.training.updates import Updater

# Padded tokens per forward pass: on a CPU about what stays in cache, on a GPU enough to fill it.
_TOKEN_BUDGET = {"cpu": 2048, "cuda": 65536}

# Texts that pass together are padded to the same multiple of this: what a text's states are, to the last bit, then
# follows from the text alone, whatever was in its batch.
_LENGTH_STEP = 8

_ENDS = 2  # the start and the end token, for which `max_length` leaves room

# What the states of a pass may take before they are kept on disk, and the last states of texts beside those.
_KEPT_BYTES = 1 << 28
_FINAL_BYTES = 1 << 30

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class TextStates:
    """A batch of texts on the model's device.

    ids: (text, token); mask: the same, True for a token of the text, False for padding.
    hidden: (text, token, feature) states before the layers that learn; None where these begin with the embeddings.
    starts, seen: (text, chain) int64 on the CPU: each chain's first residue among the tokens, and how many the model
    saw; 0 for a chain that a text does not have.
    """

    ids: Tensor
    mask: Tensor
    hidden: Tensor | None
    starts: Tensor
    seen: Tensor

    def residues(self, chain: int) -> Tensor:
        """Return (text, token), True for the residues of the texts' `chain`-th chain."""
        position = torch.arange(self.mask.shape[1])
        first, count = self.starts[:, chain, None], self.seen[:, chain, None]
        return ((position >= first) & (position < first + count)).to(self.mask.device)

    def residue_index(self) -> Tensor:
        """Return (seen residue,) into the flattened (text * token), by text, then chain, then residue."""
        width = self.mask.shape[1]
        spans = zip(self.starts.tolist(), self.seen.tolist(), strict=True)
        parts = [
            torch.arange(row * width + first, row * width + first + count)
            for row, (starts, counts) in enumerate(spans)
            for first, count in zip(starts, counts, strict=True)
        ]
        return torch.cat(parts).to(self.mask.device)


class FrozenTrunk:
    """Embeddings and the layers before `split`, in evaluation mode without dropout, with a memory of what they gave.

    `passes` counts the texts that went through frozen layers; with `split` 0 there are none to go through.
    """

    def __init__(
        self,
        encoder: Encoder,
        split: int,
        *,
        store: StateStore | None = None,
        progress: Progress = silent,
    ) -> None:
        self.encoder = encoder
        self.split = split
        self.passes = 0
        self._progress = progress
        self._store = StateStore() if store is None else store
        self._tokenized: dict[Text, TokenizedText] = {}
        self._final: dict[Text, Tensor] = {}
        self._final_bytes = 0

    def tokenized(self, text: Text) -> TokenizedText:
        """Return the tokens of `text` and where its chains are among them."""
        if text not in self._tokenized:
            self._tokenized[text] = self._encoded(text)
        return self._tokenized[text]

    def residue_limit(self, chains: int) -> int:
        """Return how many residues of a text of `chains` chains the model sees."""
        encoder = self.encoder
        if encoder.pairing.context == "joined":
            return encoder.max_length
        # a model of single chains has no room for what separates two
        bare = encoder.tokenizer.encode(("",) * chains, encoder.max_length, encoder.pairing)
        return encoder.max_length + _ENDS - len(bare.ids)

    def reading(self, chains: int) -> dict[str, Any]:
        """Return how a text of `chains` chains becomes token ids, and in what it is computed; JSON-able."""
        encoder = self.encoder
        return {
            "tokens": encoder.tokenizer.table(encoder.pairing if chains > 1 else None),
            "order": encoder.pairing.order,
            "max_length": self.residue_limit(chains),
            "layers": encoder.layer_count,
            "precision": encoder.precision,
        }

    def ensure(self, texts: Iterable[Text]) -> None:
        """Run the texts that were never run before, in batches of the same length."""
        if self.split == 0:
            return
        missing = sorted({t for t in texts if self._store.get(t) is None}, key=lambda t: (residue_count(t), t))
        fresh: dict[Text, Tensor] = {}
        kept = done = 0
        for batch, hidden in within_memory(
            missing, self._same_length_batches, self._pass, self.encoder, self._progress
        ):
            for text, states in zip(batch, hidden, strict=True):
                fresh[text] = states[: len(self.tokenized(text).ids)].clone()
                kept += fresh[text].nbytes
            if kept > _KEPT_BYTES:
                self._store.put(fresh)
                fresh, kept = {}, 0
            done += len(batch)
            self.passes += len(batch)
            self._progress("frozen layers", done, len(missing))
        self._store.put(fresh)

    def ensure_in_ranks(self, texts: Sequence[Text], updater: Updater) -> None:
        """As `ensure`, where all ranks come with the same texts and keep states in the same folder: each runs a share.

        The frozen layers run under the updater, as `SplitModel` does it, and all ranks run as many passes.
        """
        if self.split == 0:
            return
        known = updater.summed(*(self._store.get(text) is not None for text in texts))
        missing = [text for text, ranks in zip(texts, known, strict=True) if ranks < updater.world]
        batches = list(self._same_length_batches(missing, token_budget(self.encoder)))
        fresh: dict[Text, Tensor] = {}
        for start in range(0, len(batches), updater.world):
            turn = batches[start : start + updater.world]
            batch = turn[min(updater.rank, len(turn) - 1)]
            ids, mask = self._padded(batch, rounded=True)
            with torch.no_grad(), self.encoder.autocast():
                hidden = updater.forward(hidden=self.encoder.embed(ids, mask), mask=mask)
            self._progress("frozen layers", min(start + updater.world, len(batches)), len(batches))
            if updater.rank >= len(turn):
                continue  # only ran along: ranks may share the weights
            hidden = hidden.to("cpu", self._kept_dtype())
            for text, states in zip(batch, hidden, strict=True):
                fresh[text] = states[: len(self.tokenized(text).ids)].clone()
            self.passes += len(batch)
            if sum(states.nbytes for states in fresh.values()) > _KEPT_BYTES:
                self._store.put(fresh)
                fresh = {}
        self._store.put(fresh)
        updater.summed(0)  # all have kept theirs
        self._store.refresh()

    def batch(self, texts: Sequence[Text], *, embedded: bool = True) -> TextStates:
        """Return the kept states of `texts`, padded to the longest of them; runs what is missing.

        `embedded` False leaves the states out: the embeddings learn and belong to another.
        """
        self.ensure(texts)
        ids, mask = self._padded(texts)
        tokenized = [self.tokenized(text) for text in texts]
        chains = max(len(one.chains) for one in tokenized)
        starts, seen = (torch.zeros(len(texts), chains, dtype=torch.int64) for _ in range(2))
        for row, one in enumerate(tokenized):
            for column, chain in enumerate(one.chains):
                starts[row, column], seen[row, column] = chain.start, chain.seen
        hidden = self._hidden(texts, ids, mask) if embedded else None
        return TextStates(ids, mask, hidden, starts, seen)

    def final_states(self, texts: Sequence[Text], *, keep: bool = False) -> Iterator[tuple[Text, tuple[Tensor, ...]]]:
        """Yield each text and, per chain, its residues' states after the last pre-trained layer: (residue, feature).

        `keep`: remember them for the next call, as long as they take less than a gibibyte.
        """
        yield from ((text, self._by_chain(text, self._final[text])) for text in texts if text in self._final)
        missing = [text for text in texts if text not in self._final]
        for chosen, last in within_memory(missing, self.batches, self._last, self.encoder, self._progress):
            for text, hidden in zip(chosen, last, strict=True):
                own = hidden[: len(self.tokenized(text).ids)]
                if keep and self._final_bytes + own.nbytes <= _FINAL_BYTES:
                    self._final[text] = own.clone()
                    self._final_bytes += own.nbytes
                yield text, self._by_chain(text, own)

    def length(self, texts: Sequence[Text]) -> int:
        """Return how many tokens the longest of `texts` has."""
        return max(len(self.tokenized(text).ids) for text in texts)

    def batches(self, texts: Sequence[Text], budget: int | None = None) -> list[list[Text]]:
        """Return `texts` from short to long in batches of `budget` tokens, by default what suits the device."""
        lengths = [self.length([text]) for text in texts]
        budget = token_budget(self.encoder) if budget is None else budget
        return [[texts[i] for i in batch] for batch in inference_batches(lengths, budget)]

    def _pass(self, texts: Sequence[Text]) -> Tensor:
        """Return the states after the frozen layers, as they are kept: (text, token, feature)."""
        ids, mask = self._padded(texts, rounded=True)
        with torch.inference_mode(), self.encoder.autocast():
            hidden = self.encoder.embed(ids, mask)
            hidden = self.encoder.run_layers(hidden, mask, start=0, stop=self.split)
        return hidden.to("cpu", self._kept_dtype())

    def _last(self, texts: Sequence[Text]) -> Tensor:
        """Return the states after the last layer: (text, token, feature) float32 on the CPU."""
        self.ensure(texts)
        ids, mask = self._padded(texts)
        hidden = self._hidden(texts, ids, mask)
        with torch.inference_mode(), self.encoder.autocast():
            last = self.encoder.run_layers(hidden, mask, start=self.split, stop=self.encoder.layer_count)
        return last.float().cpu()

    def _encoded(self, text: Text) -> TokenizedText:
        return self.encoder.tokenizer.encode(text, self.residue_limit(len(text)), self.encoder.pairing)

    def _kept(self, text: Text) -> Tensor:
        states = self._store.get(text)
        if states is None:
            raise CorruptArtifactError(
                what="the states of a chain were damaged while they were in use",
                found=f"no states of {'/'.join(text)}",
                hint="Run it again: they are made anew. Is the disk full?",
            )
        return states

    def _hidden(self, texts: Sequence[Text], ids: Tensor, mask: Tensor) -> Tensor:
        if self.split == 0:
            with torch.no_grad(), self.encoder.autocast():
                return self.encoder.embed(ids, mask)
        kept = torch.nn.utils.rnn.pad_sequence([self._kept(text) for text in texts], batch_first=True)
        return kept.to(self.encoder.device, torch.float32)

    def _same_length_batches(self, texts: Sequence[Text], budget: int) -> Iterator[list[Text]]:
        by_length: dict[int, list[Text]] = {}
        for text in texts:
            by_length.setdefault(self._rounded(len(self.tokenized(text).ids)), []).append(text)
        for length, same in sorted(by_length.items()):
            size = max(1, budget // length)
            yield from (same[i : i + size] for i in range(0, len(same), size))

    def _padded(self, texts: Sequence[Text], *, rounded: bool = False) -> tuple[Tensor, Tensor]:
        """Return ids and mask, both (text, token), on the model's device."""
        encoded = [self.tokenized(text).ids for text in texts]
        longest = max(map(len, encoded))
        width = self._rounded(longest) if rounded else longest
        pad = self.encoder.tokenizer.pad
        ids = torch.tensor([[*one, *[pad] * (width - len(one))] for one in encoded])
        mask = torch.arange(width) < torch.tensor([len(one) for one in encoded])[:, None]
        return ids.to(self.encoder.device), mask.to(self.encoder.device)

    def _rounded(self, length: int) -> int:
        longest = max(length, self.encoder.max_length + _ENDS)  # as many positions as the model may have
        return min(longest, -(-length // _LENGTH_STEP) * _LENGTH_STEP)

    def _by_chain(self, text: Text, states: Tensor) -> tuple[Tensor, ...]:
        return tuple(states[chain.start : chain.start + chain.seen] for chain in self.tokenized(text).chains)

    def _kept_dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.encoder.precision == "bf16" else torch.float32


def within_memory(
    items: Sequence[_Item],
    batches: Callable[[Sequence[_Item], int], Iterable[list[_Item]]],
    run: Callable[[list[_Item]], _Made],
    encoder: Encoder,
    progress: Progress = silent,
) -> Iterator[tuple[list[_Item], _Made]]:
    """Yield every batch of the items with what `run` makes of it; out of memory, those that are left are smaller.

    `batches` cuts items by a number of tokens, in an order that does not depend on it. Raises OutOfMemoryError when
    one item alone is too much.
    """
    budget = token_budget(encoder)
    ordered = [item for batch in batches(items, budget) for item in batch]
    done = 0
    while done < len(ordered):
        for batch in batches(ordered[done:], budget):
            try:
                made = run(batch)
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                break
            yield batch, made
            done += len(batch)
        else:
            return
        budget //= 2
        torch.cuda.empty_cache()
        progress(f"out of memory: {budget} tokens at a time", 1, 1)


def token_budget(encoder: Encoder) -> int:
    """Return how many tokens, padding included, one forward pass takes on the encoder's device."""
    return usual_budget(encoder.device.type)


def usual_budget(kind: str) -> int:
    """Return how many tokens, padding included, one forward pass takes on a "cpu" or "cuda" device."""
    return _TOKEN_BUDGET.get(kind, _TOKEN_BUDGET["cpu"])
