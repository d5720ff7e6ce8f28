"""Fits in processes that are stopped at a chosen moment: `python fit_server.py` runs one JSON job per line in a fork.

Torch is imported once, before the forks: until then nothing may start a thread, no backward pass and no polars.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]

COUNTED = (
    "ModelSession.fit",
    "Encoder.run_layers",
    "StateStore.put",
    "Run._update",
    "SingleUpdater.step",
    "validation_loss",
    "Snapshots.save",
)
"""Functions within which a fit is stopped at random; the first is all of it."""


class FitServer:
    """A process that forks a child for each job and tells how it ended."""

    def __init__(self, home):
        environment = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "AB_ASSETS_HOME": str(home)}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | environment,
        )  # fmt: skip

    def run(self, job):
        """Return the child's exit code (minus the signal that ended it) and every line it said."""
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        said = []
        while "ended" not in (line := json.loads(self._process.stdout.readline())):
            said.append(line)
        return line["ended"], said

    def close(self):
        self._process.communicate()


class Moment:
    """Sends this process a signal at the `events`-th call or return within a function, or after a line of progress."""

    def __init__(self, within="", events=0, after=None, number=signal.SIGKILL):
        self.seen = Counter()
        self._names = (within,) if within else COUNTED
        self._events, self._after, self._number = events, after, number
        self._inside = []

    def __call__(self, frame, event, argument):
        name = frame.f_code.co_qualname
        known = name in self._names and event in {"call", "return"}
        if known and event == "call":
            self._inside.append(name)
        for one in self._inside:
            self.seen[one] += 1
        if known and event == "return" and self._inside:
            self._inside.pop()
        if self._events and self.seen[self._names[0]] == self._events:
            self._events = 0
            say({"stopped": self._names[0], "at": name})
            os.kill(os.getpid(), self._number)

    def progress(self, *line):
        say({"progress": line})
        if self._after == list(line):
            os.kill(os.getpid(), self._number)

    def watch(self, stop):
        """Begin to count, where that is asked for: it takes time."""
        if stop is not None and "after" not in stop:
            sys.setprofile(self)


def say(line):
    os.write(1, (json.dumps(line) + "\n").encode())


def fit(job, moment):
    """Fit and predict; the states of the frozen layers are kept in many small segments."""
    import polars as pl

    from ab_assets.models.twins import twin_spec
    from ab_assets.training import loop, trunk
    from ab_assets.training.recipe import Recipe
    from ab_assets.training.session import ModelSession
    from ab_assets.training.snapshots import Snapshots

    loop.SECONDS_BETWEEN_SNAPSHOTS = job["seconds"]
    trunk._KEPT_BYTES, trunk._TOKEN_BUDGET = 1 << 14, {"cpu": 128}
    data = pickle.loads(Path(job["data"]).read_bytes())  # noqa: S301 - written by the test
    spec, folder = twin_spec("bert", layers=2, hidden=16), Path(job["folder"])
    session = ModelSession(
        spec, Recipe(**job["recipe"]), device="cpu", cache=folder / "cache", progress=moment.progress
    )
    assert session.encoder.device.type == "cpu"
    moment.watch(job["stop"])
    session.fit(data, job["seed"], folder / "fit", snapshots=Snapshots(folder / "snapshots", key="k"))
    sys.setprofile(None)
    rows = pl.read_parquet(job["rows"])
    session.predict_fit(folder / "fit", rows).write_parquet(folder / "fit" / "predictions.parquet")


def work(job, moment):
    """Make what is wanted of a benchmark in a home."""
    from ab_assets.home import Home
    from ab_assets.training import loop
    from ab_assets.work import Work, run_work

    loop.SECONDS_BETWEEN_SNAPSHOTS = job["seconds"]
    asked = Work(job["benchmark"], job["model"], frozenset(job["wanted"]))
    moment.watch(job["stop"])
    outcomes = list(run_work(Home(Path(job["home"])), asked, moment.progress))
    sys.setprofile(None)
    for outcome in outcomes:
        say({"asset": outcome.ref.asset, "digest": outcome.artifact.digest, "reused": outcome.reused})


def child(job):
    """Run the job; the process ends here."""
    code = 1
    try:
        moment = Moment(**(job["stop"] or {}))
        {"fit": fit, "work": work}[job["kind"]](job, moment)
        say({"seen": moment.seen})
        code = 0
    except BaseException:  # noqa: BLE001 - the fork must not go on as its parent
        traceback.print_exc()
    finally:
        os._exit(code)


def serve():
    """Load what fits need, once, and fork for each line."""
    import torch

    from ab_assets import worker  # noqa: F401 - loaded for the forks
    from ab_assets.artifacts.code_version import code_of
    from ab_assets.models.loading import load_encoder
    from ab_assets.models.twins import twin_spec
    from ab_assets.training import adapters, heads, loop  # noqa: F401 - loaded for the forks

    torch.set_num_threads(1)
    load_encoder(twin_spec("bert"))
    code_of(("ab_assets.training.trunk", "ab_assets.models.loading"))
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.zeros(1)
    torch.optim.AdamW([weight], fused=True).step()
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            child(json.loads(line))
        _, status = os.waitpid(process, 0)
        say({"ended": os.waitstatus_to_exitcode(status)})


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    serve()
