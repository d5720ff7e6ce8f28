"""What follows from the way an attempt ended: another, with how much memory, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.kubernetes.causes import Cause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.kubernetes.causes import Ending
    from resources.kubernetes.installation import Installation

RESUMED = frozenset({Cause.PREEMPTED, Cause.EVICTED, Cause.NODE_LOST, Cause.DELETED, Cause.INTERRUPTED})
"""Causes that say nothing of the work: the next attempt goes on from the newest snapshot."""


def next_step(ending: Ending, causes: Sequence[Cause], installation: Installation) -> float | None:
    """Return by what the next attempt multiplies the memory, or None when there is none.

    `causes`: how all attempts so far ended, this one last.
    """
    if ending.cause is Cause.OUT_OF_MEMORY:
        more = sum(cause is Cause.OUT_OF_MEMORY for cause in causes) <= len(installation.memory_steps)
    else:
        interrupted = sum(cause in RESUMED for cause in causes)
        more = ending.cause in RESUMED and interrupted <= installation.retries
    return memory_factor(causes, installation) if more else None


def memory_factor(causes: Sequence[str], installation: Installation) -> float:
    """Return by what the memory of an attempt is multiplied after attempts that ended like this."""
    steps = (1.0, *installation.memory_steps)
    return steps[min(sum(cause == Cause.OUT_OF_MEMORY for cause in causes), len(steps) - 1)]
