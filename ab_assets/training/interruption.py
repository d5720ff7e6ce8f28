"""A fit that is told to stop (SIGTERM) finishes its step and can store what it reached before the process ends."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType


class Interruption:
    """While its block runs, SIGTERM only sets `requested`; when the block ends, the signal takes its course.

    At the end the previous handler is put back and, if SIGTERM came, called as it would have been without the block:
    by default the process then dies of the signal, and no `finally` further out runs. Every SIGTERM after the first
    is part of the same request, for launchers send several. SIGINT is left alone. Outside the main thread, where no
    handler can be set, the block does nothing, and so it does where a handler was set by other than Python code.
    """

    def __init__(self) -> None:
        self._requested = False
        self._installed = False
        self._previous: Any = None

    @property
    def requested(self) -> bool:
        """Whether SIGTERM came since the block began."""
        return self._requested

    def __enter__(self) -> Self:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGTERM) is not None:
            self._requested = False
            self._previous = signal.signal(signal.SIGTERM, self._note)
            self._installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._installed:
            return
        self._installed = False
        signal.signal(signal.SIGTERM, self._previous)
        if self._requested:
            signal.raise_signal(signal.SIGTERM)

    def _note(self, number: int, frame: object) -> None:  # noqa: ARG002 - the arguments of every handler
        self._requested = True
