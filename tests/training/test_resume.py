"""A fit that was interrupted at any moment ends with the bytes that it would have had."""

from __future__ import annotations

import functools
import math
import pickle
import random
import shutil
import signal
from dataclasses import replace

import pytest
import torch
from damage import KINDS, damage
from fit_server import COUNTED, FitServer

from ab_assets.artifacts.store import Ref
from ab_assets.home import Home
from ab_assets.models.twins import twin_spec
from ab_assets.training import loop
from ab_assets.training.data import FitData
from ab_assets.training.heads import TunedModel
from ab_assets.training.recipe import Recipe
from ab_assets.training.session import ModelSession
from ab_assets.training.snapshots import Snapshots

pytestmark = pytest.mark.xdist_group("resume")

RECIPE = {"trainable_layers": 1, "learning_rate": 4e-2, "epochs": 4, "batch_size": 6, "patience": 2}
ALWAYS, AT_EPOCHS = -1, 1e9  # seconds between snapshots
FROZEN, LEARNING = COUNTED[1:3], (COUNTED[0], *COUNTED[3:])
BOTH = ("vh", "vl")


def steps_of(said):
    return [line["progress"] for line in said if line.get("progress", [""])[0].startswith("epoch")]


def lines_of(said):
    return [line["progress"][0] for line in said if "progress" in line]


