"""A sample of what was kept is computed again: equal where nothing is wrong, named where something is."""

from __future__ import annotations

import json
import shutil

import polars as pl
import pytest

from ab_assets.artifacts.fingerprint import Question
from ab_assets.artifacts.store import Ref
from ab_assets.commands.upkeep import recompute_sample
from ab_assets.errors import BadInputError
from ab_assets.home import Home
from ab_assets.progress import silent
from ab_assets.recomputation import recompute

EMBEDDINGS = Ref("embeddings", "tiny-specificity", "twin-bert")
PREDICTIONS = Ref("predictions", "tiny-specificity", "twin-esm")


@pytest.fixture
def copied(made, tmp_path):
    shutil.copytree(made.root, tmp_path / "home", ignore=shutil.ignore_patterns("dagster"))
    return Home(tmp_path / "home")


def forged(home, ref, name, change):
    """Let a partition show the same answer with one table changed, its manifest agreeing with it."""
    shown = home.store.require(ref)
    question = Question(**shown.question)
    with home.store.draft() as draft:
        shutil.copytree(shown.folder, draft.folder, dirs_exist_ok=True)
        (draft.folder / "manifest.json").unlink()
        draft.table(name, change(pl.read_parquet(draft.folder / f"{name}.parquet")))
        home.store.point(ref, home.store.publish(draft, ref, question, seconds=0))


def test_what_was_kept_is_what_comes_out_again(copied):
    done = recompute(copied, 0.2, 1, silent)
    assert (done.differ, done.left_out) == ([], [])
    assert done.texts >= 12
    assert done.scores > 50


def test_nothing_that_was_cached_is_read(copied):
    shutil.rmtree(copied.cache)
    done = recompute(copied, 0.05, 1, silent)
    assert (done.differ, done.left_out) == ([], [])
    assert not copied.cache.exists()


def test_the_seed_decides_what_is_drawn(copied):
    assert recompute(copied, 0.05, 3, silent) == recompute(copied, 0.05, 3, silent)


def test_a_changed_embedding_is_named(copied):
    forged(
        copied, EMBEDDINGS, "embeddings",
        lambda table: table.with_columns(pl.col("embedding").list.eval(pl.element() + 1e-3)),
    )  # fmt: skip
    done = recompute(copied, 0.1, 1, silent)
    assert any(line.startswith(str(EMBEDDINGS)) and "apart" in line for line in done.differ)
    assert all(line.startswith(str(EMBEDDINGS)) for line in done.differ)


def test_a_changed_prediction_is_named_with_its_method_and_everything_after_it_is_left_out_or_equal(copied):
    forged(
        copied, PREDICTIONS, "predictions",
        lambda table: table.with_columns(
            score=pl.when(pl.col("method") == "frozen-probe").then(1 - pl.col("score")).otherwise(pl.col("score"))
        ),
    )  # fmt: skip
    done = recompute(copied, 0.2, 1, silent)
    assert done.differ
    assert all(line.startswith(f"{PREDICTIONS}: frozen-probe,") for line in done.differ)


def test_what_is_stale_is_left_out_and_said(copied):
    toml = copied.folder("tiny-specificity") / "benchmark.toml"
    toml.write_text(toml.read_text().replace('chains = "H"', 'chains = "HL"'))
    done = recompute(copied, 0.05, 1, silent)
    assert done.differ == []
    assert {line.split(":")[0] for line in done.left_out} >= {str(EMBEDDINGS), str(PREDICTIONS)}


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_that_is_none_is_refused(home, share):
    with pytest.raises(BadInputError, match="share"):
        recompute_sample(home, share, 1)


def test_the_answer_is_json(copied):
    assert json.loads(json.dumps(recompute_sample(copied, 0.01, 1)))["differ"] == []
