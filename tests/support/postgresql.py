"""A PostgreSQL of the machine's own package, started for a test on loopback, with nothing kept."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

USER, PASSWORD, DATABASE = "dagster", "not-a-secret", "dagster"
DEADLINE_SECONDS = 60


def binaries() -> Path | None:
    """Return the folder of the newest PostgreSQL on this machine, Debian's place first."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    if found:
        return found[-1].parent
    named = shutil.which("initdb")
    return Path(named).resolve().parent if named else None


@contextmanager
def postgresql():
    """Yield what dagster.yaml says of a fresh database; skips the test where there is no PostgreSQL."""
    where = binaries()
    if where is None:
        pytest.skip("no PostgreSQL on this machine (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="ab-assets-postgresql-"))
    who = _nobody_special(folder)
    password = folder / "password"
    password.write_text(PASSWORD)
    password.chmod(0o644)
    try:
        _run([where / "initdb", "-D", folder / "data", "-U", USER, "-A", "scram-sha-256", "--pwfile", password,
              "--no-sync", "-E", "UTF8", "--locale", "C"], who)  # fmt: skip
        port, server = _started(where, folder, who)
        try:
            login = os.environ | {"PGPASSWORD": PASSWORD}
            _run([where / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", USER, DATABASE], who, env=login)
            yield {
                "hostname": "127.0.0.1",
                "username": USER,
                "password": PASSWORD,
                "db_name": DATABASE,
                "port": port,
            }
        finally:
            server.send_signal(signal.SIGINT)  # a fast shutdown
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _nobody_special(folder: Path) -> dict[str, object]:
    """Return as whom it runs: it refuses to be root, and so is an account of its own, or nobody, there."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names["nobody"]
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _run(command, who, **more) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, cwd="/", **who, **more)
    assert done.returncode == 0, done.stderr


def _started(where: Path, folder: Path, who) -> tuple[int, subprocess.Popen[bytes]]:
    """Return the port and the process once it answers; another port when somebody else took the first."""
    log = folder / "log"
    for _ in range(5):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with log.open("w") as stream:
            server = subprocess.Popen(
                [str(where / "postgres"), "-D", str(folder / "data"), "-p", str(port), "-c", "fsync=off",
                 "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"],
                stdout=stream, stderr=stream, cwd="/", start_new_session=True, **who,
            )  # fmt: skip
        end = time.monotonic() + DEADLINE_SECONDS
        while server.poll() is None and time.monotonic() < end:
            if subprocess.run(
                [str(where / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)], check=False
            ).returncode == 0:  # fmt: skip
                return port, server
            time.sleep(0.1)
        server.kill()
        server.wait()
    raise AssertionError(log.read_text())