class Fits:
    """Runs fits of one sort in folders of their own, and what an uninterrupted one leaves."""

    def __init__(self, server, folder, rows, roles, *, task, **recipe):
        self._server, self._folder = server, folder
        data = FitData.build(rows, roles, fit=0, task=task, chain_names=BOTH, joined=recipe.get("pairing") == "joined")
        if task == "paratope":
            data = replace(data, train=data.train[:36])
        (folder / "data").write_bytes(pickle.dumps(data))
        rows.write_parquet(folder / "rows")
        self._recipe = RECIPE | recipe
        code, said = self.run("whole", stop={})
        assert code == 0
        self.whole, self.seen = self.left("whole"), said[-1]["seen"]
        self.steps = len(steps_of(said))

    def run(self, name, *, stop=None, seconds=ALWAYS):
        inputs = {"data": str(self._folder / "data"), "rows": str(self._folder / "rows"), "recipe": self._recipe}
        own = {"folder": str(self._folder / name), "stop": stop, "seconds": seconds}
        return self._server.run({"kind": "fit", "seed": 1} | inputs | own)

    def left(self, name):
        return {file.name: file.read_bytes() for file in (self._folder / name / "fit").iterdir()}

    def killed(self, name, draw, kills):
        """Kill a fit `kills` times on its way to the end; return within what, and what it left."""
        places = []
        for number in range(kills):
            within = draw.choice(FROZEN if number == 0 else LEARNING)
            stop = {"within": within, "events": draw.randint(1, self.seen[within] // 8)}
            code, _ = self.run(name, stop=stop, seconds=draw.choice([ALWAYS, ALWAYS, AT_EPOCHS]))
            if code == 0:
                break
            assert code == -signal.SIGKILL, (name, stop, code)
            places.append(within)
        else:
            assert self.run(name)[0] == 0
        return places, self.left(name)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    one = FitServer(tmp_path_factory.mktemp("home"))
    yield one
    one.close()


@pytest.fixture(scope="module")
def specificity(server, tmp_path_factory, rows, roles):
    return Fits(server, tmp_path_factory.mktemp("specificity"), rows, roles, task="antigen-specificity")


@pytest.fixture(scope="module")
def paratopes(server, tmp_path_factory, rows, roles):
    folder = tmp_path_factory.mktemp("paratopes")
    return Fits(server, folder, rows, roles, task="paratope", pairing="joined", class_weight="balanced")


def test_eight_kills_in_the_midst_of_a_fit_change_no_byte(specificity):
    places, left = specificity.killed("eight", random.Random(1), 8)
    assert specificity.steps >= 18
    assert len(places) == 8
    assert left == specificity.whole


@pytest.mark.long
def test_a_hundred_kills_in_the_midst_of_fits_change_no_byte(specificity, paratopes):
    places = []
    for seed in range(100):
        fits = (specificity, paratopes)[seed % 2]
        killed, left = fits.killed(f"hundred-{seed}", random.Random(seed), min(12, 100 - len(places)))
        assert left == fits.whole, (seed, killed)
        places += killed
        if len(places) == 100:
            break
    assert len(places) == 100
    assert set(places) == set(COUNTED)


@pytest.mark.parametrize(
    "after",
    [["epoch 1 of 4", 3, 6], ["epoch 1 of 4", 6, 6], ["epoch 4 of 4", 6, 6], "validation_loss", "Snapshots.save"],
    ids=str,
)
def test_a_fit_that_is_told_to_stop_says_so_and_goes_on_with_the_step_it_had(specificity, after):
    name = f"told-{after}"
    stop = {"after": after} if isinstance(after, list) else {"within": after, "events": 200}
    seconds = ALWAYS if after == "Snapshots.save" else AT_EPOCHS
    code, said = specificity.run(name, stop=stop | {"number": signal.SIGTERM}, seconds=seconds)
    assert code == -signal.SIGTERM
    asked, *_ = said[-1]["progress"]
    assert asked.startswith("asked to stop: all is kept up to step ")
    code, said = specificity.run(name)
    assert code == 0
    assert [f"resumed after step {asked.split()[-1]}", 1, 1] in [line.get("progress") for line in said]
    assert specificity.left(name) == specificity.whole
    assert len(steps_of(said)) == specificity.steps - int(asked.split()[-1])


class Stopped(BaseException):
    """Ends a fit of this process as a kill would: nothing in between catches it."""


class FitHere:
    """A fit of this process that can be stopped after a line of progress; it saves after every step."""

    def __init__(self, monkeypatch, rows, roles, task="antigen-specificity", **recipe):
        monkeypatch.setattr(loop, "SECONDS_BETWEEN_SNAPSHOTS", ALWAYS)
        joined = recipe.get("pairing") == "joined"
        self._rows = rows
        self._data = FitData.build(rows, roles, fit=0, task=task, chain_names=BOTH, joined=joined)
        self._recipe = Recipe(**{"learning_rate": 1e-2, "epochs": 2, "batch_size": 11} | recipe)
        self._stop, self.said = None, []
        self.renew()

    def renew(self):
        """Forget everything that a process remembers."""
        spec = twin_spec("bert", layers=2, hidden=16)
        self._session = ModelSession(spec, self._recipe, device="cpu", progress=self._progress)

    def run(self, folder, snapshots=None, *, stop=None):
        """Return what the fit left, or where it was stopped nothing."""
        self._stop, self.said = stop, []
        kept = None if snapshots is None else Snapshots(snapshots, key="k")
        try:
            self._session.fit(self._data, 1, folder, snapshots=kept)
        except Stopped:
            return {}
        self._session.predict_fit(folder, self._rows).write_parquet(folder / "predictions.parquet")
        return {file.name: file.read_bytes() for file in folder.iterdir()}

    def _progress(self, message, done, total):
        self.said.append(message)
        if self._stop is not None and self._stop(message, done):
            raise Stopped


@pytest.fixture
def fit_here(monkeypatch, rows, roles):
    return functools.partial(FitHere, monkeypatch, rows, roles)


def test_after_200_corruptions_of_the_newest_snapshot_the_fit_goes_on_from_the_older(fit_here, tmp_path):
    fit = fit_here(trainable_layers=1, epochs=3)
    whole = fit.run(tmp_path / "whole")
    good = tmp_path / "good"
    fit.run(tmp_path / "unfinished", good, stop=lambda message, done: (message, done) == ("epoch 2 of 3", 3))
    older, newest = sorted(path for path in good.iterdir() if path.is_dir())
    assert (older.name, newest.name) == ("00000004-step-4", "00000005-step-5")
    finished = 0
    for seed in range(200):
        folder = tmp_path / f"spoiled-{seed}"
        shutil.copytree(good, folder)
        spoiled = damage(folder / newest.name, folder / older.name, KINDS[seed % len(KINDS)], random.Random(seed))
        to_the_end = seed % 21 == 0
        left = fit.run(folder / "fit", folder, stop=lambda *_, go=to_the_end: not go and "resumed" in fit.said[-1])
        assert [line for line in fit.said if line.startswith("resumed")] == ["resumed after step 4"], (seed, spoiled)
        assert left == (whole if to_the_end else {}), (seed, spoiled)
        finished += bool(left)
        shutil.rmtree(folder)
    assert finished == 10


RECIPES = {
    "last layers": {"trainable_layers": 1},
    "full": {"method": "full"},
    "lora": {"method": "lora"},
    "frozen dropout": {"trainable_layers": 1, "frozen_dropout": True},
    "dense on cls": {"trainable_layers": 1, "head": "dense", "pooling": "cls"},
    "bf16": {"trainable_layers": 1, "cpu_precision": "bf16"},
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("pairing", ["separate", "joined"])
@pytest.mark.parametrize("task", ["antigen-specificity", "paratope"])
def test_every_recipe_goes_on_to_the_same_bytes(fit_here, tmp_path, task, pairing, recipe):
    fit = fit_here(task, pairing=pairing, **RECIPES[recipe])
    whole = fit.run(tmp_path / "whole")
    for epoch, step in ((1, 2), (2, 3)):
        fit.renew()
        line = f"epoch {epoch} of 2", step
        assert fit.run(tmp_path / "fit", tmp_path / "snapshots", stop=lambda *said, line=line: said == line) == {}
    fit.renew()
    assert fit.run(tmp_path / "fit", tmp_path / "snapshots") == whole
    assert "epoch 1 of 2" not in fit.said


@pytest.fixture
def unfitted(made, tmp_path):
    """A home in which all is made but the fits of tiny-specificity."""
    shutil.copytree(made.root, tmp_path / "home")
    home = Home(tmp_path / "home")
    for folder in (*home.store.root.glob("*/*checkpoint"), home.store.root / "objects" / "fit", home.cache / "states"):
        shutil.rmtree(folder)
    return home


def test_a_run_that_is_killed_reuses_finished_fits_and_goes_on_with_the_unfinished_one(server, made, unfitted):
    wanted = ("fine_tuned_checkpoint", "shuffled_label_checkpoint")
    whole = {asset: made.store.require(Ref(asset, "tiny-specificity", "twin-bert")) for asset in wanted}
    (first,) = whole["fine_tuned_checkpoint"].metadata["fits_in_detail"]
    steps = math.ceil(first["train_examples"] / 8)

    def run(stop=None):
        asked = {"benchmark": "tiny-specificity", "model": "twin-bert", "wanted": wanted}
        return server.run({"kind": "work", "home": str(unfitted.root), "seconds": ALWAYS, "stop": stop} | asked)

    code, said = run({"after": ["epoch 2 of 2", 2, steps]})  # in the first fit
    assert code == -signal.SIGKILL
    code, said = run({"within": "Snapshots.clear", "events": 3})  # when it is published
    assert code == -signal.SIGKILL
    assert f"resumed after step {steps + 1}" in lines_of(said)
    assert len(steps_of(said)) == steps - 1
    code, said = run({"after": ["epoch 2 of 2", 1, steps], "number": signal.SIGTERM})  # in the second
    assert code == -signal.SIGTERM
    assert lines_of(said)[-1] == f"asked to stop: all is kept up to step {steps + 1}"
    assert len(steps_of(said)) == steps + 1
    code, said = run()
    assert code == 0
    assert len(steps_of(said)) == steps - 1
    assert {line["asset"]: line["digest"] for line in said if "asset" in line} == {
        asset: artifact.digest for asset, artifact in whole.items()
    }
    assert not list((unfitted.cache / "unfinished").iterdir())


def test_a_fit_that_moves_to_another_device_keeps_what_it_learnt_and_takes_the_budget_of_its_own(fit_here, tmp_path):
    fit = fit_here(trainable_layers=1)
    fit.run(tmp_path / "fit", tmp_path / "snapshots", stop=lambda message, done: done == 3)
    kept = Snapshots(tmp_path / "snapshots", key="k")
    found = kept.newest()
    tensors = {name: tensor for name, tensor in found.tensors.items() if name != "random.cpu"}
    kept.save(found.step, tensors, found.state | {"device": "cuda", "budget": 1})
    assert fit.run(tmp_path / "fit", tmp_path / "snapshots")
    assert fit.said[0] == "resumed after step 2"
    assert Snapshots(tmp_path / "snapshots", key="k").newest().state["budget"] == 2048


def test_a_fit_that_ran_out_of_memory_goes_on_in_the_parts_that_fitted(fit_here, tmp_path, monkeypatch):
    forward = TunedModel.forward

    def limited(model, texts):
        if model.training and texts[0].ids.numel() > 100:
            raise torch.OutOfMemoryError
        return forward(model, texts)

    monkeypatch.setattr(TunedModel, "forward", limited)
    fit = fit_here(trainable_layers=1)
    whole = fit.run(tmp_path / "whole")
    assert [line for line in fit.said if line.startswith("out of memory")]
    assert fit.run(tmp_path / "fit", tmp_path / "snapshots", stop=lambda *said: said == ("epoch 2 of 2", 2)) == {}
    assert fit.run(tmp_path / "fit", tmp_path / "snapshots") == whole
    assert not [line for line in fit.said if line.startswith("out of memory")]
