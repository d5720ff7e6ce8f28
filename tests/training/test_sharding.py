import functools
import json
import math
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import ranks
import torch

from ab_assets.models.loading import read_weights
from ab_assets.models.specification import LocalSource
from ab_assets.models.twins import ROBERTA_TOKENS, twin_config, twin_spec
from ab_assets.training.checkpoint import FIT_WEIGHTS, write_fit, write_record
from ab_assets.training.data import FitData
from ab_assets.training.launching import LOG, launch
from ab_assets.training.portions import Portion, portions
from ab_assets.training.recipe import Recipe
from ab_assets.training.session import ModelSession
from ab_assets.training.sharded_fit import JOB, Job, fit_in_ranks, fitted_in, run_of
from ab_assets.training.updates import rank_seed, single_updater

STAGES = (1, 2, 3)
BOTH = ("vh", "vl")
PARATOPE, SPECIFICITY = "paratope", "antigen-specificity"
# 32 antibodies or 64 chains in updates of 11 at most: ranks get unequal parts, in several passes of 100 tokens
RECIPE = {"learning_rate": 1e-2, "epochs": 2, "batch_size": 11, "max_gradient_norm": 0.5, "dropout": 0.0}
LAST = {"trainable_layers": 2}
LORA = {"method": "lora", "trainable_layers": 2, "lora_dropout": 0.0}
FITS = {
    "last": (PARATOPE, "esm", LAST),
    "last-pairs": (SPECIFICITY, "esm", LAST | {"pooling": "cls", "head": "dense", "class_weight": "balanced"}),
    "joined": (PARATOPE, "esm", LAST | {"pairing": "joined", "head": "dense"}),
    "joined-pairs": (SPECIFICITY, "esm", LAST | {"pairing": "joined"}),
    "frozen-dropout": (PARATOPE, "esm", LAST | {"frozen_dropout": True}),
    "full": (SPECIFICITY, "esm", {"method": "full"}),
    "lora": (PARATOPE, "roberta", LORA),
    "lora-all": (SPECIFICITY, "esm", LORA | {"trainable_layers": None}),
}
CASES = {
    "last-1": ("last", 1),
    "last-2": ("last", 2),
    "last-3": ("last", 3),
    "joined-2": ("joined", 2),
    "frozen-dropout-1": ("frozen-dropout", 1),
    "full-3": ("full", 3),
    "lora-2": ("lora", 2),
    "lora-all-3": ("lora-all", 3),
}
MORE_CASES = {
    "last-pairs-3": ("last-pairs", 3),
    "joined-3": ("joined", 3),
    "joined-pairs-1": ("joined-pairs", 1),
    "frozen-dropout-3": ("frozen-dropout", 3),
    "full-1": ("full", 1),
    "full-2": ("full", 2),
    "lora-3": ("lora", 3),
}
# the ranks start once
pytestmark = pytest.mark.xdist_group("ranks")


@pytest.fixture(scope="session")
def specs(tmp_path_factory):
    """The twins without dropout: what ranks draw is their own."""
    folder = tmp_path_factory.mktemp("roberta")
    twin = twin_spec("roberta")
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "model_type": "roberta"}
    (folder / "config.json").write_text(json.dumps(twin_config("roberta", twin.source, twin.max_length) | none))
    (folder / "model.safetensors").touch()  # the weights are drawn
    (folder / "vocab.txt").write_text("\n".join(ROBERTA_TOKENS))
    source = LocalSource(kind="local", directory=str(folder), initialise="random", allow_unpinned=True)
    return {"esm": twin_spec("esm"), "roberta": twin.model_copy(update={"source": source})}


@pytest.fixture(scope="session")
def job_of(rows, roles, specs):
    """Return the job of a fit."""

    def job(name, stage, states, **changes):
        task, family, recipe = FITS[name]
        recipe = Recipe(**RECIPE | recipe | changes)
        data = FitData.build(rows, roles, fit=0, task=task, chain_names=BOTH, joined=recipe.joined)
        pooled = 1 if recipe.joined and recipe.pooling == "cls" else 2
        return Job(specs[family], recipe, data, pooled, seed=1, stage=stage, budget=100, states=str(states))

    return job


