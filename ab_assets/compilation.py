"""Loops over numbers, compiled by numba. Importing this module loads it, which takes the better part of a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` compiled, kept on disk where there is a place for it; threads run it side by side."""
    try:
        kernel = njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # a read-only installation without a home
        kernel = njit(nogil=True, error_model="numpy")(function)
    return cast("Callable[P, R]", kernel)
