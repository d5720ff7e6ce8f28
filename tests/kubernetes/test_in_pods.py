"""Models run in pods of a real cluster, started by the command as its user starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from tests_support import TWINS, ab_assets, write_specificity

from ab_assets.artifacts.store import Ref
from ab_assets.graph import PRODUCTS
from ab_assets.home import Home

pytestmark = pytest.mark.cluster

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
    tables = re.split(r"(?m)^(?=\[)", text)
    named = ((re.match(r"\[(.+)\]", table), table) for table in tables)
    return "".join(table.rstrip() + "\n" + NEEDS % SIZES[name[1]] + "\n" if name else table for name, table in named)


MODELS = with_needs(TWINS + SLOW)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Return the folder of a home with a benchmark of three models, prepared."""
    root = tmp_path_factory.mktemp("prepared")
    (root / "models").mkdir()
    (root / "models" / "twins.toml").write_text(MODELS)
    given = write_specificity(tmp_path_factory.mktemp("given") / NAME)
    text = (given / "benchmark.toml").read_text()
    (given / "benchmark.toml").write_text(text.replace('"twin-esm"]', '"twin-esm", "twin-slow"]'))
    ab_assets(root, "add", str(given))
    program = "import sys; from ab_assets.commands.rounds import _run; from jobs.launching import open_instance; "
    program += "from ab_assets.home import Home; h = Home.from_environment()\n"
    program += f"with open_instance(h) as i: _run(i, h, 'prepare', {NAME!r})"
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | {"AB_ASSETS_HOME": str(root)})
    return root


@pytest.fixture
def home(pod_home, prepared):
    """Return a function that makes such a home for pods."""
    return lambda settings="": pod_home(settings, base=prepared, twins=MODELS)


class Command:
    """`ab-assets materialize` in the background."""

    def __init__(self, home: Home, *models: str) -> None:
        self._log = home.root / f"said-{time.monotonic_ns()}.txt"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ab_assets.cli", "materialize", NAME, "--models", ",".join(models)],
                env=os.environ | {"AB_ASSETS_HOME": str(home.root), "AB_ASSETS_COMPUTE": "kubernetes"},
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    @property
    def said(self) -> str:
        return self._log.read_text()

    def stop(self) -> None:
        """End it, if it still runs, with what it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def ended(self, seconds: float = 240) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(self.said) from None


@pytest.fixture
def materialize():
    """Return a function that starts `ab-assets materialize` for some models of a home."""
    started = []

    def start(home: Home, *models: str) -> Command:
        started.append(Command(home, *models))
        return started[-1]

    yield start
    for command in started:
        command.stop()


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


def jobs_of(namespace, model: str) -> list[dict]:
    return [job for job in namespace.get("jobs") if job["metadata"]["labels"].get("ab-assets/model") == model]


def pods_of(namespace, model: str, phase: str = "Running") -> list[dict]:
    found = namespace.get("pods", "-l", f"ab-assets/model={model}")
    return [pod for pod in found if pod["status"]["phase"] == phase and not pod["metadata"].get("deletionTimestamp")]


def in_an_epoch(command: Command):
    return lambda: re.search(r"epoch [2-9].*\d+ of \d+", command.said)


def digests(home: Home, model: str) -> dict[str, str]:
    names = (*PRODUCTS, "model_metrics")
    return {name: home.store.require(Ref(name, NAME, model)).digest for name in names}


def runs_log(home: Home) -> str:
    """Return every event that Dagster keeps of this home's runs."""
    from jobs.launching import open_instance

    with open_instance(home) as instance:
        records = [event for run in instance.get_runs() for event in instance.all_logs(run.run_id)]
    return "\n".join(str(event) for event in records)


def nothing_is_left(namespace, home: Home) -> None:
    until(lambda: not namespace.get("jobs") and not namespace.get("pods"), seconds=60)
    assert sorted(path.name for path in (home.root / "work").iterdir()) == ["home-id"]


def test_each_model_has_a_job_of_its_own_size_the_third_waits_and_all_make_what_this_machine_makes(
    home, namespace, prepared, materialize
):
    shared = home()
    command = materialize(shared, *SIZES)
    until(lambda: len(namespace.get("jobs")) == 3, of=command)
    sizes = {}
    for job in namespace.get("jobs"):
        resources = job["spec"]["template"]["spec"]["containers"][0]["resources"]
        assert resources["requests"]["memory"] == resources["limits"]["memory"]
        assert resources["limits"]["nvidia.com/gpu"] == "1"
        sizes[job["metadata"]["labels"]["ab-assets/model"]] = resources["limits"]["memory"]
    assert sizes == {"twin-bert": "1536Mi", "twin-esm": "1280Mi", "twin-slow": "1792Mi"}
    until(lambda: "waiting: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu" in runs_log(shared), of=command)
    assert command.ended() == 0, command.said
    nothing_is_left(namespace, shared)
    ab_assets(prepared, "materialize", NAME)
    for model in SIZES:
        assert digests(shared, model) == digests(Home(prepared), model)
    made = shared.store.require(Ref("predictions", NAME, "twin-esm")).manifest["made"]
    assert made["gpus"] == 1
    assert made["memory_gib_requested"] == 1.25
    assert made["queue_seconds"] >= 0
    assert made["start_seconds"] > 0
    assert made["gpu_seconds_requested"] == pytest.approx(made["seconds"], abs=0.01)