@pytest.fixture(scope="session")
def alone(job_of, tmp_path_factory):
    """Every fit in this process: (run, history, loss and norm of each update)."""
    states = tmp_path_factory.mktemp("states")

    def fitted(name):
        run = run_of(job_of(name, 0, states / name), torch.device("cpu"), single_updater)
        losses = ranks.recorded(run)
        return run, run.finish(), losses

    return functools.cache(fitted)


@pytest.fixture(scope="session")
def ranked(job_of, tmp_path_factory):
    """All cases, run by two ranks that find no compiler."""
    folder = tmp_path_factory.mktemp("ranks")
    _write_jobs(folder, job_of, CASES)
    job = job_of("last", 3, folder / "states", dropout=0.1, batch_size=16)
    stopped = replace(job, budget=400, snapshots=(str(folder / "snapshots"), "key"))
    write_record(folder / "stopped" / "stopped.json", stopped.to_json())
    extensions = folder / "extensions"
    # without PATH there is no cc, c++, nvcc or ninja
    environment = {"PATH": "", "CC": "", "CXX": "", "TORCH_EXTENSIONS_DIR": str(extensions)}
    _launch(folder, environment)
    assert not extensions.exists()
    return folder


def _write_jobs(folder, job_of, cases):
    for name, case in cases.items():
        write_record(folder / name / JOB, job_of(*case, folder / name / "states").to_json())


def _launch(folder, environment, *, processes=2):
    support = {"PYTHONPATH": str(Path(ranks.__file__).parent) + ":" + str(Path(__file__).parents[2])}
    launch("ranks", folder, processes=processes, environment={**support, **environment})


def losses_in(folder, rank=0):
    return json.loads((folder / f"losses-{rank}.json").read_text())


