"""Which examples of an update each rank runs, and in which passes: never what is learned from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Portion:
    """What one rank runs in one pass of an update: indices into the update's examples.

    A stand-in does not `count`: its loss is taken times zero. It keeps a rank that has run out of examples in step
    with the others, for the ranks exchange tensors in every pass.
    """

    indices: tuple[int, ...]
    counts: bool = True


def portions(lengths: Sequence[int], *, world: int, token_budget: int) -> list[list[Portion]]:
    """Return by rank what it runs for one update over examples of these `lengths`: as many portions for each rank.

    The examples are dealt out from short to long, one by one, so that ranks get as many of as many tokens; each rank
    cuts its hand, still from short to long, where the padded size would exceed `token_budget`. What is learned does not
    depend on `world` or `token_budget`, only in which passes.
    """
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    hands = [_cut(order[rank::world], lengths, token_budget) for rank in range(world)]
    passes = max(len(hand) for hand in hands)
    # the shortest example is the cheapest to run for nothing
    stand_in = Portion((order[0],), counts=False)
    return [hand + [stand_in] * (passes - len(hand)) for hand in hands]


def _cut(hand: Sequence[int], lengths: Sequence[int], token_budget: int) -> list[Portion]:
    pieces: list[list[int]] = []
    for index in hand:  # from short to long: the newest is the longest
        if pieces and (len(pieces[-1]) + 1) * lengths[index] <= token_budget:
            pieces[-1].append(index)
        else:
            pieces.append([index])
    return [Portion(tuple(piece)) for piece in pieces]
