"""Which examples go through a model together: of similar length, in an order that only the seed decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Batches are cut from pools of this many batches, sorted by length: similar lengths meet, yet every epoch mixes anew.
_POOL = 16


def training_batches(lengths: Sequence[int], batch_size: int, *, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Return the indices 0..n-1 in batches of `batch_size` (one may be smaller), shuffled by (seed, epoch).

    The number of examples per update never depends on their lengths or on the device.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    size = np.asarray(lengths)
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), _POOL * batch_size):
        pool = order[start : start + _POOL * batch_size]
        pool = pool[np.argsort(size[pool], kind="stable")]
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]


def inference_batches(lengths: Sequence[int], token_budget: int) -> list[NDArray[np.int64]]:
    """Return the indices 0..n-1 from short to long in batches whose padded size stays within `token_budget` tokens.

    A single example longer than the budget is a batch of its own.
    """
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")
    batches: list[NDArray[np.int64]] = []
    start = 0
    for stop in range(1, len(order) + 1):
        full = stop == len(order) or (stop + 1 - start) * lengths[order[stop]] > token_budget
        if full:
            batches.append(order[start:stop])
            start = stop
    return batches
