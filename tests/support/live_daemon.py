"""A dagster-daemon of a home, and a code server that stays the same process; both ended with what they started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from mail_server import free_port

from jobs.serving import WORKSPACE

_DAEMON = (
    "import dagster._daemon.sensor as sensor; sensor.MIN_INTERVAL_LOOP_TIME = 1\n"
    "from dagster._daemon.cli import main; main()"
)
_START_SECONDS = 120


@contextmanager
def live_daemon(log: Path, environment: dict[str, str], workspace: Path = WORKSPACE):
    """Yield the process of a daemon that writes to `log` and has `environment` besides this process's own.

    Its sensors look as often as they ask for, not every five seconds at most.
    """
    with _process([sys.executable, "-c", _DAEMON, "run", "--workspace", str(workspace)], log, environment) as daemon:
        yield daemon


@contextmanager
def live_code_server(code: Path, log: Path, environment: dict[str, str]):
    """Yield the workspace file of a server of the code in the folder `code`, where that lies too."""
    port = free_port()
    workspace = code / "workspace.yaml"
    workspace.write_text(
        f"load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {port}, location_name: ab_assets}}\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "dagster", "api", "grpc", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--module-name", "ab_assets.definitions", "--attribute", "defs"]
    with _process(command, log, environment | {"PYTHONPATH": str(code)}, cwd=code) as server:
        end = time.monotonic() + _START_SECONDS
        while not _answers(port):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        yield workspace


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def _process(command: list[str], log: Path, environment: dict[str, str], cwd: Path | None = None):
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, env=os.environ | environment, cwd=cwd, stdout=stream, stderr=stream, start_new_session=True
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
