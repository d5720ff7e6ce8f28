"""One load of a model makes the same bytes whatever ran before it in this process and whatever was kept."""

from __future__ import annotations

import polars as pl
import pytest
from tests_support import SPECIFICITY, TWINS, write_specificity

from ab_assets.artifacts.store import Ref
from ab_assets.commands.intake import add_benchmark
from ab_assets.definitions import defs
from ab_assets.graph import PRODUCTS
from ab_assets.home import Home
from ab_assets.plan import question_now
from ab_assets.products import products_for
from ab_assets.progress import silent
from ab_assets.training import products
from ab_assets.training.products import CHECKPOINTS
from ab_assets.work import Work, run_work
from jobs.launching import open_instance, register, run_job


@pytest.mark.parametrize("benchmark", ["tiny-specificity", "tiny-paratope"])
@pytest.mark.parametrize("wanted", [PRODUCTS, ("shuffled_label_checkpoint",), ("predictions",)])
def test_made_again_in_whatever_company_it_has_the_same_bytes(made, benchmark, wanted):
    before = {asset: made.store.require(Ref(asset, benchmark, "twin-bert")).digest for asset in wanted}
    outcomes = list(run_work(made, Work(benchmark, "twin-bert", frozenset(wanted), force=True), silent))
    assert {outcome.ref.asset: outcome.artifact.digest for outcome in outcomes} == before


def test_probes_learn_from_every_shuffle_there_is_time_for_and_models_from_one(made, monkeypatch):
    shown = made.store.require(Ref("predictions", "tiny-specificity", "twin-bert")).table("predictions")
    seeds = dict(shown.group_by("method").agg(pl.col("seed").n_unique()).iter_rows())
    assert seeds["frozen-probe-shuffled"] == 20
    assert {seeds[method] for method in seeds if method != "frozen-probe-shuffled"} == {1}
    control = shown.filter(method="frozen-probe-shuffled", role="test")
    assert control.group_by("row_id").agg(pl.col("score").n_unique())["score"].min() > 1
    items = shown.filter(method="frozen-probe", role="validation").height * 2
    monkeypatch.setattr(products, "PROBED_ITEMS", items)
    work = Work("tiny-specificity", "twin-bert", frozenset({"predictions"}), force=True)
    (fewer,) = (outcome.artifact.table("predictions") for outcome in run_work(made, work, silent))
    monkeypatch.undo()
    list(run_work(made, work, silent))  # what other tests share
    assert 1 <= fewer.filter(method="frozen-probe-shuffled")["seed"].n_unique() < 20
    assert fewer.filter(~pl.col("method").str.ends_with("probe-shuffled")).equals(
        shown.filter(~pl.col("method").str.ends_with("probe-shuffled"))
    )


@pytest.fixture
def four_folds(tmp_path):
    """A home with a benchmark of 4 fits x 3 seeds, prepared for its models."""
    home = Home(tmp_path / "home")
    (home.root / "models").mkdir(parents=True)
    (home.root / "models" / "twins.toml").write_text(TWINS)
    toml = (
        SPECIFICITY.replace("[evaluation]", "[evaluation]\ncontrol_shuffles = 1")
        .replace("folds = 3\nfits = 1", "folds = 4\nseeds = [1, 2, 3]")
        .replace('chains = "H"', 'chains = "HL"')
    )
    add_benchmark(write_specificity(tmp_path / "four-folds", toml=toml), home)
    prepare(home)
    return home


def prepare(home):
    with open_instance(home) as instance:
        register(instance, ["four-folds"])
        assert run_job(defs, instance, home, "prepare", "four-folds", progress=silent).error is None


def everything(home):
    """Make all products of one model; return how many texts went through frozen layers for them, and the products."""
    made = products_for(home, home.benchmark("four-folds"), "twin-bert", silent)
    for asset in PRODUCTS:
        made.publish(asset, question_now(home, Ref(asset, "four-folds", "twin-bert")), force=False)
    return made.session.trunk_passes, made


def test_a_chain_goes_through_frozen_layers_once_over_folds_seeds_controls_and_runs(four_folds):
    passes, first = everything(four_folds)
    assert len(first.fits) == 12
    assert passes == len(first.texts) == first.rows.height * 2
    before = first.artifact(CHECKPOINTS["true"]).digest
    file = four_folds.folder("four-folds") / "antibodies.csv"
    head, *rows = file.read_text().splitlines()
    turned = [row[:-3] + "no" if row.endswith("yes") else row[:-2] + "yes" for row in rows[:8]]
    file.write_text("\n".join([head, *turned, *rows[8:]]) + "\n")
    prepare(four_folds)
    passes, second = everything(four_folds)
    assert passes == 0
    assert second.session.loaded
    assert second.artifact(CHECKPOINTS["true"]).digest != before
