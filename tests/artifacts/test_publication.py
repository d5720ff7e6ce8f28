"""An answer is made once; nothing half made is ever shown."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from ab_assets.artifacts import store as store_module
from ab_assets.artifacts.fingerprint import Question
from ab_assets.artifacts.publication import publish_once
from ab_assets.artifacts.store import MANIFEST, ArtifactStore, Ref

REF = Ref("split", "covid")
QUESTION = Question("split", inputs={"curated_dataset": "aa"}, parameters={"folds": 4})


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path)


def writes(text):
    """Return a build that writes `text` and counts how often it was called."""

    def build(draft):
        build.calls += 1
        draft.document("answer", text)

    build.calls = 0
    return build


def shown(store, ref=REF):
    return store.require(ref).document("answer")


def test_an_answer_that_is_there_is_not_made_again(store):
    build = writes("first")
    first = publish_once(store, REF, QUESTION, build)
    second = publish_once(store, REF, QUESTION, build)
    assert (first.reused, second.reused, build.calls) == (False, True, 1)
    assert second.artifact.folder == first.artifact.folder


def test_another_question_is_answered_anew(store):
    publish_once(store, REF, QUESTION, writes("4 folds"))
    outcome = publish_once(store, REF, replace(QUESTION, parameters={"folds": 5}), writes("5 folds"))
    assert not outcome.reused
    assert shown(store) == "5 folds"


def test_a_question_asked_again_shows_its_old_answer(store):
    publish_once(store, REF, QUESTION, writes("4 folds"))
    publish_once(store, REF, replace(QUESTION, parameters={"folds": 5}), writes("5 folds"))
    assert publish_once(store, REF, QUESTION, writes("never written")).reused
    assert shown(store) == "4 folds"


def test_two_benchmarks_with_one_question_share_one_object(store):
    build, other = writes("shared"), Ref("split", "covid-heavy-only")
    publish_once(store, REF, QUESTION, build)
    assert publish_once(store, other, QUESTION, build).reused
    assert build.calls == 1
    assert store.require(REF).folder == store.require(other).folder
    assert len(store.objects()) == 1


def test_force_makes_it_again(store):
    build = writes("same")
    publish_once(store, REF, QUESTION, build)
    outcome = publish_once(store, REF, QUESTION, build, force=True)
    assert (outcome.reused, build.calls) == (False, 2)
    assert len(store.objects()) == 1


def test_force_keeps_the_older_object(store):
    older = publish_once(store, REF, QUESTION, writes("older")).artifact
    newer = publish_once(store, REF, QUESTION, writes("newer"), force=True).artifact
    assert shown(store) == "newer"
    assert older.document("answer") == "older"
    assert {item.folder for item in store.objects()} == {older.folder, newer.folder}


def test_force_on_one_benchmark_does_not_move_another(store):
    other = Ref("split", "other")
    publish_once(store, other, QUESTION, writes("older"))
    publish_once(store, REF, QUESTION, writes("newer"), force=True)
    assert (shown(store, other), shown(store, REF)) == ("older", "newer")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_build_that_raises_publishes_nothing(store, error):
    def build(draft):
        draft.document("answer", "half")
        raise error

    with pytest.raises(error):
        publish_once(store, REF, QUESTION, build)
    assert store.current(REF) is None
    assert store.objects() == []
    assert list((store.root / "staging").iterdir()) == []


def test_a_build_that_raises_leaves_what_was_shown(store):
    publish_once(store, REF, QUESTION, writes("good"))
    with pytest.raises(ZeroDivisionError):
        publish_once(store, REF, QUESTION, lambda draft: 1 / 0, force=True)
    assert shown(store) == "good"


def test_figures_that_are_no_json_publish_nothing(store):
    def build(draft):
        draft.metadata["loss"] = float("nan")

    with pytest.raises(ValueError, match="not JSON compliant"):
        publish_once(store, REF, QUESTION, build)
    assert store.objects() == []


def test_killed_before_rename_leaves_nothing_current(store):
    script = """
import os, sys
from pathlib import Path
from ab_assets.artifacts.fingerprint import Question
from ab_assets.artifacts.publication import publish_once
from ab_assets.artifacts.store import ArtifactStore, Ref

