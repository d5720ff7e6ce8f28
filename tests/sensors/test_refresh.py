"""What is stale is asked for until there is a report, on a real instance and home."""

from __future__ import annotations

import shutil

import pytest
from dagster import DagsterRunStatus
from dagster._core.test_utils import create_run_for_test
from tests_support import SPECIFICITY, antibody_rows, write_csv, write_specificity

from ab_assets.artifacts.store import Ref

ONE_MODEL = SPECIFICITY.replace('["twin-bert", "twin-esm"]', '["twin-bert"]')


@pytest.fixture
def tiny(automation):
    """Return the automation with one benchmark of one model, taken and registered, nothing made."""
    write_specificity(automation.home.folder("tiny"), toml=ONE_MODEL)
    automation.arrive()
    return automation


def ended(automation, job, tags, status):
    create_run_for_test(automation.instance, job, status=status, tags=dict(tags))


def test_a_dropped_folder_becomes_a_report_in_three_stages_and_then_nothing_is_asked(tiny):
    assert tiny.play() == [
        ("prepare", "tiny", True),
        ("evaluate", "tiny|twin-bert", True),
        ("report", "tiny", True),
    ]
    assert tiny.home.store.current(Ref("report", "tiny")) is not None
    assert tiny.asked() == ({}, "nothing to ask for")
    # Touched, saved again, a remark: taken as another version of the folder, and nothing is asked for.
    folder = tiny.home.folder("tiny")
    shutil.copyfile(folder / "antibodies.csv", folder / "copy")
    (folder / "copy").replace(folder / "antibodies.csv")
    (folder / "benchmark.toml").write_text("# a remark\n" + ONE_MODEL)
    assert "not taken yet: tiny" in tiny.asked()[1]
    assert "taken: tiny" in tiny.arrive()
    assert tiny.asked() == ({}, "nothing to ask for")


def test_a_run_says_who_asked_and_why(tiny):
    tags = tiny.asked()[0]["prepare", "tiny"]
    assert tags["ab_assets/asked_by"] == "refresh"
    assert tags["ab_assets/why"] == "raw_dataset: not made yet"
    assert tags["ab_assets/asked_for"]


def test_nothing_is_asked_for_before_the_folder_is_taken_and_registered(automation):
    write_specificity(automation.home.folder("tiny"), toml=ONE_MODEL)
    assert automation.asked() == ({}, "nothing to ask for")
    automation.arrive()
    assert list(automation.asked()[0]) == [("prepare", "tiny")]
    (automation.home.folder("tiny") / "more.csv").touch()
    assert automation.asked() == ({}, "nothing to ask for; not taken yet: tiny")


def test_one_word_turns_it_off(tiny, monkeypatch):
    monkeypatch.setenv("AB_ASSETS_AUTOMATION", "off")
    assert tiny.asked() == ({}, "AB_ASSETS_AUTOMATION is off: nothing is started by itself")


def test_what_is_under_way_is_not_asked_for(tiny):
    [(target, tags)] = tiny.asked()[0].items()
    ended(tiny, target[0], tags, DagsterRunStatus.STARTED)
    assert tiny.asked()[0] == {}


def test_after_three_failures_it_is_named_and_other_content_is_asked_for(tiny):
    folder = tiny.home.folder("tiny")
    tags = tiny.asked()[0]["prepare", "tiny"]
    for _ in range(2):
        ended(tiny, "prepare", tags, DagsterRunStatus.FAILURE)
        assert tiny.asked() == ({}, "nothing to ask for; tiny: prepare[tiny] failed and is asked for again soon")
    ended(tiny, "prepare", tags, DagsterRunStatus.FAILURE)
    requests, said = tiny.asked()
    assert requests == {}
    assert "prepare[tiny]: failed 3 times" in said
    write_csv(folder / "antibodies.csv", antibody_rows(60, seed=5))
    tiny.arrive()
    other = tiny.asked()[0]["prepare", "tiny"]
    ended(tiny, "prepare", other, DagsterRunStatus.FAILURE)
    write_csv(folder / "antibodies.csv", antibody_rows(60, seed=1))
    tiny.arrive()
    assert list(tiny.asked()[0]) == [("prepare", "tiny")]


def test_a_run_that_is_canceled_half_way_is_not_asked_for_again(tiny):
    tiny.run("prepare", tiny.asked()[0]["prepare", "tiny"])
    tags = tiny.asked()[0]["evaluate", "tiny|twin-bert"]
    assert tiny.run("evaluate", tags)
    for asset in ("predictions", "model_metrics"):
        shutil.rmtree(tiny.home.store.root / "current" / asset)
    ended(tiny, "evaluate", tags, DagsterRunStatus.CANCELED)
    assert list(tiny.asked()[0]) == [("report", "tiny")]
    for target in ("embeddings", "fine_tuned_checkpoint"):
        shutil.rmtree(tiny.home.store.root / "current" / target)
    assert list(tiny.asked()[0]) == [("report", "tiny")]


