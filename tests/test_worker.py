"""What a pod runs says how it went, in messages and in its exit code."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests_support import TWINS

from ab_assets.artifacts.store import Ref
from ab_assets.errors import UnavailableError, UnknownNameError
from ab_assets.home import Home
from resources.kubernetes.messages import HomeMessages

BENCHMARK, MODEL = "tiny-specificity", "twin-bert"


class Pod:
    """A worker on a work folder of its own, started as a pod starts it."""

    def __init__(self, home: Path, folder: Path, **told):
        self.home, self.folder = home, folder
        self.file = folder / "work-1.json"
        folder.mkdir(exist_ok=True)
        work = {"benchmark": BENCHMARK, "model": MODEL, "wanted": ["embeddings"], "force": True}
        asked = {"gpus": 0, "gpu_resource": "", "cpus": 1, "memory_gib": 2, "attempt": 1, "submitted": time.time()}
        messages = {"path": str(folder / "messages-1.jsonl")}
        value = {
            "work": work | told.pop("work", {}),
            "asked": asked | told.pop("asked", {}),
            "gpus_required": True,
            "pipes": self._pipes(messages),
        }
        self.file.write_text(json.dumps(value | told))
        self.heard = HomeMessages(folder / "messages-1.jsonl", "")

    @staticmethod
    def _pipes(messages):
        from dagster_pipes import encode_param

        context = {
            "asset_keys": None, "code_version_by_asset_key": None, "provenance_by_asset_key": None,
            "partition_key": None, "partition_key_range": None, "partition_time_window": None,
            "run_id": "run", "job_name": None, "retry_number": 0, "extras": {},
        }  # fmt: skip
        return {
            "DAGSTER_PIPES_CONTEXT": encode_param({"data": context}),
            "DAGSTER_PIPES_MESSAGES": encode_param(messages),
        }

    def run(self, uid: str = "uid-1", **environment: str) -> int:
        """Run the worker to its end and return its exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "ab_assets.worker", str(self.file)],
            env=os.environ | {"AB_ASSETS_HOME": str(self.home), "POD_UID": uid} | environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120,
        )  # fmt: skip
        self.printed = done.stdout
        return done.returncode

    def said(self) -> dict[str, dict]:
        """Return the last payload of each kind."""
        return {payload["kind"]: payload for payload in self.heard.forward()}


@pytest.fixture(scope="module")
def another_home(made, tmp_path_factory):
    """Return a copy of the shared home, in which work can be done again."""
    root = tmp_path_factory.mktemp("copied")
    shutil.copytree(made.root, root, dirs_exist_ok=True, symlinks=True)
    return Home(root)


@pytest.fixture
def pod(another_home, tmp_path):
    """Return a function that makes a pod for that home."""
    return lambda **told: Pod(another_home.root, tmp_path / "work", **told)


def test_a_worker_that_is_done_says_what_it_made(pod, another_home):
    worker = pod()
    assert worker.run() == 0, worker.printed
    said = worker.said()
    assert said["done"]
    assert said["outcome"]["asset"] == "embeddings"
    assert said["outcome"]["digest"] == another_home.store.current(Ref("embeddings", BENCHMARK, MODEL)).digest
    assert (worker.folder / "begun-1").read_text() == "uid-1"


def test_the_same_pod_may_begin_again_and_another_may_not(pod):
    worker = pod(work={"force": False})
    assert worker.run("uid-1") == 0
    worker.said()
    assert worker.run("uid-2") == 75
    assert worker.said() == {}
    assert worker.run("uid-1") == 0
    assert worker.said()["outcome"]["reused"]


def test_a_pod_that_does_not_know_itself_begins_only_once(pod):
    worker = pod(work={"force": False})
    assert worker.run("") == 0
    assert worker.run("") == 75


def test_an_error_is_told_with_its_traceback_and_code(pod):
    worker = pod(work={"model": "twin-brt"})
    assert worker.run() == UnknownNameError.exit_code, worker.printed
    error = worker.said()["error"]
    assert error["type"] == "UnknownNameError"
    assert error["problem"]["what"] == "there is no model 'twin-brt'"
    assert error["traceback"].startswith("Traceback (most recent call last)")