def difference(ours, theirs):
    return max(abs(a - b) for one, two in zip(ours, theirs, strict=True) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_ranks_give_the_losses_of_one_process_at_every_step(case, ranked, alone):
    run, history, losses = alone(CASES[case][0])
    ours = fitted_in(ranked / case).history
    assert len(losses) == math.ceil(len(run.data.train) / 11) * 2
    for rank in (0, 1):
        assert difference(losses_in(ranked / case, rank), losses) < 1e-4
    for one, two in zip(ours.epochs, history.epochs, strict=True):
        assert (one.train_loss, one.validation_loss) == pytest.approx((two.train_loss, two.validation_loss), abs=1e-4)
    assert (ours.best_epoch, ours.stopped) == (history.best_epoch, history.stopped)


@pytest.mark.parametrize("case", CASES)
def test_weights_are_consolidated_under_the_names_of_one_process(case, ranked, alone):
    ours, theirs = read_weights(ranked / case / FIT_WEIGHTS), alone(CASES[case][0])[0].best
    assert {n: w.shape for n, w in ours.items()} == {n: w.shape for n, w in theirs.items()}
    for name, weight in theirs.items():
        torch.testing.assert_close(ours[name], weight, atol=1e-4, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_consolidated_weights_predict_the_same(case, ranked, job_of, rows, tmp_path):
    job = job_of(*CASES[case], "")
    session = ModelSession(job.spec, job.recipe, device="cpu")
    session.fit(job.data, job.seed, tmp_path)
    theirs = session.predict_fit(tmp_path, rows)["score"].to_torch().logit()
    record = json.loads((tmp_path / "fit.json").read_text())
    write_fit(tmp_path, fitted_in(ranked / case).weights, record, job.spec)
    ours = session.predict_fit(tmp_path, rows)["score"].to_torch().logit()
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_a_rank_holds_its_share(case, ranked, alone):
    name, stage = CASES[case]
    theirs = alone(name)[0].updater.held_bytes()
    for rank in (0, 1):
        ours = json.loads((ranked / case / f"rank-{rank}.json").read_text())
        assert ours["optimizer"] <= 0.52 * theirs.optimizer
        assert ours["parameters"] <= (0.52 if stage == 3 else 1.01) * theirs.parameters


@pytest.mark.parametrize("case", CASES)
def test_a_text_passes_frozen_layers_once_among_all_ranks(case, ranked, alone):
    run, _, _ = alone(CASES[case][0])
    ours = [json.loads((ranked / case / f"rank-{rank}.json").read_text())["passes"] for rank in (0, 1)]
    assert sum(ours) == run.trunk.passes == (len(run.data.texts()) if run.trunk.split else 0)
    assert min(ours) > 0 or not run.trunk.split


def test_ranks_that_were_stopped_go_on_from_the_newest_step_that_all_kept(ranked):
    for rank in (0, 1):
        said = json.loads((ranked / "stopped" / f"resumed-{rank}.json").read_text())
        assert said == {"same": True, "resumed": ["resumed after step 1", "resumed after step 5"]}


def test_nothing_listens_beyond_this_machine(ranked):
    for rank in (0, 1):
        assert set(json.loads((ranked / f"seen-{rank}.json").read_text())["listening"]) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("stage", STAGES)
def test_frozen_layers_of_half_precision_are_shared_beside_what_learns(stage, ranked):
    updater = ranks.tiny_updater(single_updater)
    losses = ranks.tiny_losses(updater, range(6))
    held = updater.held_bytes()
    for rank in (0, 1):
        seen = json.loads((ranked / f"seen-{rank}.json").read_text())["resumed"][str(stage)]
        assert difference(seen["losses"], losses) < 1e-5
        parameters, optimizer = seen["bytes"]
        assert optimizer < 0.52 * held.optimizer
        assert parameters < (0.52 if stage == 3 else 1.02) * held.parameters


@pytest.mark.parametrize("stage", STAGES)
def test_ranks_go_on_from_their_states_with_the_same_bits(stage, ranked):
    for rank in (0, 1):
        seen = json.loads((ranked / f"seen-{rank}.json").read_text())["resumed"][str(stage)]
        assert seen["losses"][3:] == seen["resumed"]
        assert seen["same_state"]


def test_one_process_goes_on_from_its_state_with_the_same_bits():
    updater, fresh = ranks.tiny_updater(single_updater), ranks.tiny_updater(single_updater)
    ranks.tiny_losses(updater, range(3))
    fresh.restore(updater.state())
    assert ranks.tiny_losses(fresh, range(3, 6)) == ranks.tiny_losses(updater, range(3, 6))


@pytest.mark.parametrize("stage", STAGES)
def test_gradients_that_are_no_numbers_change_no_weight(stage, ranked):
    for rank in (0, 1):
        seen = json.loads((ranked / f"seen-{rank}.json").read_text())["overflowed"][str(stage)]
        assert not math.isfinite(seen["norm"])
        assert seen["same_weights"]


def test_gradients_that_are_no_numbers_change_no_weight_of_one_process():
    updater = ranks.tiny_updater(single_updater)
    before = updater.weights()
    ((_, norm),) = ranks.tiny_losses(updater, [0], scale=float("inf"))
    assert not math.isfinite(norm)
    assert all(weight.equal(before[name]) for name, weight in updater.weights().items())


def test_a_job_survives_json(job_of):
    job = replace(job_of("joined", 2, "somewhere"), snapshots=("folder", "key"))
    again = Job.from_json(json.loads(json.dumps(job.to_json())))
    assert again.data.digest() == job.data.digest()
    assert again.snapshots == job.snapshots
    assert again.to_json() == job.to_json()


def test_a_session_shares_a_fit_and_reads_back_what_one_process_would_leave(rows, roles, tmp_path):
    said = []
    spec = twin_spec("esm")
    sharing = spec.model_copy(update={"needs": spec.needs.model_copy(update={"zero_stage": 2})})
    recipe = Recipe(**RECIPE | LAST)
    data = FitData.build(rows, roles, fit=0, task=PARATOPE, chain_names=BOTH)
    left = {}
    for name, one, options in (("alone", spec, {}), ("shared", sharing, {"ranks": 2})):
        session = ModelSession(one, recipe, device="cpu", progress=lambda *what: said.append(what[0]), **options)
        summary = session.fit(data, 1, tmp_path / name)
        assert session.trunk_passes == len(data.texts())
        record = json.loads((tmp_path / name / "fit.json").read_text())
        history = record.pop("history")
        left[name] = {k: v for k, v in record.items() if k != "validation_loss"}, history, summary
    assert left["shared"][0] == left["alone"][0]
    assert len(left["shared"][1]) == 2
    for ours, theirs in zip(left["shared"][1], left["alone"][1], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    assert left["alone"][2].placement == "one process on the CPU"
    described = left["shared"][2].placement
    assert "on each of 2 CPUs: ZeRO-2, passes of " in described
    assert said.index(described) < said.index("epoch 1 of 2", said.index(described))
    assert {f.name for f in (tmp_path / "shared").iterdir()} == {f.name for f in (tmp_path / "alone").iterdir()}


FIT = """
import json, sys
from pathlib import Path
from ab_assets.training.data import FitData
from ab_assets.training.recipe import Recipe
from ab_assets.training.session import ModelSession
from ab_assets.training.sharded_fit import JOB, Job
from ab_assets.training.snapshots import Snapshots

folder = Path(sys.argv[1])
job = Job.from_json(json.loads((folder / JOB).read_text()))
needs = job.spec.needs.model_copy(update={"zero_stage": job.stage})
spec = job.spec.model_copy(update={"needs": needs})
say = lambda *what: print(*what, flush=True)
session = ModelSession(spec, job.recipe, device="cpu", cache=folder / "cache", ranks=2, progress=say)
session.fit(job.data, job.seed, folder / "fit", snapshots=Snapshots(folder / "snapshots", key="key"))
"""


@pytest.mark.long
def test_ranks_that_are_told_to_stop_say_so_and_go_on_with_the_step_they_had(job_of, tmp_path):
    write_record(tmp_path / JOB, job_of("last", 2, "", epochs=10, patience=10).to_json())
    command = [sys.executable, "-c", FIT, str(tmp_path)]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        for line in process.stdout:
            lines.append(line)
            if line.startswith("epoch 2 of 10 3"):
                process.terminate()
    assert process.returncode == -signal.SIGTERM
    (asked,) = (line for line in lines if line.startswith("asked to stop: all is kept up to step "))
    step = int(asked.split()[-3])
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert f"resumed after step {step} 1 1" in done.stdout
    assert len([line for line in done.stdout.splitlines() if line.startswith("epoch")]) == 10 * 6 - step
    assert {file.name for file in (tmp_path / "fit").iterdir()} >= {"fit.json", "trainable.safetensors"}


@pytest.mark.long
def test_a_fit_with_dropout_runs_in_ranks_and_learns(job_of, tmp_path):
    said = []
    job = job_of("last", 3, tmp_path / "states", epochs=4, dropout=0.1)
    job = replace(job, spec=twin_spec("bert"), budget=1000)
    fitted = fit_in_ranks(job, tmp_path, processes=2, progress=lambda *what: said.append(what))
    epochs = fitted.history.epochs
    assert epochs[-1].validation_loss < epochs[0].validation_loss
    assert said[-1] == ("epoch 4 of 4", 6, 6)


@pytest.mark.long
def test_three_ranks_give_the_same_whatever_is_fitted(job_of, alone, tmp_path):
    cases = CASES | MORE_CASES
    _write_jobs(tmp_path, job_of, cases)
    _launch(tmp_path, {}, processes=3)
    for name, (fit, stage) in cases.items():
        run, _, losses = alone(fit)
        assert difference(losses_in(tmp_path / name), losses) < 1e-4, name
        held = json.loads((tmp_path / name / "rank-2.json").read_text())
        assert held["optimizer"] < 0.36 * run.updater.held_bytes().optimizer, name
        if stage == 3:
            assert held["parameters"] < 0.36 * run.updater.held_bytes().parameters, name


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("budget", [1, 30, 10_000])
def test_every_example_counts_once_and_ranks_keep_in_step(world, budget):
    lengths = [12, 7, 7, 30, 9, 14, 22]
    hands = portions(lengths, world=world, token_budget=budget)
    counted = [i for hand in hands for portion in hand if portion.counts for i in portion.indices]
    assert sorted(counted) == list(range(7))
    assert len({len(hand) for hand in hands}) == 1
    for portion in (portion for hand in hands for portion in hand):
        assert len(portion.indices) == 1 or len(portion.indices) * max(lengths[i] for i in portion.indices) <= budget


def test_ranks_get_as_many_of_as_many_tokens():
    assert portions([4, 1, 3, 2, 5], world=2, token_budget=100) == [
        [Portion((1, 2, 4))],
        [Portion((3, 0))],
    ]


def test_a_rank_without_examples_runs_the_shortest_for_nothing():
    assert portions([9, 5], world=3, token_budget=100)[2] == [Portion((1,), counts=False)]


def test_rank_0_draws_dropout_as_one_process_does():
    assert rank_seed(7, 0) == 7
    assert len({rank_seed(seed, rank) for seed in range(4) for rank in range(4)}) == 16


def test_what_ranks_print_is_in_their_log(ranked):
    assert "Traceback" not in (ranked / LOG).read_text()
