"""Webserver, daemon, code server and PostgreSQL are pods: a folder that is dropped on the volume becomes a report."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass

import pytest
from cluster_deployment import POSTGRESQL, Deployment
from live_ui import SELECTOR as LOCATION
from live_ui import Ui
from pod_cluster import kubectl, pod_image
from pod_models import LONG, LONGEST, MODELS, in_an_epoch, jobs_of, write_benchmark

from ab_assets.artifacts.store import Ref
from ab_assets.home import Home
from resources.kubernetes.manifest import SELECTOR

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.xdist_group("cluster")]

NAME = "tiny-dropped"
COMPARED = ("twin-esm", "twin-slow")
DEADLINE_SECONDS = 900
SETTINGS = """
namespace = "{namespace}"
image = "{image}"
pod_template = "template.yaml"
environment = {{ OMP_NUM_THREADS = "1", POLARS_MAX_THREADS = "1" }}
gpu = {{ required = false }}
[models.twin-slow]
memory_gib = 1.25
"""
TICKS = """
query($selector: RepositorySelector!) { sensorsOrError(repositorySelector: $selector) { ... on Sensors { results {
  name sensorState { ticks(limit: 20) { status skipReason error { message } } } } } } }
"""


@dataclass(frozen=True)
class Running:
    """A deployment that runs, its webserver and its home as this machine sees it."""

    deployment: Deployment
    ui: Ui
    home: Home

    def drop(self, name: str, *models: str) -> None:
        """Put a benchmark onto the volume, as one move; its data are its own, so that nothing is reused for it."""
        given = write_benchmark(self.home.root / "upload" / name, *models, seed=len(self.home.names()) + 1)
        given.rename(self.home.folder(name))

    def evaluation(self, name: str) -> dict | None:
        """Return the benchmark's newest run with a model."""
        found = (run for run in self.ui.runs() if run["tags"]["dagster/partition"].startswith(f"{name}|"))
        return next(found, None)

    def working(self, name: str) -> str:
        """Return the id of the benchmark's run with a model as soon as its pod is in an epoch."""

        def looks():
            run = self.evaluation(name)
            return run and run["status"] == "STARTED" and in_an_epoch(self.home)() and run["runId"]

        return self.deployment.until(looks, seconds=DEADLINE_SECONDS)

    def ends(self, run_id: str) -> str:
        """Return how a run ends."""
        self.deployment.until(lambda: self.ui.ended(run_id), seconds=DEADLINE_SECONDS)
        return self.ui.status(run_id)


@pytest.fixture(scope="module")
def running(namespace, tmp_path_factory):
    if not POSTGRESQL:
        pytest.skip("there is no PostgreSQL on this machine")
    home = Home(tmp_path_factory.mktemp("all") / "home")
    (home.root / "models").mkdir(parents=True)
    (home.root / "benchmarks").mkdir()
    (home.root / "models" / "twins.toml").write_text(MODELS + LONG + LONGEST)
    namespace.share(home.root, "ab-assets-home")
    deployment = Deployment(namespace, SETTINGS.format(namespace=namespace.name, image=pod_image()))
    try:
        yield Running(deployment, deployment.start(), home)
    finally:
        for kind in ("jobs", "pods"):
            kubectl("-n", namespace.name, "delete", kind, "--all", "--grace-period=5", "--wait=false")


@pytest.fixture
def seen_jobs(namespace, tmp_path):
    """Return a function that returns every Job that has been in the namespace, as `kubectl get jobs -w` told of it."""
    record = tmp_path / "jobs.json"
    with record.open("wb") as stream:
        watching = subprocess.Popen(
            ["kubectl", "-n", namespace.name, "get", "jobs", "-w", "-o", "json"], stdout=stream
        )  # fmt: skip

        def seen() -> list[dict]:
            text, jobs = record.read_text().strip(), {}
            while text:
                try:
                    found, end = json.JSONDecoder().raw_decode(text)
                except ValueError:  # it is being written
                    break
                text = text[end:].lstrip()
                for job in found["items"] if found["kind"] == "List" else [found]:
                    jobs[job["metadata"]["uid"]] = job
            return list(jobs.values())

        yield seen
        watching.terminate()
        watching.wait()


