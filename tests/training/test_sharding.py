import json
import math
from pathlib import Path

import pytest
import ranks
import torch

from ab_assets.models.loading import read_weights
from ab_assets.models.twins import twin_spec
from ab_assets.training.checkpoint import FIT_WEIGHTS, write_record
from ab_assets.training.data import FitData
from ab_assets.training.launching import LOG, launch
from ab_assets.training.portions import Portion, portions
from ab_assets.training.recipe import Recipe
from ab_assets.training.session import ModelSession
from ab_assets.training.sharded_fit import JOB, Job, fit_alone, fit_in_ranks
from ab_assets.training.sharding import rank_seed
from ab_assets.training.updates import single_updater

STAGES = (1, 2, 3)
# 32 antibodies or 64 chains in updates of 11 at most: ranks get unequal parts, in several passes of 100 tokens
RECIPE = {"trainable_layers": 2, "learning_rate": 1e-2, "epochs": 2, "batch_size": 11, "max_gradient_norm": 0.5}
CASES = {
    "paratope-rerun-1": ("paratope", "rerun", 1),
    "paratope-rerun-2": ("paratope", "rerun", 2),
    "paratope-rerun-3": ("paratope", "rerun", 3),
    "paratope-kept-1": ("paratope", "kept", 1),
    "paratope-kept-3": ("paratope", "kept", 3),
    "antigen-specificity-rerun-3": ("antigen-specificity", "rerun", 3),
}
# the ranks start once
pytestmark = pytest.mark.xdist_group("ranks")


def job_of(rows, roles, task, frozen, stage, **changes):
    data = FitData.build(rows, roles, fit=0, task=task, chain_names=("vh", "vl"))
    recipe = Recipe(**RECIPE | {"dropout": 0.0} | changes)
    return Job(twin_spec("esm"), recipe, seed=1, data=data, stage=stage, token_budget=100, frozen=frozen)


@pytest.fixture(scope="session")
def alone(rows, roles):
    """The fits in one process, by (task, frozen)."""
    pairs = {(task, frozen) for task, frozen, _ in CASES.values()}
    return {pair: fit_alone(job_of(rows, roles, *pair, stage=0)) for pair in pairs}


@pytest.fixture(scope="session")
def ranked(rows, roles, tmp_path_factory):
    """All cases, run by two ranks that find no compiler."""
    folder = tmp_path_factory.mktemp("ranks")
    for name, case in CASES.items():
        write_record(folder / name / JOB, job_of(rows, roles, *case).to_json())
    extensions = folder / "extensions"
    # without PATH there is no cc, c++, nvcc or ninja
    environment = {"PATH": "", "CC": "", "CXX": "", "TORCH_EXTENSIONS_DIR": str(extensions)}
    _launch(folder, environment)
    assert not extensions.exists()
    return folder


def _launch(folder, environment, *, processes=2):
    support = {"PYTHONPATH": str(Path(ranks.__file__).parent) + ":" + str(Path(__file__).parents[2])}
    launch("ranks", folder, processes=processes, environment={**support, **environment})


def losses_in(folder):
    return json.loads((folder / "losses.json").read_text())


