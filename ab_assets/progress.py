"""How long work says how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, how many are done, of how many)."""


def silent(message: str, done: int, total: int) -> None:
    """Say nothing."""
