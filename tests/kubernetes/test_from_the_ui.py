"""The laptop's way: `ab-assets ui` on this machine, the models in pods, everything asked through GraphQL."""

from __future__ import annotations

import os
import re
import signal

import pytest
from live_ui import ENDED, Ui, served
from pod_models import (
    LONGER,
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

from ab_assets.graph import PRODUCTS
from ab_assets.home import Home
from resources.kubernetes.manifest import RUN

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.xdist_group("cluster")]

PARTITION = "dagster/partition"


@pytest.fixture
def shared(pod_home, prepared):
    """Return a home that pods share, with a benchmark of three models, prepared."""
    return pod_home(base=prepared, twins=MODELS)


@pytest.fixture
def ui(shared):
    log = shared.root / "ui.txt"
    with served(shared.root, log, AB_ASSETS_COMPUTE="kubernetes", OMP_NUM_THREADS="1") as found:
        yield found
        for run in found.runs():  # the code server would otherwise go on with them
            if run["status"] not in ENDED:
                found.cancel(run["runId"])
                until(lambda run=run: found.ended(run["runId"]))


def on_cpus(shared: Home) -> None:
    """Let the slow model fit for a minute or more, and wait for no GPU before that."""
    (shared.root / "models" / "twins.toml").write_text(LONGER)
    with (shared.root / "kubernetes.toml").open("a") as out:
        out.write("[models.twin-slow]\ngpus = 0\n")


def evaluate(ui: Ui, model: str) -> str:
    """Ask for all of a model, as its partition's button does, and return the run's id."""
    tags = {PARTITION: f"{NAME}|{model}", f"{PARTITION}/benchmark": NAME, f"{PARTITION}/model": model}
    return ui.start("evaluate", [*PRODUCTS, "model_metrics"], tags, {})


def working(ui: Ui, shared: Home, run_id: str) -> None:
    """Wait until the run's pod is in an epoch."""
    begun = in_an_epoch(shared)

    def looks():
        if ui.ended(run_id):
            pytest.fail(f"the run ended first: {ui.said(run_id)}")
        return begun()

    until(looks, seconds=300)


def ends(ui: Ui, run_id: str, seconds: float = 400) -> str:
    """Return how a run ends."""
    until(lambda: ui.ended(run_id), seconds=seconds)
    return ui.status(run_id)


def test_a_backfill_runs_each_model_in_a_job_of_its_own_size_and_makes_what_this_machine_makes(
    ui, shared, namespace, pod_home, prepared
):
    backfill_id = ui.backfill("evaluate", [f"{NAME}|{model}" for model in SIZES])
    until(lambda: len(namespace.get("jobs")) == len(SIZES), seconds=180)
    assert memory_by_model(namespace.get("jobs")) == {
        "twin-bert": "1536Mi",
        "twin-esm": "1280Mi",
        "twin-slow": "1792Mi",
    }

    def waits():
        return any("waiting: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu" in ui.said(one) for one in runs())

    def runs():
        return [run["runId"] for run in ui.runs() if run["jobName"] == "evaluate"]

    until(waits)
    backfill = until(lambda: ui.backfilled(backfill_id), seconds=300)
    assert [run["status"] for run in backfill["runs"]] == ["SUCCESS"] * len(SIZES)
    nothing_is_left(namespace, shared)
    mine = pod_home(base=prepared, twins=MODELS)
    here = Command(mine, *SIZES, compute="local")
    assert here.ended() == 0, here.said
    for model in SIZES:
        assert digests(shared, model) == digests(mine, model)


def test_cancelling_a_run_lets_its_pod_save_and_takes_job_and_pod_away(ui, shared, namespace):
    on_cpus(shared)
    run_id = evaluate(ui, "twin-slow")
    working(ui, shared, run_id)
    ui.cancel(run_id)
    assert ends(ui, run_id) == "CANCELED"
    until(lambda: not namespace.get("jobs") and not namespace.get("pods"), seconds=60)
    assert list((shared.root / "cache" / "unfinished").glob("*/*"))
    again = evaluate(ui, "twin-slow")
    assert ends(ui, again) == "SUCCESS"
    assert went_on(ui.said(again))
    nothing_is_left(namespace, shared)


def test_a_run_whose_process_is_killed_fails_and_the_next_follows_its_pod(ui, shared, namespace):
    on_cpus(shared)
    run_id = evaluate(ui, "twin-slow")
    working(ui, shared, run_id)
    [pod] = pods_of(namespace, "twin-slow")
    [found] = set(re.findall(r"run_worker.*?pid: (\d+)|process for run \(pid: (\d+)\)", ui.said(run_id)))
    os.kill(int(next(filter(None, found))), signal.SIGKILL)
    assert ends(ui, run_id) == "FAILURE"
    [job] = jobs_of(namespace, "twin-slow")
    again = ui.start_again(run_id)
    until(lambda: "is there already: following it" in ui.said(again))
    [followed] = jobs_of(namespace, "twin-slow")
    assert followed["metadata"]["uid"] == job["metadata"]["uid"]
    assert followed["metadata"]["labels"][RUN] == again
    [same] = pods_of(namespace, "twin-slow")
    assert same["metadata"]["uid"] == pod["metadata"]["uid"]
    assert ends(ui, again) == "SUCCESS"
    nothing_is_left(namespace, shared)


def test_an_error_of_the_work_shows_its_traceback_in_the_runs_events(ui, shared, namespace):
    gone = f'source = {{ kind = "local", directory = "nowhere", revision = "{"a" * 64}" }}'
    twin = 'source = { kind = "twin", layers = 3, hidden = 32, seed = 1 }'
    (shared.root / "models" / "twins.toml").write_text(MODELS.replace(twin, gone))
    run_id = evaluate(ui, "twin-bert")
    assert ends(ui, run_id) == "FAILURE"
    said = ui.said(run_id)
    assert "nowhere" in said
    assert "Traceback (most recent call last)" in said
    assert "/ab_assets/worker.py" in said
    nothing_is_left(namespace, shared)
