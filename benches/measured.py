"""A command's wall time and peak memory. Imports little: on Linux a child's peak starts at its parent's size."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Cost(NamedTuple):
    """Wall seconds from start to exit, and the largest resident set of the process or one of its own, in MiB."""

    seconds: float
    mebibytes: float


def pinned(count: int) -> list[int]:
    """Confine this process, and what it starts, to the first `count` of its processors and return them."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    chosen = sorted(os.sched_getaffinity(0))[:count]
    os.sched_setaffinity(0, chosen)
    return chosen


def measured(command: Sequence[str], *, log: Path) -> Cost:
    """Return what `command` cost; its output goes to `log`. Exits with the last of it where the command fails."""
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{said}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(seconds, usage.ru_maxrss * unit / 2**20)