def difference(ours, theirs):
    return max(abs(a - b) for one, two in zip(ours, theirs, strict=True) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_ranks_give_the_losses_of_one_process_at_every_step(case, ranked, alone):
    ours, theirs = losses_in(ranked / case), alone[CASES[case][:2]].losses
    assert len(ours["updates"]) == (12 if case.startswith("paratope") else 6)
    assert difference(ours["updates"], theirs.updates) < 1e-5
    assert ours["validation"] == pytest.approx(theirs.validation, abs=1e-5)
    assert (ours["best_epoch"], ours["stopped"]) == (theirs.best_epoch, theirs.stopped)


@pytest.mark.parametrize("case", CASES)
def test_weights_are_consolidated_under_the_names_of_one_process(case, ranked, alone):
    ours, theirs = read_weights(ranked / case / FIT_WEIGHTS), alone[CASES[case][:2]].updater.weights()
    assert {n: w.shape for n, w in ours.items()} == {n: w.shape for n, w in theirs.items()}
    for name, weight in theirs.items():
        torch.testing.assert_close(ours[name], weight, atol=1e-4, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_consolidated_weights_predict_the_same(case, ranked, rows, roles, tmp_path):
    job = job_of(rows, roles, *CASES[case])
    session = ModelSession(job.spec, device="cpu")
    session.fit(job.data, job.recipe, job.seed, tmp_path)
    theirs = session.predict_fit(tmp_path, rows)["score"].to_torch().logit()
    (tmp_path / FIT_WEIGHTS).write_bytes((ranked / case / FIT_WEIGHTS).read_bytes())
    ours = session.predict_fit(tmp_path, rows)["score"].to_torch().logit()
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_a_rank_holds_its_share(case, ranked, alone):
    task, frozen, stage = CASES[case]
    theirs = alone[task, frozen].updater.held_bytes()
    for rank in (0, 1):
        ours = json.loads((ranked / case / f"rank-{rank}.json").read_text())
        assert ours["optimizer"] <= 0.51 * theirs.optimizer
        assert ours["parameters"] <= (0.51 if stage == 3 else 1.01) * theirs.parameters


@pytest.mark.parametrize("case", [case for case in CASES if "-kept-" in case])
def test_kept_states_take_one_pass_per_chain_among_all_ranks(case, ranked, alone, rows, roles):
    chains = len(job_of(rows, roles, *CASES[case]).data.sequences())
    ours = [json.loads((ranked / case / f"rank-{rank}.json").read_text())["passes"] for rank in (0, 1)]
    assert sum(ours) == alone[CASES[case][:2]].model.passes == chains
    assert min(ours) > 0


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


@pytest.mark.parametrize("task", ["paratope", "antigen-specificity"])
def test_one_process_gives_the_losses_of_the_loop(task, alone, rows, roles, tmp_path):
    job = job_of(rows, roles, task, "kept", 0)
    ModelSession(job.spec, device="cpu").fit(job.data, job.recipe, job.seed, tmp_path)
    record = json.loads((tmp_path / "fit.json").read_text())
    losses = [epoch["validation_loss"] for epoch in record["history"]]
    assert alone[task, "rerun"].losses.validation == pytest.approx(losses, abs=1e-5)


def test_a_job_survives_json(rows, roles):
    job = job_of(rows, roles, "paratope", "kept", 2)
    again = Job.from_json(json.loads(json.dumps(job.to_json())))
    assert again.data.digest() == job.data.digest()
    assert again.to_json() == job.to_json()


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("family", ["bert", "esm"])
def test_a_fit_with_dropout_runs_in_ranks_and_learns(family, stage, rows, roles, tmp_path):
    recipe = Recipe(**RECIPE | {"epochs": 4, "dropout": 0.1})
    data = FitData.build(rows, roles, fit=0, task="paratope", chain_names=("vh", "vl"))
    job = Job(twin_spec(family), recipe, seed=1, data=data, stage=stage, token_budget=1000)
    said = []
    losses = fit_in_ranks(job, tmp_path, processes=2, progress=lambda *what: said.append(what))
    assert losses.validation[-1] < losses.validation[0]
    assert said[-1] == ("epoch 4 of 4", 6, 6)


@pytest.mark.long
def test_three_ranks_give_the_same(rows, roles, alone, tmp_path):
    for name, case in CASES.items():
        write_record(tmp_path / name / JOB, job_of(rows, roles, *case).to_json())
    _launch(tmp_path, {}, processes=3)
    for name, (task, frozen, stage) in CASES.items():
        one = alone[task, frozen]
        assert difference(losses_in(tmp_path / name)["updates"], one.losses.updates) < 1e-5
        held = json.loads((tmp_path / name / "rank-2.json").read_text())
        assert held["optimizer"] < 0.35 * one.updater.held_bytes().optimizer
        if stage == 3:
            assert held["parameters"] < 0.35 * one.updater.held_bytes().parameters


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