def test_a_missing_input_is_told_as_what_it_is(tmp_path):
    home = tmp_path / "home"
    (home / "models").mkdir(parents=True)
    (home / "models" / "twins.toml").write_text(TWINS)
    worker = Pod(home, tmp_path)
    assert worker.run() == 2, worker.printed
    said = worker.said()
    assert "done" not in said
    assert BENCHMARK in said["error"]["message"]


def test_gpus_that_were_asked_for_and_are_not_seen_are_an_error(pod):
    worker = pod(asked={"gpus": 2, "gpu_resource": "nvidia.com/gpu"})
    assert worker.run(CUDA_VISIBLE_DEVICES="", NODE_NAME="node-7") == UnavailableError.exit_code
    problem = worker.said()["error"]["problem"]
    assert problem["what"] == "this pod was given GPUs and PyTorch sees none"
    assert (problem["where"], problem["expected"]) == ("node-7", "2 of nvidia.com/gpu")
    assert "gpu.runtime_class" in problem["hint"]


def test_gpus_that_are_not_seen_may_be_done_without(pod):
    worker = pod(asked={"gpus": 2, "gpu_resource": "nvidia.com/gpu"}, gpus_required=False, work={"force": False})
    assert worker.run(CUDA_VISIBLE_DEVICES="") == 0, worker.printed


ACTS = r"""
import shutil, signal, sys, time
import ab_assets.worker as worker
file = worker.Path(sys.argv[1])
def slowly(home, work, progress, meter):
    progress("waiting", 0, 2)
    time.sleep(60)
    yield
def saving(home, work, progress, meter):
    told = []
    before = signal.signal(signal.SIGTERM, lambda *signalled: told.append(signalled))
    progress("waiting", 0, 2)
    while not told:
        time.sleep(0.01)
    shutil.rmtree(file.parent)
    progress("saving", 2, 2)
    (home.root / "saved").touch()
    signal.signal(signal.SIGTERM, before)
    signal.raise_signal(signal.SIGTERM)
    yield
def hungry(home, work, progress, meter):
    raise MemoryError("4 GiB")
    yield
def killed(home, work, progress, meter):
    worker._OOM_KILLS.write_text("low 0\noom_kill 3\n")
    raise ValueError("rank 1 is gone")
    yield
worker._OOM_KILLS = file.with_name("memory.events")
worker._OOM_KILLS.write_text("low 0\noom_kill 2\n")
worker.run_work = {work}
sys.exit(worker.main(file))
"""


def acted(worker: Pod, work: str) -> subprocess.Popen:
    """Start a worker with this instead of its work."""
    return subprocess.Popen(
        [sys.executable, "-c", ACTS.replace("{work}", work), str(worker.file)],
        env=os.environ | {"AB_ASSETS_HOME": str(worker.home), "POD_UID": "uid-1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def stopped(worker: Pod, work: str) -> int:
    """Return how a worker ended that was told to stop while it was working."""
    process = acted(worker, work)
    while process.poll() is None and not worker.heard.forward():
        select.select([process.stdout], [], [], 0.01)  # it says when it is ready
    process.send_signal(signal.SIGTERM)
    worker.printed, _ = process.communicate(timeout=60)
    return process.returncode


def test_a_worker_that_is_told_to_stop_says_so(pod):
    worker = pod()
    assert stopped(worker, "slowly") == 143, worker.printed
    assert list(worker.said()) == ["interrupted"]


def test_a_worker_whose_run_was_cancelled_still_saves(pod, another_home):
    worker = pod()
    assert stopped(worker, "saving") == 143, worker.printed
    assert (another_home.root / "saved").exists()


@pytest.mark.parametrize(("work", "error"), [("hungry", "MemoryError"), ("killed", "ValueError")])
def test_memory_that_ran_out_is_said_besides_the_error(pod, work, error):
    worker = pod()
    process = acted(worker, work)
    worker.printed, _ = process.communicate(timeout=60)
    said = worker.said()
    assert (process.returncode, list(said)) == (1, ["error", "out of memory"]), worker.printed
    assert said["error"]["type"] == error
