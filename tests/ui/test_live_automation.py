"""Nothing but a live daemon and its code server acts: after a change exactly what it concerns is made anew."""

from __future__ import annotations

import shutil
import time

import pytest
from dagster import AssetKey
from live_home import LOOKS, live_home
from mail_server import PASSWORD, USER
from tests_support import SPECIFICITY, TWINS, antibody_rows, write_csv, write_specificity

from ab_assets.artifacts.store import Ref
from ab_assets.graph import COMPUTED, NODES

pytestmark = [
    pytest.mark.ui,
    pytest.mark.xdist_group("daemon"),
    pytest.mark.filterwarnings("ignore:::aiosmtpd"),  # of a password without STARTTLS, in a thread of its own
]

NAMES = ("tiny-one", "tiny-two")
MODELS = ("twin-bert", "twin-esm")
SMALLEST = (
    TWINS.replace("layers = 3, hidden = 32", "layers = 1, hidden = 16")
    .replace("epochs = 2", "epochs = 1")
    .replace("trainable_layers = 2", "trainable_layers = 1")
)
# Nothing here has candidates.
ASSETS = [node for node in NODES.values() if node.name != "candidate_predictions"]
EVALUATION = {"leak_ladder", "model_metrics", "metric_table", "report"}


def partitions(benchmark, of=lambda node: True, models=MODELS):
    """Return (asset, partition) of one benchmark's assets that are `of` a kind."""
    per_model = {(node.name, f"{benchmark}|{model}") for node in ASSETS if node.per_model for model in models}
    return {
        one
        for one in {(node.name, benchmark) for node in ASSETS if not node.per_model} | per_model
        if of(NODES[one[0]])
    }


def succeeded(*runs):
    return sorted((job, partition, "SUCCESS") for job, partition in runs)


def stages(benchmark, models=MODELS):
    return [("prepare", benchmark), *(("evaluate", f"{benchmark}|{model}") for model in models), ("report", benchmark)]


def edited(file, old, new):
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """Return a live home with two benchmarks of two models each, and what was done when they were dropped."""
    folder = tmp_path_factory.mktemp("live")
    with live_home(folder, SMALLEST) as live:

        def drop():
            for seed, name in enumerate(NAMES, start=1):
                given = write_specificity(folder / name, count=40, seed=seed, toml=SPECIFICITY.replace("200", "100"))
                shutil.copytree(given, live.home.folder(name))

        yield live, live.after(drop)


@pytest.fixture
def live(started):
    return started[0]


def test_dropped_folders_become_reports_and_letters(started):
    live, done = started
    assert done.runs == succeeded(*stages("tiny-one"), *stages("tiny-two"))
    assert done.made == partitions("tiny-one") | partitions("tiny-two")
    assert done.letters == ["tiny-one: complete", "tiny-two: complete"]
    letters = "".join(message.get_body(("html",)).get_content() for _, message in live.box.messages)
    assert "Tiny BERT fine-tuned" in letters
    for name in NAMES:
        assert str(live.home.store.require(Ref("report", name)).path("report.html")) in letters
    tags = [run.tags for run in live.instance.get_runs()]
    assert {one["ab_assets/asked_by"] for one in tags} == {"refresh"}
    assert all(one["ab_assets/why"] and one["ab_assets/asked_for"] for one in tags)
    reasons = " ".join(str(tick.skip_reason) for tick in live.ticks("notifications"))
    assert "sent: tiny-one completed" in reasons
    for text in (live.said(), reasons, (live.home.root / "mail" / "told.json").read_text()):
        assert USER not in text
        assert PASSWORD not in text


def test_touching_saving_again_and_remarks_start_nothing(live):
    def change():
        for file in [*live.code.rglob("*.py"), *live.home.folder("tiny-one").iterdir()]:
            file.touch()
        table = live.home.folder("tiny-two") / "antibodies.csv"
        table.write_bytes(table.read_bytes())
        for toml in (live.home.folder("tiny-one") / "benchmark.toml", live.home.root / "models" / "twins.toml"):
            toml.write_text("# a remark\n" + toml.read_text())
        metrics = live.code / "ab_assets" / "evaluation" / "metrics.py"
        edited(metrics, '    """Return every metric but', '    # a comment\n    """Another docstring. Every metric but')

    done = live.after(change)
    assert done.runs == []
    assert done.letters == []


def test_a_changed_function_of_evaluation_makes_scores_and_reports_anew_and_trains_nothing(live):
    metrics = live.code / "ab_assets" / "evaluation" / "metrics.py"
    done = live.after(lambda: edited(metrics, '"ece": _ratio(gaps, total)', '"ece": _ratio(gaps, total) / 2'))
    both = [stages("tiny-one"), stages("tiny-two")]
    assert done.runs == succeeded(*(run for one in both for run in one))
    assert done.made == {one for name in NAMES for one in partitions(name, lambda node: node.name in EVALUATION)}
    assert {asset for asset, _ in done.reused} >= set(COMPUTED) & {node.name for node in ASSETS}
    assert done.letters == ["tiny-one: complete", "tiny-two: complete"]


def test_another_revision_of_a_model_runs_that_model_alone(live):
    catalogue = live.home.root / "models" / "twins.toml"
    done = live.after(lambda: edited(catalogue, "seed = 2", "seed = 22"))
    assert done.runs == succeeded(
        *((job, partition) for name in NAMES for job, partition in stages(name, ["twin-esm"]) if job != "prepare")
    )
    assert done.made == {
        one for name in NAMES for one in partitions(name, lambda node: node.job != "prepare", ["twin-esm"])
    }
    assert done.reused == set()


def test_other_content_of_one_benchmark_makes_all_of_that_one_anew_and_nothing_of_the_other(live):
    table = live.home.folder("tiny-one") / "antibodies.csv"
    done = live.after(lambda: write_csv(table, antibody_rows(40, seed=9)))
    assert done.runs == succeeded(*stages("tiny-one"))
    assert done.made == partitions("tiny-one")
    assert done.letters == ["tiny-one: complete"]


def test_a_removed_folder_is_retired_and_when_it_is_back_in_a_further_directory_nothing_is_made(live):
    home, runs = live.home, {run.run_id for run in live.instance.get_runs()}

    def told():
        records = live.instance.fetch_observations(AssetKey("raw_dataset"), limit=10).records
        return [record.asset_observation.metadata["folder"].value for record in records]

    share = home.root.parent / "share"
    (home.root / "benchmarks.toml").write_text('directories = ["../share"]')
    home.folder("tiny-one").rename(home.root / "aside")
    live.until(told)
    assert told()[0].startswith("retired: its folder was removed on ")
    share.mkdir()
    (home.root / "aside").rename(share / "tiny-one")
    live.until(lambda: len(told()) > 1)
    assert told()[0] == f"not retired any more: its folder is in {share}"
    back = time.time()
    live.until(lambda: len([tick for tick in live.ticks("refresh") if tick.timestamp > back]) >= LOOKS)
    assert {run.run_id for run in live.instance.get_runs()} == runs
