"""What can go goes; what is shown, used, young, or a part of what is kept stays, whoever publishes meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from ab_assets.artifacts.collection import Policy, abandoned, freed, leftovers, remove, superseded
from ab_assets.artifacts.fingerprint import Question
from ab_assets.artifacts.publication import publish_once
from ab_assets.artifacts.store import MANIFEST, ArtifactStore, Ref
from ab_assets.errors import CorruptArtifactError, MissingArtifactError

REF = Ref("split", "covid")
DAY = 24 * 3600.0
LATER = time.time() + 365 * DAY
NOTHING_KEPT = Policy(days=0, versions=0)


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "store")


def publish(store, value, ref=REF, inputs=None, *, show=True):
    question = Question(ref.asset, inputs or {}, {"value": value})
    return publish_once(
        store, ref, question, lambda draft: draft.document("value", {"value": value}), show=show
    ).artifact


def going(store, policy=NOTHING_KEPT, now=LATER):
    return [item.folder for item in superseded(store, policy, now=now)]


def test_what_is_shown_stays_and_what_was_shown_before_goes(store):
    old, new = publish(store, 1), publish(store, 2)
    assert going(store) == [old.folder]
    items = superseded(store, NOTHING_KEPT, now=LATER)
    assert freed(items) == sum(path.stat().st_size for path in old.folder.iterdir())
    assert remove(store, items) == items
    assert store.require(REF).folder == new.folder
    assert [item.folder for item in store.objects()] == [new.folder]
    assert list((store.root / "removed").iterdir()) == []


def test_young_and_newest_versions_stay(store):
    old = [publish(store, value) for value in range(5)]
    assert going(store, Policy(days=0, versions=3)) == sorted(item.folder for item in old[:2])
    assert going(store, Policy(days=30, versions=0), now=time.time() + 29 * DAY) == []
    assert going(store, Policy(days=30, versions=0), now=time.time() + 31 * DAY) == sorted(i.folder for i in old[:4])


def test_what_may_be_in_use_stays_whatever_is_asked_for(store):
    publish(store, 1)
    publish(store, 2)
    assert going(store, now=time.time() + DAY / 2) == []
    assert going(store, Policy(days=0, versions=0, in_use_since=time.time() - 1)) == []
    assert len(going(store, Policy(days=0, versions=0, in_use_since=LATER - 2 * DAY))) == 1


def test_an_old_version_that_was_found_again_is_young(store):
    old = publish(store, 1)
    publish(store, 2)
    _aged(old)
    before = time.time()
    assert store.find("split", old.fingerprint) is not None
    assert going(store, Policy(days=30, versions=0, in_use_since=before), now=before + 29 * DAY) == []


def test_what_is_shown_no_longer_is_young_from_then_on(store):
    old = publish(store, 1)
    _aged(old)
    publish(store, 2)
    assert (old.folder / MANIFEST).stat().st_mtime > time.time() - DAY


def test_what_a_shown_result_was_made_from_stays(store):
    raw = publish(store, 1, Ref("raw_dataset", "covid"))
    publish(store, 1, Ref("curated_dataset", "covid"), {"raw_dataset": raw.digest})
    publish(store, 2, Ref("raw_dataset", "covid"))
    assert going(store) == []


def test_fits_of_a_kept_checkpoint_stay_and_others_go(store):
    fits = [publish(store, value, Ref("fit", "covid", "esm"), show=False) for value in (1, 2)]
    question = Question("fine_tuned_checkpoint", {}, {})
    with store.draft() as draft:
        os.link(fits[0].path("value.json"), draft.path("fit-0-seed-1/value.json"))
        checkpoint = store.publish(draft, Ref("fine_tuned_checkpoint", "covid", "esm"), question, seconds=0)
    store.point(Ref("fine_tuned_checkpoint", "covid", "esm"), checkpoint)
    assert going(store) == [fits[1].folder]


def test_files_that_something_kept_links_to_free_nothing(store):
    fit = publish(store, 1, Ref("fit", "covid", "esm"), show=False)
    (items,) = [superseded(store, NOTHING_KEPT, now=LATER)]
    whole = freed(items)
    os.link(fit.path("value.json"), store.root / "kept.json")
    assert freed(items) == whole - fit.path("value.json").stat().st_size


def test_a_pointer_that_cannot_be_read_stops_the_collection(store):
    publish(store, 1)
    publish(store, 2)
    (store.root / "current" / "split" / "covid.json").write_text("{")
    with pytest.raises(CorruptArtifactError, match="pointer"):
        superseded(store, NOTHING_KEPT, now=LATER)


def test_an_object_used_after_the_look_stays(store):
    old = publish(store, 1)
    publish(store, 2)
    items = superseded(store, NOTHING_KEPT, now=LATER)
    publish(store, 1)
    assert remove(store, items) == []
    assert store.require(REF).folder == old.folder


def test_what_was_removed_cannot_be_shown_and_is_made_again(store):
    old = publish(store, 1)
    publish(store, 2)
    remove(store, superseded(store, NOTHING_KEPT, now=LATER))
    with pytest.raises(MissingArtifactError, match="just removed"):
        store.point(REF, old)
    assert publish(store, 1).digest == old.digest
    assert store.require(REF).is_whole()


def test_leftovers_of_killed_processes_go_when_they_are_old(store):
    publish(store, 1)
    for place in ("staging", "damaged", "removed"):
        (store.root / place / "left" / "deep").mkdir(parents=True)
    assert [item.folder.parent.name for item in leftovers(store, Policy())] == ["removed"]
    items = leftovers(store, Policy(), now=LATER)
    assert {item.folder.parent.name for item in items} == {"staging", "damaged", "removed"}
    remove(store, items)
    assert leftovers(store, Policy(), now=LATER) == []


def test_a_fit_is_abandoned_when_nothing_below_it_changes(tmp_path):
    (tmp_path / "fit" / "ranks-2" / "rank-0").mkdir(parents=True)
    os.utime(tmp_path / "fit", (1, 1))
    assert abandoned([tmp_path / "fit"], Policy(), "old") == []
    for folder in (tmp_path / "fit" / "ranks-2" / "rank-0", tmp_path / "fit" / "ranks-2", tmp_path / "fit"):
        os.utime(folder, (1, 1))
    assert [item.folder for item in abandoned([tmp_path / "fit"], Policy(), "old")] == [tmp_path / "fit"]


def test_a_folder_that_was_used_after_the_look_stays(store, tmp_path):
    (tmp_path / "fit").mkdir()
    items = abandoned([tmp_path / "fit"], NOTHING_KEPT, "old", now=LATER)
    os.utime(tmp_path / "fit", (5, 5))
    assert remove(store, items) == []
    assert remove(store, abandoned([tmp_path / "fit"], NOTHING_KEPT, "old")) != []
    assert not (tmp_path / "fit").exists()


PUBLISHER = """
import pathlib, sys
from ab_assets.artifacts.fingerprint import Question
from ab_assets.artifacts.publication import publish_once
from ab_assets.artifacts.store import ArtifactStore, Ref
store, ref = ArtifactStore(pathlib.Path(sys.argv[1])), Ref("split", sys.argv[2])
made = 0
for turn in range(150):
    value = turn % 3
    outcome = publish_once(
        store, ref, Question("split", {}, {"value": value}), lambda draft: draft.document("value", {"value": value})
    )
    made += not outcome.reused
    shown = store.current(ref)
    assert shown is not None and shown.fingerprint == outcome.artifact.fingerprint, f"turn {turn}: {shown}"
    assert shown.document("value") == {"value": value}, turn
