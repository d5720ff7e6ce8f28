"""Names in a sentence that stays short."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAMED = 10


def listed(names: Iterable[str], between: str = ", ") -> str:
    """Return the first ten names, and how many more there are."""
    every = list(names)
    more = len(every) - _NAMED
    return between.join(every[:_NAMED]) + (f" and {more} more" if more > 0 else "")
