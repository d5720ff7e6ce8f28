"""What every place that runs models holds: the rules are the same here and in pods."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from dagster import DagsterEventType
from tests_support import TWINS, write_specificity

from ab_assets.artifacts.store import Ref
from ab_assets.commands.intake import add_benchmark
from ab_assets.definitions import defs
from ab_assets.errors import ComputeFailedError, UnavailableError
from ab_assets.graph import PRODUCTS
from ab_assets.home import Home
from ab_assets.progress import silent
from ab_assets.training.session import ModelSession
from jobs.launching import open_instance, register, run_job
from resources.compute import LocalCompute, compute_of

NAME, MODEL = "tiny-specificity", "twin-bert"
SMALL = "needs = { gpus = 0, cpus = 0.25, memory_gib = 1.5, shm_gib = 0 }\n"
pytestmark = pytest.mark.xdist_group("cluster")
PLACES = ["local", pytest.param("kubernetes", marks=[pytest.mark.cluster, pytest.mark.long])]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Return a home with a benchmark that is prepared."""
    home = Home(tmp_path_factory.mktemp("prepared"))
    (home.root / "models").mkdir()
    models = TWINS.replace("[twin-esm]", f"{SMALL}\n[twin-esm]") + SMALL
    (home.root / "models" / "twins.toml").write_text(models)
    add_benchmark(write_specificity(tmp_path_factory.mktemp("given") / NAME), home)
    with open_instance(home) as instance:
        register(instance, [NAME])
        run_job(defs, instance, home, "prepare", NAME, progress=silent)
    return home


@pytest.fixture(params=PLACES)
def place(request, prepared):
    """Return (a new home, its compute) for each place; `settings` are of kubernetes.toml."""

    def make(settings: str = ""):
        if request.param == "local":
            root = request.getfixturevalue("tmp_path") / "home"
            subprocess.run(["cp", "-r", str(prepared.root), str(root)], check=True)
            return Home(root), LocalCompute()
        models = (prepared.root / "models" / "twins.toml").read_text()
        return request.getfixturevalue("pod_home")(settings, base=prepared.root, twins=models), compute_of("kubernetes")

    make.kind = request.param
    return make


def evaluate(home, compute, progress=silent):
    with open_instance(home) as instance:
        result = run_job(defs, instance, home, "evaluate", NAME, model=MODEL, progress=progress, compute=compute)
        return result, list(instance.all_logs(result.run_id))


def test_success_publishes_everything_and_says_what_it_cost(place):
    home, compute = place()
    result, events = evaluate(home, compute)
    assert result.error is None
    assert {made.asset for made in result.made if made.compared} == {*PRODUCTS, "model_metrics"}
    assert not any(made.reused for made in result.made)
    shown = {
        event.asset_materialization.asset_key.to_user_string(): event.asset_materialization.metadata
        for event in events
        if event.dagster_event_type is DagsterEventType.ASSET_MATERIALIZATION
    }
    for asset in PRODUCTS:
        assert shown[asset]["gpu_seconds_requested"].value == 0
        assert shown[asset]["peak_memory_gib"].value > 0
        made = home.store.require(Ref(asset, NAME, MODEL)).manifest["made"]
        assert made["gpus"] == 0


def test_what_is_there_already_is_reused_without_a_place_to_run(place, monkeypatch):
    home, compute = place()
    evaluate(home, compute)
    (home.root / "kubernetes.toml").unlink(missing_ok=True)
    monkeypatch.setattr(ModelSession, "encoder", property(lambda self: pytest.fail("weights were loaded")))
    result, _ = evaluate(home, compute)
    assert result.error is None
    assert all(made.reused for made in result.made if made.compared)


def test_an_error_of_the_work_is_the_same_with_its_traceback_in_the_log(place):
    home, compute = place()
    models = home.root / "models" / "twins.toml"
    gone = f'{{ kind = "local", directory = "nowhere", revision = "{"a" * 64}" }}'
    models.write_text(models.read_text().replace('{ kind = "twin", layers = 3, hidden = 32, seed = 1 }', gone))
    result, events = evaluate(home, compute)
    assert isinstance(result.error, UnavailableError)
    assert "nowhere" in str(result.error)
    log = "\n".join(str(event) for event in events)
    assert "Traceback" in log or "stack" in log
    assert "availability.py" in log


def test_memory_that_runs_out_is_named(place, monkeypatch):
    def ask_for_too_much(*_):
        raise MemoryError

    home, compute = place("memory_steps = []\n[models.twin-bert]\nmemory_gib = 0.1\n")
    monkeypatch.setattr(ModelSession, "embed", ask_for_too_much)
    result, _ = evaluate(home, compute)
    assert isinstance(result.error, ComputeFailedError)
    assert result.error.cause == "OutOfMemory"


def test_work_past_its_deadline_is_ended(place):
    home, compute = place("waiting = { deadline_hours = 0.0005, grace_seconds = 1 }\n")
    if place.kind == "local":
        compute = LocalCompute(deadline_hours=1e-9)
    result, _ = evaluate(home, compute)
    assert isinstance(result.error, ComputeFailedError)
    assert result.error.cause == "Deadline"


def test_progress_is_heard_while_it_works(place):
    heard = []
    home, compute = place()
    result, _ = evaluate(home, compute, lambda *said: heard.append(said))
    assert result.error is None
    assert {message.split(" ")[0] for message, _, _ in heard} >= {"loading", "epoch"}
    assert heard[-1][1] == heard[-1][2]


def test_progress_is_in_the_runs_log_when_nobody_else_hears_it(place):
    home, compute = place()
    with open_instance(home) as instance:
        result = run_job(defs, instance, home, "evaluate", NAME, model=MODEL, progress=None, compute=compute)
        log = "\n".join(event.user_message or "" for event in instance.all_logs(result.run_id))
    assert "epoch 1 of 2" in log
    assert "loading" in log


def test_cancelled_work_ends_leaves_no_half_result_and_can_be_asked_for_again(place):
    home, compute = place()
    models = home.root / "models" / "twins.toml"  # a pod works on while it is told
    models.write_text(models.read_text().replace("epochs = 2", "epochs = 30, patience = 30"))

    def cancel(message, done, total):
        if message.startswith("epoch"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(home, compute, cancel)
    assert home.store.current(Ref("predictions", NAME, MODEL)) is None
    result, _ = evaluate(home, compute)
    assert result.error is None
    assert next(made for made in result.made if made.asset == "embeddings").reused


def test_after_a_killed_run_the_next_keeps_what_was_made(place):
    home, compute = place()
    program = (
        f"import os, signal\nfrom tests_support import kill_at\nkill_at('epoch', {NAME!r}, {MODEL!r}, {place.kind!r})\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program], check=False,
        env=os.environ | {"AB_ASSETS_HOME": str(home.root), "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    result, _ = evaluate(home, compute)
    assert result.error is None
    made = [home.store.require(Ref(asset, NAME, MODEL)).manifest["made"] for asset in PRODUCTS]
    assert {one.get("attempt") for one in made} == {1}
    assert len(list((home.root / "store" / "objects" / "embeddings").iterdir())) == 1