def test_a_folder_that_is_dropped_on_the_volume_becomes_a_report_with_nothing_else_done(running, namespace, seen_jobs):
    deployment, ui, home = running.deployment, running.ui, running.home
    running.drop(NAME, *COMPARED)
    live = set()

    def reported():
        for run in ui.runs():
            if run["status"] == "FAILURE":
                pytest.fail(f"{run}: {ui.said(run['runId'])}\n{deployment.logs()}")
            if run["status"] == "STARTED" and run["jobName"] == "evaluate":
                said = ui.said(run["runId"])
                if ui.status(run["runId"]) == "STARTED" and re.search(r"epoch \d+ of \d+", said):
                    live.add(run["tags"]["dagster/partition"])
        return home.store.current(Ref("report", NAME))

    report = deployment.until(reported, seconds=DEADLINE_SECONDS)
    assert (report.folder / "report.html").read_text().startswith("<!")
    deployment.until(lambda: all(run["status"] == "SUCCESS" for run in ui.runs()), seconds=120)
    runs = ui.runs()
    assert sorted((run["jobName"], run["tags"]["dagster/partition"]) for run in runs) == [
        ("evaluate", f"{NAME}|twin-esm"),
        ("evaluate", f"{NAME}|twin-slow"),
        ("prepare", NAME),
        ("report", NAME),
    ]
    assert {run["tags"]["ab_assets/asked_by"] for run in runs} == {"refresh"}
    assert f"{NAME}|twin-slow" in live, "no progress of the pod was to be seen while it worked"
    jobs = seen_jobs()
    assert len([job for job in jobs if job["metadata"]["name"].startswith("dagster-run-")]) == len(runs)
    workers = [job for job in jobs if "ab-assets/model" in job["metadata"]["labels"]]
    assert sorted(job["metadata"]["labels"]["ab-assets/model"] for job in workers) == list(COMPARED)
    for job in workers:
        limits = job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert limits == {"memory": "1280Mi", "nvidia.com/gpu": "1"}
    for kind in ("jobs", "pods"):
        deployment.until(lambda kind=kind: not namespace.get(kind, "-l", SELECTOR), seconds=60)


def test_every_sensor_looks_and_none_fails(running):
    def looked():
        found = running.ui.ask(TICKS, selector=LOCATION)["sensorsOrError"]["results"]
        ticks = {
            sensor["name"]: [tick for tick in sensor["sensorState"]["ticks"] if tick["status"] != "STARTED"]
            for sensor in found
        }
        assert not [tick for every in ticks.values() for tick in every if tick["status"] == "FAILURE"], ticks
        return all(ticks.values()) and ticks

    ticks = running.deployment.until(looked, seconds=180)
    assert {"incoming_benchmarks", "refresh", "strays"} <= ticks.keys()
    assert ticks["strays"][0]["skipReason"] == "runs ended: none; Jobs removed: none"


def test_a_run_worker_that_is_killed_is_started_again_and_follows_its_pod(running, namespace):
    running.drop("tiny-killed", "twin-long")
    run_id = running.working("tiny-killed")
    [job] = jobs_of(namespace, "twin-long")
    [worker] = namespace.get("pods", "-l", f"dagster/run-id={run_id}")
    kubectl("-n", namespace.name, "exec", worker["metadata"]["name"], "--", "bash", "-c", "kill -9 -1")
    running.deployment.until(lambda: "following it" in running.ui.said(run_id), seconds=180)
    [followed] = jobs_of(namespace, "twin-long")
    assert followed["metadata"]["uid"] == job["metadata"]["uid"]
    assert running.ends(run_id) == "SUCCESS"
    running.deployment.until(lambda: running.home.store.current(Ref("report", "tiny-killed")), seconds=180)
    running.deployment.until(lambda: not namespace.get("jobs", "-l", SELECTOR), seconds=60)


def test_a_run_that_is_cancelled_lets_its_pod_save_and_is_not_asked_for_again(running, namespace):
    running.drop("tiny-cancelled", "twin-longest")
    run_id = running.working("tiny-cancelled")
    running.ui.cancel(run_id)
    assert running.ends(run_id) == "CANCELED"
    for kind in ("jobs", "pods"):
        running.deployment.until(lambda kind=kind: not namespace.get(kind, "-l", SELECTOR), seconds=300)
    assert list((running.home.root / "cache" / "unfinished").glob("*/*"))
    assert running.evaluation("tiny-cancelled")["runId"] == run_id