print(made)
"""

COLLECTOR = """
import sys, time, pathlib
from ab_assets.artifacts.collection import Policy, remove, superseded
from ab_assets.artifacts.store import ArtifactStore
store = ArtifactStore(pathlib.Path(sys.argv[1]))
while True:
    remove(store, superseded(store, Policy(0, 0), now=time.time() + 1e8))
"""


def _start(program, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def test_publishers_that_reuse_what_is_being_removed_never_show_something_broken(store):
    store.root.mkdir()
    collector = _start(COLLECTOR, store.root)
    publishers = [_start(PUBLISHER, store.root, name) for name in ("a", "b")]
    try:
        answers = [publisher.communicate(timeout=300) for publisher in publishers]
        assert collector.poll() is None, collector.stderr.read()
    finally:
        collector.kill()
        collector.communicate()
    assert [publisher.returncode for publisher in publishers] == [0, 0], answers
    assert sum(int(said) for said, _ in answers) > 2 * 3  # what was removed is made again
    for name in ("a", "b"):
        store.require(Ref("split", name)).verify()


def test_a_collection_killed_at_any_moment_loses_nothing_that_is_shown(store):
    refs = [Ref("split", f"b{number}") for number in range(4)]
    for round_ in range(8):
        for ref in refs:
            for version in range(4):
                publish(store, f"{ref}-{round_}-{version}", ref)
        collector = _start(COLLECTOR, store.root)
        while not (store.root / "removed").exists() and collector.poll() is None:
            time.sleep(0.001)
        time.sleep(0.003 * round_)
        collector.send_signal(signal.SIGKILL)
        collector.communicate()
        for ref in refs:
            store.require(ref).verify()
        assert store.unreadable() == []
    remove(store, [*superseded(store, NOTHING_KEPT, now=LATER), *leftovers(store, NOTHING_KEPT)])
    assert len(store.objects()) == len(refs)
    assert list((store.root / "removed").iterdir()) == []


def _aged(artifact):
    os.utime(artifact.folder / MANIFEST, (1, 1))
