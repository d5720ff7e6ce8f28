"""One load of a model makes the same bytes whatever ran before it in this process and whatever was kept."""

from __future__ import annotations

import polars as pl
import pytest

from ab_assets.artifacts.store import Ref
from ab_assets.graph import PRODUCTS
from ab_assets.progress import silent
from ab_assets.training import products
from ab_assets.worker import Work, run_work


@pytest.mark.parametrize("benchmark", ["tiny-specificity", "tiny-paratope"])
@pytest.mark.parametrize("wanted", [PRODUCTS, ("shuffled_label_checkpoint",), ("predictions",)])
def test_made_again_in_whatever_company_it_has_the_same_bytes(made, benchmark, wanted):
    before = {asset: made.store.require(Ref(asset, benchmark, "twin-bert")).digest for asset in wanted}
    outcomes = run_work(made, Work(benchmark, "twin-bert", frozenset(wanted), force=True), silent)
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
    run_work(made, work, silent)  # what other tests share
    assert 1 <= fewer.filter(method="frozen-probe-shuffled")["seed"].n_unique() < 20
    assert fewer.filter(~pl.col("method").str.ends_with("probe-shuffled")).equals(
        shown.filter(~pl.col("method").str.ends_with("probe-shuffled"))
    )
