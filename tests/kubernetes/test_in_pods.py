"""Models run in pods of a real cluster, started by the command as its user starts it."""

from __future__ import annotations

import json

import pytest
from pod_cluster import kubectl, pod_image, pod_template
from pod_models import (
    MODELS,
    NAME,
    SIZES,
    Command,
    digests,
    in_an_epoch,
    jobs_of,
    memory_by_model,
    nothing_is_left,
    pods_of,
    until,
    went_on,
)
from tests_support import ab_assets

from ab_assets.artifacts.store import Ref
from ab_assets.definitions import defs
from ab_assets.errors import ComputeFailedError
from ab_assets.home import Home
from ab_assets.progress import silent
from jobs.launching import open_instance, run_job
from resources import runs
from resources.kubernetes.backend import KubernetesCompute
from resources.kubernetes.cluster import connect
from resources.kubernetes.installation import read_installation
from resources.kubernetes.sweeping import sweep_jobs

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


@pytest.fixture
def home(pod_home, prepared):
    """Return a function that makes such a home for pods."""
    return lambda settings="": pod_home(settings, base=prepared, twins=MODELS)


@pytest.fixture
def materialize():
    """Return a function that starts `ab-assets materialize` for some models of a home."""
    started = []

    def start(home: Home, *models: str, compute: str = "kubernetes") -> Command:
        started.append(Command(home, *models, compute=compute))
        return started[-1]

    yield start
    for command in started:
        command.stop()


def failure(home: Home) -> ComputeFailedError:
    """Return the error of an evaluation in this process."""
    with open_instance(home) as instance:
        result = run_job(
            defs, instance, home, "evaluate", NAME, model="twin-bert", progress=silent, compute=KubernetesCompute()
        )
    assert isinstance(result.error, ComputeFailedError)
    return result.error


def runs_log(home: Home) -> str:
    """Return every event that Dagster keeps of this home's runs."""
    with open_instance(home) as instance:
        records = [event for run in instance.get_runs() for event in instance.all_logs(run.run_id)]
    return "\n".join(str(event) for event in records)


def test_each_model_has_a_job_of_its_own_size_the_third_waits_and_all_make_what_this_machine_makes(
    home, namespace, materialize
):
    shared = home()
    command = materialize(shared, *SIZES)
    until(lambda: len(namespace.get("jobs")) == 3, of=command)
    assert memory_by_model(namespace.get("jobs")) == {
        "twin-bert": "1536Mi",
        "twin-esm": "1280Mi",
        "twin-slow": "1792Mi",
    }
    until(lambda: "waiting: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu" in runs_log(shared), of=command)
    assert command.ended() == 0, command.said
    nothing_is_left(namespace, shared)
    mine = home()
    here = materialize(mine, *SIZES, compute="local")
    assert here.ended() == 0, here.said
    for model in SIZES:
        assert digests(shared, model) == digests(mine, model)
    made = shared.store.require(Ref("predictions", NAME, "twin-esm")).manifest["made"]
    assert made["gpus"] == 1
    assert made["memory_gib_requested"] == 1.25
    assert made["queue_seconds"] >= 0
    assert made["start_seconds"] > 0
    assert made["gpu_seconds_requested"] == pytest.approx(made["seconds"], abs=0.01)


@pytest.mark.long
def test_a_pod_deleted_under_it_is_followed_by_one_that_goes_on(home, namespace, materialize):
    shared = home()
    command = materialize(shared, "twin-slow")
    until(in_an_epoch(shared), of=command)
    (pod,) = pods_of(namespace, "twin-slow")
    kubectl("-n", namespace.name, "delete", "pod", pod["metadata"]["name"], "--wait=false")
    assert command.ended() == 0, command.said
    log = runs_log(shared)
    assert "-1 ended: Deleted" in log or "-1 ended: Interrupted" in log
    assert shared.store.require(Ref("fine_tuned_checkpoint", NAME, "twin-slow")).manifest["made"]["attempt"] == 2
    assert went_on(log)
    nothing_is_left(namespace, shared)


def test_a_preempted_pod_waits_for_room_and_goes_on_from_its_checkpoint(home, namespace, materialize):
    priority = f"{namespace.name}-first"
    kubectl("create", "priorityclass", priority, "--value=1000")
    try:
        shared = home()
        command = materialize(shared, "twin-slow")
        until(in_an_epoch(shared), of=command)
        namespace.apply(greedy_pod(priority, gpus=2))
        until(lambda: namespace.get("pods", "-l", "who=greedy", "--field-selector=status.phase=Running"), of=command)
        until(lambda: namespace.get("pods", "-l", "ab-assets/attempt=2"), of=command)
        kubectl("-n", namespace.name, "delete", "pod", "greedy", "--now")
        assert command.ended() == 0, command.said
    finally:
        kubectl("delete", "priorityclass", priority)
    log = runs_log(shared)
    assert "-1 ended: Preempted" in log
    assert went_on(log)
    nothing_is_left(namespace, shared)


