"""The Dagster webserver and daemon on this machine, started together and stopped together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ab_assets.errors import BadInputError
from jobs.launching import open_instance, prepare_dagster_home, register

if TYPE_CHECKING:
    from ab_assets.home import Home

WORKSPACE = Path(__file__).resolve().parents[1] / "workspace.yaml"
_GRACE_SECONDS = 15


def serve(home: Home, *, host: str, port: int) -> int:
    """Serve until interrupted, or until one of the two processes ends; return its exit code."""
    require_free(host, port)
    with open_instance(home) as instance:
        register(instance, [benchmark.name for benchmark in home.benchmarks()])
    environment = os.environ | {
        "AB_ASSETS_HOME": str(home.root),
        "DAGSTER_HOME": str(prepare_dagster_home(home)),
        "PYTHONWARNINGS": "ignore",
    }
    print(f"Dagster UI: http://{host}:{port}   home: {home.root}   stop with Ctrl-C", flush=True)  # noqa: T201
    commands = (
        [*_module("dagster_webserver"), "--host", host, "--port", str(port), "--workspace", str(WORKSPACE)],
        [*_module("dagster._daemon"), "run", "--workspace", str(WORKSPACE)],
    )
    # A script's background starts with SIGINT ignored, and what is started from here would ignore it, too.
    for told in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told, signal.default_int_handler)
    children = [subprocess.Popen(command, env=environment) for command in commands]
    try:
        while all(child.poll() is None for child in children):
            time.sleep(0.5)
        return next((child.returncode for child in children if child.returncode is not None), 1)
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(children)


def require_free(host: str, port: int) -> None:
    """Raise BadInputError when something listens on the port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BadInputError(
                what=f"port {port} cannot be used: {error.strerror}",
                where=host,
                hint="Say another: ab-assets ui --port 3001",
            ) from error


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", name]


def _stop(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
    for child in children:
        try:
            child.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