os.rename = os.replace = lambda *_, **__: os._exit(9)
question = Question("split", inputs={"curated_dataset": "aa"}, parameters={"folds": 4})
store = ArtifactStore(Path(sys.argv[1]))
publish_once(store, Ref("split", "covid"), question, lambda draft: draft.document("answer", "lost"))
"""
    done = subprocess.run([sys.executable, "-c", script, str(store.root)], check=False, capture_output=True)
    assert done.returncode == 9, done.stderr
    assert list((store.root / "staging").glob("*/manifest.json"))
    assert (store.current(REF), store.objects(), store.partitions()) == (None, [], [])
    publish_once(store, REF, QUESTION, writes("after"))
    assert shown(store) == "after"


def test_killed_between_rename_and_pointer_costs_no_second_build(store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(ArtifactStore, "point", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            publish_once(store, REF, QUESTION, writes("made"))
    assert store.current(REF) is None
    outcome = publish_once(store, REF, QUESTION, writes("never written"))
    assert outcome.reused
    assert shown(store) == "made"


def test_an_answer_with_a_file_cut_short_is_made_again(store):
    artifact = publish_once(store, REF, QUESTION, writes("whole")).artifact
    (artifact.folder / "answer.json").write_text("")
    outcome = publish_once(store, REF, QUESTION, writes("whole"))
    assert not outcome.reused
    assert shown(store) == "whole"


def test_what_was_damaged_is_set_aside_not_deleted(store):
    artifact = publish_once(store, REF, QUESTION, writes("whole")).artifact
    (artifact.folder / "answer.json").write_text("cut")
    publish_once(store, REF, QUESTION, writes("whole"))
    [kept] = (store.root / "damaged").rglob("answer.json")
    assert kept.read_text() == "cut"


def test_two_writers_of_one_answer_leave_one_object(store):
    with store.draft() as one, store.draft() as two:
        for draft in (one, two):
            draft.document("answer", "same")
        first = store.publish(one, REF, QUESTION, seconds=0)
        second = store.publish(two, REF, QUESTION, seconds=0)
    assert first.folder == second.folder
    assert len(store.objects()) == 1
    assert list((store.root / "staging").iterdir()) == []


def test_writers_of_different_answers_do_not_disturb_each_other(store):
    def one(index):
        return publish_once(store, Ref("split", f"b{index}"), Question("split", {"raw": str(index)}), writes(index))

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(one, range(8)))
    assert [outcome.artifact.document("answer") for outcome in outcomes] == list(range(8))
    assert [shown(store, Ref("split", f"b{index}")) for index in range(8)] == list(range(8))


def test_the_manifest_keeps_the_question_the_figures_and_the_time_it_took(store):
    def build(draft):
        draft.document("answer", 1)
        draft.metadata = {"rows": 3}

    manifest = publish_once(store, REF, QUESTION, build).artifact.manifest
    assert Question(**manifest["question"]) == QUESTION
    assert manifest["metadata"] == {"rows": 3}
    assert manifest["made"]["seconds"] >= 0
    assert {"git_revision", "packages", "host", "at", "peak_memory_bytes"} <= manifest["made"].keys()


def test_an_answer_made_without_showing_it_leaves_the_partition_as_it_was(store):
    publish_once(store, REF, QUESTION, writes("shown"))
    other = replace(QUESTION, parameters={"folds": 5})
    outcome = publish_once(store, REF, other, writes("kept apart"), show=False)
    assert outcome.artifact.document("answer") == "kept apart"
    assert publish_once(store, REF, other, writes("never written"), show=False).reused
    assert shown(store) == "shown"


def test_writers_of_one_answer_at_once_leave_one_object(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "provenance", dict)
    for attempt in range(15):
        store, together = ArtifactStore(tmp_path / str(attempt)), threading.Barrier(4)

        def write(index, store=store, together=together):
            return publish_once(store, REF, QUESTION, lambda draft: (draft.document("answer", 1), together.wait()))

        with ThreadPoolExecutor(4) as pool:
            assert len({outcome.artifact.folder for outcome in pool.map(write, range(4))}) == 1
        assert not (store.root / "damaged").exists()


def test_writers_that_mend_one_answer_at_once_leave_it_whole(store):
    artifact = publish_once(store, REF, QUESTION, writes("abc")).artifact
    (artifact.folder / "answer.json").write_text('"abd"\n')
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: publish_once(store, REF, QUESTION, writes("abc"), force=True), range(4)))
    assert shown(store) == "abc"
    assert len(list((store.root / "damaged").rglob(MANIFEST))) == 1


def test_force_mends_a_file_that_was_changed_in_its_size(store):
    artifact = publish_once(store, REF, QUESTION, writes("abc")).artifact
    (artifact.folder / "answer.json").write_text('"abd"\n')
    publish_once(store, REF, QUESTION, writes("abc"), force=True)
    assert shown(store) == "abc"


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"fingerprint":'])
@pytest.mark.parametrize("force", [False, True])
def test_an_answer_with_a_broken_manifest_is_made_again(store, content, force):
    artifact = publish_once(store, REF, QUESTION, writes("abc")).artifact
    (artifact.folder / MANIFEST).write_bytes(content)
    assert not publish_once(store, REF, QUESTION, writes("abc"), force=force).reused
    assert shown(store) == "abc"


def test_a_broken_pointer_is_set_again_without_work(store):
    publish_once(store, REF, QUESTION, writes("abc"))
    (store.root / "current/split/covid.json").write_text("{")
    assert publish_once(store, REF, QUESTION, writes("never written")).reused
    assert shown(store) == "abc"


def test_one_broken_object_does_not_hide_the_others(store):
    broken = publish_once(store, REF, QUESTION, writes("a")).artifact
    publish_once(store, REF, QUESTION, writes("b"), force=True)
    (broken.folder / MANIFEST).write_text("{")
    found = store.find("split", QUESTION.fingerprint)
    assert found is not None
    assert found.document("answer") == "b"


def test_the_answer_forced_last_is_the_one_that_stays(store):
    for text in ("A", "B", "A"):
        publish_once(store, REF, QUESTION, writes(text), force=True)
    publish_once(store, REF, QUESTION, writes("never written"))
    assert shown(store) == "A"


@pytest.mark.parametrize("texts", list(itertools.permutations("ABC")))
def test_the_newest_answer_is_taken_within_one_second_too(store, texts):
    for text in texts:
        publish_once(store, REF, QUESTION, writes(text), force=True)
    other = Ref("split", "other")
    publish_once(store, other, QUESTION, writes("never written"))
    assert shown(store, other) == texts[-1]
