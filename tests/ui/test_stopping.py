"""`ab-assets ui` ends when it is told to, with everything that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from live_ui import Ui, until
from mail_server import free_port

pytestmark = [pytest.mark.ui, pytest.mark.xdist_group("daemon")]


def processes_of(home) -> list[str]:
    """Return the command lines of the processes that act on a home."""
    found, named = [], f"AB_ASSETS_HOME={home}".encode()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and named in (entry / "environ").read_bytes().split(b"\0"):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it has ended
            continue
    return [command for command in found if command]


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_started_in_the_background_of_a_script_it_ends_when_told(tmp_path, told):
    """A shell without job control starts what is in the background with SIGINT ignored."""
    port, home = free_port(), tmp_path / "home"
    process = subprocess.Popen(
        [sys.executable, "-m", "ab_assets.cli", "ui", "--port", str(port)],
        env=os.environ | {"AB_ASSETS_HOME": str(home), "AB_ASSETS_AUTOMATION": "off"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # noqa: PLW1509 - nothing else runs here yet
    )  # fmt: skip
    try:
        until(Ui(f"http://127.0.0.1:{port}").answers)
        assert len(processes_of(home)) > 2
        process.send_signal(told)
        assert process.wait(120) == 0
        end = time.monotonic() + 60  # a code server notices by its heartbeat at the latest
        while processes_of(home) and time.monotonic() < end:
            time.sleep(0.5)
        assert processes_of(home) == []
    finally:
        process.kill()
