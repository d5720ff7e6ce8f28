"""What a model makes of examples: logits, and how far these are from the labels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from ab_assets.errors import FitFailedError
from ab_assets.progress import Progress, silent
from ab_assets.training.batches import inference_batches
from ab_assets.training.data import UNKNOWN_LABEL, count_labels
from ab_assets.training.trunk import token_budget, within_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ab_assets.training.data import Example, FitData
    from ab_assets.training.heads import TunedModel
    from ab_assets.training.recipe import Recipe
    from ab_assets.training.trunk import FrozenTrunk, TextStates

_SHOWN_ROWS = 5

_Made = TypeVar("_Made")


def validation_loss(
    model: TunedModel,
    examples: Sequence[Example],
    trunk: FrozenTrunk,
    weights: tuple[float, float],
    progress: Progress = silent,
) -> float:
    """Return the mean loss per label over `examples`, without dropout."""

    def run(chosen: list[Example]) -> tuple[Tensor, int]:
        return summed_loss(model, chosen, trunk, weights)

    losses = LabelMean()
    model.eval()
    with torch.inference_mode():
        for chosen, (loss, size) in _evaluated(examples, trunk, run, progress):
            require_finite(loss.item(), chosen, step=None)
            losses.add(loss.item() / max(1, size), size)
    return losses.value


def predict_logits(
    model: TunedModel, examples: Sequence[Example], trunk: FrozenTrunk, progress: Progress = silent
) -> Iterator[tuple[Example, tuple[Tensor, ...]]]:
    """Yield each example with its logits on the CPU: ((1,),) per antibody, (seen residue,) per scored chain.

    The order is free.
    """

    def run(chosen: list[Example]) -> tuple[Tensor, Tensor]:
        texts = text_states(model, chosen, trunk)
        with torch.inference_mode(), trunk.encoder.autocast():
            return texts[0].seen, model(texts).cpu()

    model.eval()
    for chosen, (seen, logits) in _evaluated(examples, trunk, run, progress):
        if not model.per_residue:
            yield from ((example, (one,)) for example, one in zip(chosen, torch.split(logits, 1), strict=True))
            continue
        parts = iter(torch.split(logits, seen.flatten().tolist()))
        for example in chosen:
            of_example = [next(parts) for _ in range(seen.shape[1])]
            yield example, tuple(of_example[: len(example.scored)])


def example_batches(
    examples: Sequence[Example], trunk: FrozenTrunk, budget: int | None = None
) -> Iterator[list[Example]]:
    """Yield the examples from short to long in batches of `budget` tokens, by default what suits the device."""
    lengths = [trunk.length(example.texts) for example in examples]
    budget = token_budget(trunk.encoder) if budget is None else budget
    yield from ([examples[i] for i in batch] for batch in inference_batches(lengths, budget))


def _evaluated(
    examples: Sequence[Example], trunk: FrozenTrunk, run: Callable[[list[Example]], _Made], progress: Progress
) -> Iterator[tuple[list[Example], _Made]]:
    def batches(left: Sequence[Example], budget: int) -> Iterator[list[Example]]:
        return example_batches(left, trunk, budget)

    return within_memory(examples, batches, run, trunk.encoder, progress)


def text_states(model: TunedModel, examples: Sequence[Example], trunk: FrozenTrunk) -> list[TextStates]:
    """Return the states that `model` starts from: one batch for each text that the examples have."""
    texts = zip(*(example.texts for example in examples), strict=True)
    return [trunk.batch(text, embedded=not model.embeds) for text in texts]


def summed_loss(
    model: TunedModel,
    examples: Sequence[Example],
    trunk: FrozenTrunk,
    weights: tuple[float, float],
    forward: Callable[[list[TextStates]], Tensor] | None = None,
) -> tuple[Tensor, int]:
    """Return the weighted binary cross-entropy summed over all known labels, and how many these are.

    `forward`: who runs the model, where it is not called directly.
    """
    texts = text_states(model, examples, trunk)
    label = torch.cat([seen_labels(example, model, trunk) for example in examples]).to(trunk.encoder.device)
    with trunk.encoder.autocast():
        logits = (forward or model)(texts)
    known = label != UNKNOWN_LABEL
    weight = torch.where(label == 1, weights[1], weights[0]) * known
    target = (label == 1).float()
    loss = nn.functional.binary_cross_entropy_with_logits(logits, target, weight=weight, reduction="sum")
    return loss, int(known.sum())


def class_weights(data: FitData, recipe: Recipe) -> tuple[float, float]:
    """Return what a negative and a positive label weigh in the loss."""
    if recipe.class_weight == "none":
        return 1.0, 1.0
    positives, total = count_labels(data.train)
    return total / (2 * (total - positives)), total / (2 * positives)


def seen_labels(example: Example, model: TunedModel, trunk: FrozenTrunk) -> Tensor:
    """Return the labels of what the model sees of an example: without those of truncated residues."""
    assert example.labels is not None  # noqa: S101 - asked of labelled examples only
    labels = torch.from_numpy(example.labels)
    if not model.per_residue:
        return labels
    (text,) = example.texts
    chains = trunk.tokenized(text).chains
    parts = torch.split(labels, [chain.seen + chain.truncated for chain in chains])
    return torch.cat([part[: chain.seen] for part, chain in zip(parts, chains, strict=True)])


def require_finite(value: float, examples: Sequence[Example], *, step: int | None, what: str = "the loss") -> None:
    """Raise FitFailedError, naming `step` (None: validation) and rows, when a value is no finite number."""
    if math.isfinite(value):
        return
    rows = [example.row_id for example in examples]
    shown = ", ".join(rows[:_SHOWN_ROWS]) + (f" and {len(rows) - _SHOWN_ROWS} more" if len(rows) > _SHOWN_ROWS else "")
    raise FitFailedError(
        what=f"{what} is not a finite number",
        where=f"step {step}" if step is not None else "validation",
        found=f"{value} on rows {shown}",
        hint="Lower training.learning_rate, or look at these rows.",
    )


class LabelMean:
    """A mean over labels, gathered batch by batch."""

    def __init__(self, total: float = 0.0, size: int = 0) -> None:
        self._sum = total
        self._size = size

    def add(self, mean: float, size: int) -> None:
        """Take in the mean of `size` more labels."""
        self._sum += mean * size
        self._size += size

    def state(self) -> list[float]:
        """Return what the constructor takes to go on from here."""
        return [self._sum, self._size]

    @property
    def value(self) -> float:
        """The mean so far."""
        return self._sum / self._size
