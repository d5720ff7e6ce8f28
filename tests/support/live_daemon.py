"""A dagster-daemon of a home, ended with what it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from jobs.serving import WORKSPACE


@contextmanager
def live_daemon(log: Path, environment: dict[str, str]):
    """Yield the process of a daemon that writes to `log` and has `environment` besides this process's own."""
    with log.open("wb") as stream:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "dagster._daemon", "run", "--workspace", str(WORKSPACE)],
            env=os.environ | environment, stdout=stream, stderr=stream, start_new_session=True,
        )  # fmt: skip
        try:
            yield daemon
        finally:
            daemon.send_signal(signal.SIGINT)
            try:
                daemon.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(daemon.pid, signal.SIGKILL)
                daemon.wait()
