"""What processes that tests start do."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from ab_assets.errors import ComputeFailedError


def note(folder: str, name: str) -> None:
    Path(folder, name).write_text(str(os.getpid()))


def refuse(cause: str) -> None:
    raise ComputeFailedError(cause=cause, what="no", hint="Ask again.")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def meet(folder: str, name: str, count: int) -> None:
    """End only when `count` are here at once."""
    Path(folder, name).touch()
    while len(list(Path(folder).iterdir())) < count:
        time.sleep(0.05)


def linger(folder: str, name: str) -> None:
    try:
        note(folder, name)
        time.sleep(600)
    finally:
        Path(folder, f"{name}-ended").touch()
