"""What the command line shows: bars on a terminal, plain lines otherwise, JSON where a machine reads."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_SECONDS_BETWEEN = 10.0


def say(text: str = "") -> None:
    """Print one line to the person."""
    print(text, flush=True)


def complain(text: str) -> None:
    """Print one line about what went wrong, to standard error."""
    print(text, file=sys.stderr, flush=True)


def say_json(value: object) -> None:
    """Print one JSON document."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False), flush=True)


def say_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print columns that line up, as wide as they need to be; the last one wraps with the terminal."""
    rows = [list(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    for row in [head, *rows]:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


class TerminalProgress:
    """Progress bars on a terminal; elsewhere a line at most every ten seconds. Use it in a `with` block.

    `of`: said before each message, where several processes report at once; these write lines on a terminal, too.
    """

    def __init__(self, *, of: str = "") -> None:
        self._of = of
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._last: dict[str, float] = {}

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and not self._of:
            from rich.console import Console  # noqa: PLC0415 - only where there is a terminal
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

            self._bars = Progress(
                TextColumn("  {task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, message: str, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        message = f"{self._of}{message}"
        if self._bars is None:
            self._plain(message, done, total)
            return
        if message not in self._tasks:
            self._tasks[message] = self._bars.add_task(message, total=total)
        self._bars.update(self._tasks[message], completed=done, total=total, visible=done < total)

    def _plain(self, message: str, done: int, total: int) -> None:
        now = time.monotonic()
        first = message not in self._last
        if first:
            self._last[message] = now
        elif done < total and now - self._last[message] >= _SECONDS_BETWEEN:
            self._last[message] = now
            complain(f"  {message}: {done} of {total}")