def test_content_that_goes_back_to_what_it_was_is_not_swallowed(tiny):
    file, digests = tiny.home.folder("tiny") / "antibodies.csv", []
    for seed in (1, 5, 1):
        write_csv(file, antibody_rows(30, seed=seed))
        tiny.arrive()
        assert tiny.run("prepare", tiny.asked()[0]["prepare", "tiny"])
        assert ("prepare", "tiny") not in tiny.asked()[0]
        digests.append(tiny.home.store.require(Ref("split", "tiny")).digest)
    assert digests[0] == digests[2] != digests[1]


def test_a_run_makes_the_content_it_was_asked_for_or_nothing(tiny):
    tags = tiny.asked()[0]["prepare", "tiny"]
    write_csv(tiny.home.folder("tiny") / "antibodies.csv", antibody_rows(30, seed=5))
    assert not tiny.run("prepare", tags)
    assert tiny.home.store.current(Ref("raw_dataset", "tiny")) is None


def test_files_that_change_while_they_are_read_are_not_published(tiny, monkeypatch):
    tags = tiny.asked()[0]["prepare", "tiny"]
    monkeypatch.setattr("ab_assets.datasets.assets.shutil.copyfile", lambda source, target: target.write_text("half"))
    assert not tiny.run("prepare", tags)
    assert tiny.home.store.current(Ref("raw_dataset", "tiny")) is None


def test_models_that_cannot_be_run_are_named_and_the_report_goes_on(automation):
    listed = '["twin-bert", "esm2-15b", "no-such-model", "late"]'
    write_specificity(automation.home.folder("tiny"), toml=ONE_MODEL.replace('["twin-bert"]', listed))
    late = automation.home.root / "models" / "late.toml"
    late.write_text(
        '[late]\ntitle = "L"\nfamily = "bert"\nparameters = 1\nlicence = "x"\nmax_length = 254\n'
        'source = { kind = "twin", layers = 2, hidden = 32, seed = 9 }\n'
    )
    automation.arrive()
    assert [(job, partition) for job, partition, _ in automation.play()] == [
        ("prepare", "tiny"),
        ("evaluate", "tiny|twin-bert"),
        ("report", "tiny"),
    ]
    said = automation.asked()[1]
    assert "model esm2-15b: its weights are not on this machine" in said
    assert "model no-such-model: there is no model of this name" in said
    assert "model late: it came after this code location was loaded" in said
    report = automation.home.store.require(Ref("report", "tiny"))
    assert len(report.metadata["missing"]) == 3


def test_retired_and_broken_ones_are_left_alone(tiny):
    contradiction = '\n[training]\nmethod = "full"\ntrainable_layers = 2\n'
    write_specificity(tiny.home.folder("other"), toml=ONE_MODEL + contradiction)
    tiny.arrive()
    folder = tiny.home.folder("tiny")
    (folder / "benchmark.toml").write_text(ONE_MODEL.replace("task", "retired = true\ntask"))
    tiny.arrive()
    requests, said = tiny.asked()
    assert requests == {}
    assert "other: cannot be planned" in said
    assert "trainable_layers" in said
    (folder / "benchmark.toml").write_text("task = ")
    tiny.arrive()
    assert ("prepare", "tiny") not in tiny.asked()[0]
    shutil.rmtree(folder)
    assert ("prepare", "tiny") not in tiny.asked()[0]


def test_nothing_is_asked_for_a_removed_one_and_nothing_is_made_again_when_it_is_back(tiny):
    assert tiny.run("prepare", tiny.asked()[0]["prepare", "tiny"])
    assert list(tiny.asked()[0]) == [("evaluate", "tiny|twin-bert")]
    folder, aside = tiny.home.folder("tiny"), tiny.home.root / "aside"
    shutil.move(folder, aside)
    assert tiny.asked() == ({}, "nothing to ask for")
    assert "retired, their folders were removed: tiny" in tiny.arrive()
    assert tiny.asked() == ({}, "nothing to ask for")
    shutil.copytree(aside, folder)
    assert "taken: tiny" in tiny.arrive()
    assert list(tiny.asked()[0]) == [("evaluate", "tiny|twin-bert")]


def test_at_most_so_many_runs_are_asked_for_in_one_tick(automation, monkeypatch):
    monkeypatch.setattr("sensors.refresh._REQUESTS_PER_TICK", 3)
    for index in range(5):
        write_specificity(automation.home.folder(f"tiny-{index}"), count=6, toml=ONE_MODEL)
    automation.arrive()
    first = automation.asked()[0]
    for (job, _), tags in first.items():
        ended(automation, job, tags, DagsterRunStatus.STARTED)
    second = automation.asked()[0]
    assert (len(first), len(second)) == (3, 2)
    assert not first.keys() & second.keys()
