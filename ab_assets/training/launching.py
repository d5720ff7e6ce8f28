"""Several processes of one module on this machine through torchrun: they all end well, or all end and one says why."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ab_assets
from ab_assets.errors import AbAssetsError, FitFailedError, InterruptedFitError
from ab_assets.progress import Progress, silent
from ab_assets.training.interruption import Interruption

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOG = "ranks.log"
_PROGRESS = "progress.jsonl"
_LAUNCHER = "AB_ASSETS_LAUNCHER"
_RENDEZVOUS = "AB_ASSETS_RENDEZVOUS"
_POLL_SECONDS = 0.2
_GRACE_SECONDS = 30.0  # what ranks get to write down where they are before they are killed
_SHOWN_LINES = 20


def launch(
    module: str,
    folder: Path,
    *,
    processes: int,
    progress: Progress = silent,
    environment: Mapping[str, str] | None = None,
    grace: float = _GRACE_SECONDS,
) -> None:
    """Run `python -m module folder` in `processes` ranks until all have ended; `module` gives its work to `run_rank`.

    What they print is in `folder`/ranks.log. They find each other through a file and, without GPUs, talk over
    loopback only. Raises FitFailedError with the first failed rank's own words, or the log's last lines where it left
    none, InterruptedFitError when this process got SIGTERM, which is passed on. However this call ends, no rank
    outlives it: they get SIGTERM, and after `grace` seconds SIGKILL.
    """
    folder = folder.resolve()
    for name in ("rank-*.error.json", _PROGRESS):
        for stale in folder.glob(name):
            stale.unlink()
    with (
        tempfile.TemporaryDirectory(prefix="ab-assets-ranks-") as meeting,
        (folder / LOG).open("wb") as log,
        Interruption() as interruption,
    ):
        command = [sys.executable, "-m", "torch.distributed.run", "--nnodes=1", f"--nproc-per-node={processes}"]
        command += ["--rdzv-backend=c10d", "--rdzv-conf=store_type=file", f"--rdzv-endpoint={meeting}/torchrun"]
        command += ["--rdzv-id=ab-assets", "--local-addr=127.0.0.1", "--max-restarts=0", "-m", module, str(folder)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(processes, Path(meeting), environment or {}),
            start_new_session=True,  # an interrupt at the terminal reaches this process, which then ends the ranks
        )
        said = _Said(folder / _PROGRESS, progress)
        try:
            while process.poll() is None and not interruption.requested:
                said.forward()
                try:
                    process.wait(_POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    continue
            said.forward()
        finally:
            _end(process, grace)
        if interruption.requested:
            said.forward()
            raise InterruptedFitError(
                what="the fit was asked to stop",
                hint="Run it again: it goes on from the newest snapshot, if any is kept.",
            )
    if process.returncode:
        raise _failure(folder, process.returncode)


def run_rank(folder: Path, work: Callable[[str, Progress], None]) -> None:
    """Run `work(rendezvous, progress)` as one of the ranks that `launch` started; exit 1, saying why, if it fails.

    Ends at once when the launcher is gone. Only rank 0's progress is heard.
    """
    rank = int(os.environ["RANK"])
    threading.Thread(target=_watch_launcher, args=(int(os.environ[_LAUNCHER]),), daemon=True).start()
    try:
        work(os.environ[_RENDEZVOUS], _told(folder / _PROGRESS) if rank == 0 else silent)
    except Exception as error:
        _write_error(folder / f"rank-{rank}.error.json", error)
        raise


def _environment(processes: int, meeting: Path, given: Mapping[str, str]) -> dict[str, str]:
    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    package = str(Path(ab_assets.__file__).parents[1])
    return {
        "OMP_NUM_THREADS": str(threads),
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")])),
        "GLOO_SOCKET_IFNAME": "lo",
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # torchrun's own would listen on every interface
        _LAUNCHER: str(os.getpid()),
        _RENDEZVOUS: f"file://{meeting}/ranks",
        **given,
    }


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    """End torchrun and what it started; it passes SIGTERM on and waits for its ranks."""
    import psutil  # noqa: PLC0415 - only here

    if process.poll() is not None:
        return
    ranks = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for rank in ranks:
        if rank.is_running():  # and is the process it was: psutil compares start times
            rank.kill()


def _watch_launcher(launcher: int) -> None:
    import psutil  # noqa: PLC0415 - only here

    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(launcher).wait()
    os._exit(1)  # the main thread may be waiting in a collective that never ends


def _failure(folder: Path, code: int) -> FitFailedError:
    # the rank that failed first wrote first; the others only lost it
    reports = sorted(folder.glob("rank-*.error.json"), key=lambda file: file.stat().st_mtime_ns)
    if reports:
        report: dict[str, Any] = json.loads(reports[0].read_text(encoding="utf-8"))
        return FitFailedError(**report)
    lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()[-_SHOWN_LINES:]
    return FitFailedError(
        what=f"the ranks ended with exit code {code} and no word why",
        where=str(folder / LOG),
        found="\n".join(["", *lines]),
        hint="Exit code -9 is often memory that ran out.",
    )


def _write_error(file: Path, error: Exception) -> None:
    if isinstance(error, AbAssetsError):
        problem = error.problem
        report = {key: getattr(problem, key) for key in ("what", "where", "found", "expected", "hint")}
    else:
        report = {"what": f"{file.name.split('.')[0]} failed", "found": f"{type(error).__name__}: {error}"}
        report["where"] = str(file.parent / LOG)
    whole = file.with_suffix(".part")
    whole.write_text(json.dumps(report), encoding="utf-8")
    whole.replace(file)


def _told(file: Path) -> Progress:
    def tell(message: str, done: int, total: int) -> None:
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps([message, done, total]) + "\n")

    return tell


class _Said:
    """What rank 0 wrote of its progress and has not been forwarded yet."""

    def __init__(self, file: Path, progress: Progress) -> None:
        self._file = file
        self._progress = progress
        self._read = 0

    def forward(self) -> None:
        if not self._file.exists():
            return
        with self._file.open("rb") as lines:
            lines.seek(self._read)
            for line in lines:
                if not line.endswith(b"\n"):
                    return  # half a line: the rest comes
                self._read += len(line)
                self._progress(*json.loads(line))