@pytest.mark.long
def test_a_pod_out_of_memory_gets_the_next_memory_step_and_then_succeeds(home, namespace, materialize):
    shared = home("memory_steps = [8]\n[models.twin-bert]\nmemory_gib = 0.2\n")
    command = materialize(shared, "twin-bert")
    assert command.ended() == 0, command.said
    assert "-1 ended: OutOfMemory: the container used more than its limit of 205Mi" in runs_log(shared)
    made = shared.store.require(Ref("predictions", NAME, "twin-bert")).manifest["made"]
    assert (made["attempt"], made["memory_gib_requested"]) == (2, 1.6)
    nothing_is_left(namespace, shared)


CANNOT_START = {  # without a GPU, except where it is about GPUs: others may hold them
    "image = 'registry.invalid/none:1'": ("ImagePull", "registry.invalid/none:1"),
    "image = 'No:Image:Name'": ("ImagePull", "InvalidImageName"),
    "gpus = 5": ("Unschedulable", "Insufficient nvidia.com/gpu"),
    "runtime_class = 'none-such'": ("Refused", "none-such"),
    "node_selector = {'a b' = 'c'}": ("InvalidSpec", "a b"),
}


@pytest.mark.long
def test_a_pod_that_cannot_start_ends_in_its_cause_without_another(home, namespace):
    shared = home("waiting = { schedule_minutes = 0.5, trouble_minutes = 0.1, grace_seconds = 1 }\n")
    settings = (shared.root / "kubernetes.toml").read_text()
    for line, (cause, detail) in CANNOT_START.items():
        (shared.root / "kubernetes.toml").write_text(
            f"{settings}[models.twin-bert]\n{line}\n{'' if 'gpus' in line or 'runtime' in line else 'gpus = 0'}\n"
        )
        error = failure(shared)
        assert error.cause == cause, line
        assert f"the pod ended: {cause} (attempt 1)" in str(error)
        assert detail in str(error)
    nothing_is_left(namespace, shared)


@pytest.mark.long
def test_memory_is_raised_twice_at_most(home, namespace):
    shared = home("memory_steps = [1.1, 1.2]\n[models.twin-bert]\nmemory_gib = 0.1\n")
    error = failure(shared)
    assert "the pod ended: OutOfMemory (attempt 3, after OutOfMemory, OutOfMemory)" in str(error)
    assert "memory_gib of the model in kubernetes.toml" in str(error)
    nothing_is_left(namespace, shared)


@pytest.mark.long
def test_what_a_pod_did_while_nobody_followed_it_counts_and_is_swept(home, namespace, materialize, monkeypatch):
    shared = home()
    command = materialize(shared, "twin-bert")
    until(lambda: pods_of(namespace, "twin-bert"), of=command)
    command.stop()
    until(lambda: jobs_of(namespace, "twin-bert")[0]["status"].get("succeeded"))
    again = materialize(shared, "twin-bert")
    assert again.ended() == 0, again.said
    assert "twin-bert: 1 made, 5 reused" in again.said  # model_metrics
    (stray,) = jobs_of(namespace, "twin-bert")
    monkeypatch.setattr(runs, "_RESPITE_SECONDS", 0.0)
    with open_instance(shared) as instance:
        assert len(runs.end_dead_runs(instance)) == 1
        cluster = connect(read_installation(shared))
        swept = sweep_jobs(cluster, shared.root, lambda run_id: runs.is_gone(instance, run_id))
    assert swept == [stray["metadata"]["name"]]
    nothing_is_left(namespace, shared)


@pytest.mark.long
def test_other_resources_and_images_reuse_every_artifact(home, namespace, materialize):
    shared = home()
    command = materialize(shared, "twin-bert")
    assert command.ended() == 0, command.said
    before = digests(shared, "twin-bert")
    with (shared.root / "kubernetes.toml").open("a") as out:
        out.write("[models.twin-bert]\ngpus = 2\nmemory_gib = 3\nimage = 'registry.invalid/other:2'\n")
    again = materialize(shared, "twin-bert")
    assert again.ended() == 0, again.said
    assert "twin-bert: 0 made, 6 reused" in again.said
    assert digests(shared, "twin-bert") == before
    stale = [row for row in json.loads(ab_assets(shared.root, "plan", NAME, "--json")) if row["status"] != "fresh"]
    assert {row["model"] for row in stale} <= {"twin-esm", "twin-slow", None}


def greedy_pod(priority: str, *, gpus: int) -> dict:
    template = pod_template()
    container = template["containers"][0] | {
        "image": pod_image(), "command": ["sleep", "3600"], "resources": {"limits": {"nvidia.com/gpu": str(gpus)}},
    }  # fmt: skip
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "greedy", "labels": {"who": "greedy"}},
        "spec": template | {"containers": [container], "priorityClassName": priority, "restartPolicy": "Never"},
    }  # fmt: skip
