"""Three small models with needs of their own, a benchmark for them, and what is to be seen of them in a namespace."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pod_cluster import Namespace
from tests_support import TWINS, ab_assets, write_specificity

from ab_assets.artifacts.store import Ref
from ab_assets.graph import PRODUCTS
from ab_assets.home import Home

NAME = "tiny-specificity"
NEEDS = "needs = { gpus = 1, cpus = 0.25, memory_gib = %s, shm_gib = 0.125 }\n"
SIZES = {"twin-bert": 1.5, "twin-esm": 1.25, "twin-slow": 1.75}
SLOW = """
[twin-slow]
title = "Slow twin"
family = "bert"
parameters = 6_000_000
licence = "Apache-2.0"
max_length = 254
source = { kind = "twin", layers = 8, hidden = 128, seed = 3 }
recipe = { epochs = 8, patience = 8, batch_size = 8, method = "full", learning_rate = 1e-4 }
"""


def with_needs(text: str) -> str:
    """Return a catalogue in which each model needs a GPU, and memory as SIZES says."""
    tables = re.split(r"(?m)^(?=\[)", text)
    named = ((re.match(r"\[(.+)\]", table), table) for table in tables)
    return "".join(table.rstrip() + "\n" + NEEDS % SIZES[name[1]] + "\n" if name else table for name, table in named)


MODELS = with_needs(TWINS + SLOW)
LONGER = MODELS.replace("epochs = 8, patience = 8", "epochs = 20, patience = 20")
"""A minute or more in the slow one's fits, for tests that stop it there."""
LONG = re.sub(r"(?s).*(?=\[twin-slow\])", "", LONGER).replace("twin-slow", "twin-long").replace("gpus = 1", "gpus = 0")
"""The same by another name, without a GPU that it might have to wait for."""
LONGEST = LONG.replace("twin-long", "twin-longest").replace(
    "epochs = 20, patience = 20", "epochs = 500, patience = 500"
)
"""One that does not end before it is stopped, however slowly a busy node passes that on."""


def write_benchmark(folder: Path, *models: str, seed: int = 1) -> Path:
    """Write the benchmark, which compares these models; another seed gives other data."""
    given = write_specificity(folder, seed=seed)
    text = (given / "benchmark.toml").read_text()
    names = ", ".join(f'"{model}"' for model in models)
    (given / "benchmark.toml").write_text(text.replace('"twin-bert", "twin-esm"', names))
    return given


def prepare(root: Path, given: Path) -> None:
    """Make `root` a home with the three models and the benchmark, prepared."""
    (root / "models").mkdir()
    (root / "models" / "twins.toml").write_text(MODELS)
    ab_assets(root, "add", str(write_benchmark(given / NAME, *SIZES)))
    program = "import sys; from ab_assets.commands.rounds import _run; from jobs.launching import open_instance; "
    program += "from ab_assets.home import Home; h = Home.from_environment()\n"
    program += f"with open_instance(h) as i: _run(i, h, 'prepare', {NAME!r})"
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | {"AB_ASSETS_HOME": str(root)})


class Command:
    """`ab-assets materialize` in the background, with one thread."""

    def __init__(self, home: Home, *models: str, compute: str = "kubernetes") -> None:
        self._log = home.root / f"said-{time.monotonic_ns()}.txt"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ab_assets.cli", "materialize", NAME, "--models", ",".join(models)],
                env=os.environ | {"AB_ASSETS_HOME": str(home.root), "AB_ASSETS_COMPUTE": compute},
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    @property
    def said(self) -> str:
        """What it has printed."""
        return self._log.read_text()

    def stop(self) -> None:
        """End it, if it still runs, with what it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def ended(self, seconds: float = 240) -> int:
        """Return its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(self.said) from None


def until(check, *, of: Command | None = None, seconds: float = 120):
    """Return the first answer that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := check():
            return answer
        if of is not None and of.process.poll() is not None:
            pytest.fail(f"the command ended first: {of.said}")
        time.sleep(0.25)
    pytest.fail(f"it did not happen{f': {of.said}' if of else ''}")
    return None


def jobs_of(namespace: Namespace, model: str) -> list[dict]:
    """Return the Jobs of a model."""
    return [job for job in namespace.get("jobs") if job["metadata"]["labels"].get("ab-assets/model") == model]


def pods_of(namespace: Namespace, model: str, phase: str = "Running") -> list[dict]:
    """Return the pods of a model that are in this phase and not being deleted."""
    found = namespace.get("pods", "-l", f"ab-assets/model={model}")
    return [pod for pod in found if pod["status"]["phase"] == phase and not pod["metadata"].get("deletionTimestamp")]


def memory_by_model(jobs: list[dict]) -> dict[str, str]:
    """Return how much memory the Job of each model may use; each has to have one GPU, and requests as limits."""
    sizes = {}
    for job in jobs:
        resources = job["spec"]["template"]["spec"]["containers"][0]["resources"]
        assert resources["requests"]["memory"] == resources["limits"]["memory"]
        assert resources["limits"]["nvidia.com/gpu"] == "1"
        sizes[job["metadata"]["labels"]["ab-assets/model"]] = resources["limits"]["memory"]
    return sizes


def in_an_epoch(home: Home):
    """Return a check whether a worker is in its second epoch or later."""
    return lambda: any(
        re.search("epoch [2-9] of", file.read_text()) for file in (home.root / "work").glob("*/messages-*.jsonl")
    )


def digests(home: Home, model: str) -> dict[str, str]:
    """Return what was made of a model."""
    names = (*PRODUCTS, "model_metrics")
    return {name: home.store.require(Ref(name, NAME, model)).digest for name in names}


def nothing_is_left(namespace: Namespace, home: Home) -> None:
    """Hold that Jobs, pods and what they were told are gone soon."""
    until(lambda: not namespace.get("jobs") and not namespace.get("pods"), seconds=150)
    assert sorted(path.name for path in (home.root / "work").iterdir()) == ["home-id"]


def went_on(log: str) -> bool:
    """Tell whether a pod took up a fit where another had left it."""
    return "resumed after step" in log
