"""What is stored is whole, unchanged and found again, or it is refused."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest

from ab_assets.artifacts.fingerprint import Question, digest_of, file_digest
from ab_assets.artifacts.store import MANIFEST, ArtifactStore, Ref
from ab_assets.errors import BadInputError, CorruptArtifactError, MissingArtifactError

REF = Ref("split", "covid")
QUESTION = Question("split", parameters={"folds": 4})
ROLES = pl.DataFrame({"row_id": ["a", "b"], "fold": [0, 1]})


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path)


def publish(store, ref=REF, question=QUESTION, value=1):
    with store.draft() as draft:
        draft.table("roles", ROLES)
        draft.document("summary", {"value": value})
        draft.path("fit-0/weights.bin").write_bytes(b"\x00\x01")
        artifact = store.publish(draft, ref, question, seconds=1.5)
    store.point(ref, artifact)
    return artifact


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


READINGS = {
    "roles.parquet": lambda artifact: artifact.table("roles"),
    "summary.json": lambda artifact: artifact.document("summary"),
    "fit-0/weights.bin": lambda artifact: artifact.subfolder("fit-0"),
}


def test_what_was_written_is_read_back(store):
    publish(store)
    artifact = store.require(REF)
    assert artifact.table("roles").equals(ROLES)
    assert artifact.document("summary") == {"value": 1}
    assert (artifact.subfolder("fit-0") / "weights.bin").read_bytes() == b"\x00\x01"


@pytest.mark.parametrize("file", READINGS)
def test_changed_byte_is_refused_on_reading(store, file):
    folder = publish(store).folder
    flip_a_bit(folder / file)
    with pytest.raises(CorruptArtifactError, match=f"{file}.*--force"):
        READINGS[file](store.require(REF))


@pytest.mark.parametrize("file", READINGS)
def test_missing_file_is_refused_on_reading(store, file):
    folder = publish(store).folder
    (folder / file).unlink()
    with pytest.raises(CorruptArtifactError, match="no file"):
        READINGS[file](store.require(REF))


def test_a_damaged_file_does_not_stop_the_reading_of_the_others(store):
    flip_a_bit(publish(store).folder / "summary.json")
    assert store.require(REF).table("roles").height == 2


def test_a_file_that_was_added_later_is_no_part_of_the_artifact(store):
    artifact = publish(store)
    (artifact.folder / "extra.json").write_text("{}")
    with pytest.raises(CorruptArtifactError, match="no such file"):
        artifact.document("extra")


@pytest.mark.parametrize("name", ["../../../outside", "/etc/hostname", "manifest"])
def test_only_files_of_the_manifest_are_handed_out(store, name):
    with pytest.raises(CorruptArtifactError, match="no such file"):
        publish(store).path(f"{name}.json")


@pytest.mark.parametrize("content", ["", "{", '{"digest": "ab', "{}", "[]", "null", "\udcff\udcfe", "[" * 100_000])
def test_a_manifest_cut_short_is_refused(store, content):
    (publish(store).folder / MANIFEST).write_text(content, errors="surrogateescape")
    with pytest.raises(CorruptArtifactError, match="manifest"):
        store.current(REF)
    assert (store.find("split", QUESTION.fingerprint), store.objects()) == (None, [])
    assert [problem.what for problem in store.unreadable()] == ["the manifest is not one that was published"]


def test_a_folder_without_manifest_is_no_artifact(store):
    folder = publish(store).folder
    (folder / MANIFEST).unlink()
    assert store.current(REF) is None
    assert store.find("split", QUESTION.fingerprint) is None
    assert store.objects() == []


def test_a_partition_whose_object_was_removed_shows_nothing(store):
    publish(store).folder.rename(store.root / "away")
    assert store.current(REF) is None


def test_what_was_never_made_says_how_to_make_it(store):
    with pytest.raises(MissingArtifactError, match=r"predictions\[covid\|esm2-8m\].*ab-assets materialize covid"):
        store.require(Ref("predictions", "covid", "esm2-8m"))


def test_an_empty_store_is_read_without_being_made(tmp_path):
    store = ArtifactStore(tmp_path / "nowhere")
    assert (store.find("split", "0" * 64), store.current(REF), store.objects(), store.partitions()) == (
        None,
        None,
        [],
        [],
    )
    assert not store.root.exists()


def test_find_answers_the_question_that_was_asked(store):
    artifact = publish(store)
    found = store.find("split", QUESTION.fingerprint)
    assert found is not None
    assert found.folder == artifact.folder
    assert store.find("split", Question("split", parameters={"folds": 5}).fingerprint) is None
    assert store.find("report", QUESTION.fingerprint) is None


def test_find_does_not_take_a_fingerprint_that_only_begins_alike(store):
    publish(store)
    fingerprint = QUESTION.fingerprint
    assert store.find("split", fingerprint[:32] + "0" * 32) is None


@pytest.mark.parametrize("older", [0, 1])
def test_find_takes_the_newest_of_several_answers(store, older):
    answers = [publish(store, value=value) for value in (0, 1)]
    path = answers[older].folder / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["made"]["at_ns"] = 0
    path.write_text(json.dumps(manifest))
    found = store.find("split", QUESTION.fingerprint)
    assert found is not None
    assert found.document("summary") == {"value": 1 - older}


def test_find_passes_over_an_answer_that_is_not_whole(store):
    kept, broken = publish(store, value=0), publish(store, value=1)
    (broken.folder / "roles.parquet").unlink()
    found = store.find("split", QUESTION.fingerprint)
    assert found is not None
    assert found.folder == kept.folder


def test_manifest_lists_every_file_with_digest_and_size(store):
    artifact = publish(store)
    on_disk = {p.relative_to(artifact.folder).as_posix() for p in artifact.folder.rglob("*") if p.is_file()}
    assert artifact.manifest["files"].keys() == on_disk - {MANIFEST}
    for name, entry in artifact.manifest["files"].items():
        path = artifact.folder / name
        assert entry == {"sha256": file_digest(path), "bytes": path.stat().st_size}


def test_content_digest_depends_on_names_and_bytes_alone(store):
    one = publish(store)
    two = publish(store, Ref("split", "other"), Question("split", parameters={"folds": 5}))
    assert one.digest == two.digest == digest_of({n: e["sha256"] for n, e in one.manifest["files"].items()})
    assert publish(store, value=2).digest != one.digest
    assert one.fingerprint != two.fingerprint


def test_every_file_is_synced_before_it_can_be_seen_and_the_manifest_last(store, monkeypatch):
    synced, sync = [], os.fsync

    def record(handle):
        synced.append(os.fstat(handle).st_ino)
        sync(handle)

    monkeypatch.setattr(os, "fsync", record)
    artifact = publish(store)
    files = [(artifact.folder / name).stat().st_ino for name in artifact.manifest["files"]]
    manifest, home = (artifact.folder / MANIFEST).stat().st_ino, artifact.folder.parent.stat().st_ino
    pointer = (store.root / "current" / "split" / "covid.json").stat().st_ino
    order = [synced.index(inode) for inode in (*files, manifest, home, pointer)]
    assert max(order[:-3]) < order[-3] < order[-2] < order[-1]


def test_a_draft_that_was_not_published_is_gone(store):
    with store.draft() as draft:
        draft.document("summary", 1)
        folder = draft.folder
    assert not folder.exists()
    assert store.objects() == []


def test_drafts_lie_on_the_file_system_of_the_objects(store):
    artifact = publish(store)
    with store.draft() as draft:
        assert draft.folder.stat().st_dev == artifact.folder.stat().st_dev


def test_what_is_published_can_be_read_by_colleagues(store):
    artifact = publish(store)
    pointer = store.root / "current" / "split" / "covid.json"
    assert stat.S_IMODE(artifact.folder.stat().st_mode) == 0o755
    assert stat.S_IMODE(pointer.stat().st_mode) == 0o644


def test_pointing_changes_what_is_shown_and_nothing_else(store):
    old, new = publish(store, value=0), publish(store, value=1)
    before = file_digest(old.folder / MANIFEST)
    store.point(REF, old)
    current = store.current(REF)
    assert current is not None
    assert current.document("summary") == {"value": 0}
    assert new.is_whole()
    assert file_digest(old.folder / MANIFEST) == before


def test_a_store_that_was_moved_shows_the_same(store, tmp_path):
    digest = publish(store).digest
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("objects", "current"):
        (tmp_path / name).rename(moved / name)
    assert ArtifactStore(moved).require(REF).digest == digest


def test_a_reader_beside_a_writer_always_sees_a_whole_answer(store):
    answers = [publish(store, value=value) for value in (0, 1)]

    def write():
        for index in range(30):
            store.point(REF, answers[index % 2])

    def read():
        return {store.require(REF).document("summary")["value"] for _ in range(30)}

    with ThreadPoolExecutor(3) as pool:
        writer, *readers = pool.submit(write), pool.submit(read), pool.submit(read)
        assert all(reader.result() <= {0, 1} for reader in readers)
        writer.result()
    assert list((store.root / "current" / "split").iterdir()) == [store.root / "current" / "split" / "covid.json"]


def test_partitions_are_listed_with_and_without_model(store):
    refs = [Ref("predictions", "covid", "esm2-8m"), Ref("predictions", "covid", "v1.json"), Ref("split", "a.b-c_d")]
    for ref in reversed(refs):
        publish(store, ref)
    assert store.partitions() == sorted(refs, key=str)


def test_benchmarks_are_those_of_which_an_asset_shows_something(store):
    for ref in (Ref("raw_dataset", "one"), Ref("raw_dataset", "two.b"), Ref("split", "three")):
        publish(store, ref)
    assert store.benchmarks("raw_dataset") == {"one", "two.b"}
    assert store.benchmarks("report") == set()


def test_a_pointer_half_written_by_a_killed_process_is_no_partition(store):
    publish(store)
    (store.root / "current" / "split" / ".covid.json.x1y2z3").write_text('{"object"')
    assert store.partitions() == [REF]


def test_objects_are_listed_once_however_many_partitions_show_them(store):
    publish(store)
    publish(store, Ref("split", "other"))
    assert [item.digest for item in store.objects()] == [store.require(REF).digest]


def test_an_artifact_is_whole_while_every_file_has_its_size(store):
    artifact = publish(store)
    assert artifact.is_whole()
    with (artifact.folder / "fit-0" / "weights.bin").open("ab") as stream:
        stream.write(b"\x00")
    assert not artifact.is_whole()


def test_a_name_like_a_pattern_is_one_file(store):
    with store.draft() as draft:
        draft.table("roles[0]*", ROLES)
        artifact = store.publish(draft, REF, QUESTION, seconds=0)
    assert artifact.table("roles[0]*").equals(ROLES)


def test_documents_are_written_the_same_whatever_the_order_of_their_keys(store):
    with store.draft() as one, store.draft() as two:
        one.document("summary", {"a": 1, "ß": [2]})
        two.document("summary", {"ß": [2], "a": 1})
        assert file_digest(one.path("summary.json")) == file_digest(two.path("summary.json"))


def test_a_document_that_is_no_json_is_refused(store):
    with store.draft() as draft, pytest.raises(ValueError, match="not JSON compliant"):
        draft.document("summary", {"loss": float("nan")})


@pytest.mark.parametrize(
    ("ref", "text"), [(REF, "split[covid]"), (Ref("predictions", "covid", "esm2-8m"), "predictions[covid|esm2-8m]")]
)
def test_a_partition_is_said_as_asset_and_key(ref, text):
    assert str(ref) == text


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest | {"format": 2},
        lambda manifest: manifest | {"question": {}},
        lambda manifest: manifest | {"fingerprint": "0" * 64},
        lambda manifest: manifest | {"files": {}},
        lambda manifest: manifest | {"made": {}},
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(store, change):
    path = publish(store).folder / MANIFEST
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(CorruptArtifactError, match="manifest"):
        store.current(REF)


def test_a_manifest_edited_with_its_file_is_refused(store):
    artifact = publish(store)
    flip_a_bit(artifact.folder / "summary.json")
    manifest = json.loads((artifact.folder / MANIFEST).read_text())
    manifest["files"]["summary.json"]["sha256"] = file_digest(artifact.folder / "summary.json")
    (artifact.folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CorruptArtifactError):
        store.require(REF)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"object": 3}', '{"object": 3, "digest": "0"}', "\udcff"])
def test_a_broken_pointer_is_refused_as_corrupt(store, content):
    publish(store)
    (store.root / "current/split/covid.json").write_text(content, errors="surrogateescape")
    with pytest.raises(CorruptArtifactError, match=r"pointer.*Remove it\. Run: ab-assets materialize covid"):
        store.current(REF)


def test_a_pointer_to_another_answer_than_it_names_is_refused(store):
    shown, other = publish(store, value=0), publish(store, value=1)
    pointer = store.root / "current/split/covid.json"
    pointer.write_text(pointer.read_text().replace(other.folder.name, shown.folder.name))
    with pytest.raises(CorruptArtifactError, match="not the one that this partition points to"):
        store.current(REF)


def test_a_subfolder_that_is_none_is_refused(store):
    with pytest.raises(CorruptArtifactError, match="no such folder"):
        publish(store).subfolder("fit-1")


@pytest.mark.parametrize("key", ["../../../evil", "/etc/evil", "a/b", ""])
def test_the_store_refuses_hostile_keys(key):
    for parts in (("split", key), ("predictions", "covid", key), (key, "covid")):
        with pytest.raises(BadInputError, match="this is no"):
            Ref(*parts)


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "a/../../outside", "", "manifest.json"])
def test_a_draft_writes_inside_itself_and_not_the_manifest(store, name):
    with store.draft() as draft, pytest.raises(BadInputError, match="no file of this name"):
        draft.path(name)


def test_a_benchmark_named_like_a_file_is_one_partition(store):
    ref = Ref("predictions", "x.json", "m")
    publish(store, ref)
    assert store.partitions() == [ref]


def test_a_file_that_no_partition_can_have_is_no_partition(store):
    publish(store)
    (store.root / "current/split/Copy of covid.json").write_text("{}")
    assert store.partitions() == [REF]


def test_every_folder_on_the_way_to_a_result_is_synced(store, monkeypatch):
    synced, sync = set(), os.fsync

    def record(handle):
        synced.add(os.fstat(handle).st_ino)
        sync(handle)

    monkeypatch.setattr(os, "fsync", record)
    artifact = publish(store)
    folders = [artifact.folder, artifact.folder / "fit-0", artifact.folder.parent, store.root / "objects", store.root]
    folders += [store.root / "current", store.root / "current" / "split"]
    assert {folder.stat().st_ino for folder in folders} <= synced


def test_what_a_killed_process_left_behind_is_swept_after_a_week(store):
    for name, age in (("dead", 8 * 86400), ("busy", 6 * 86400)):
        folder = store.root / "staging" / name
        folder.mkdir(parents=True)
        (folder / "weights.bin").write_bytes(b"")
        for path in (folder / "weights.bin", folder):
            os.utime(path, times=(path.stat().st_mtime - age,) * 2)
    with store.draft():
        assert not (store.root / "staging" / "dead").exists()
        assert (store.root / "staging" / "busy").exists()


def test_a_manifest_names_what_the_partition_showed_before(store):
    first = publish(store, value=1)
    second = publish(store, value=2)
    assert first.manifest["before"] is None
    assert second.manifest["before"] == {"fingerprint": first.fingerprint, "digest": first.digest}


def test_what_cannot_be_read_was_not_shown_before(store):
    (publish(store, value=1).folder / MANIFEST).write_text("{}")
    assert publish(store, value=2).manifest["before"] is None


def test_objects_are_found_by_their_content_oldest_first(store):
    first = publish(store)
    publish(store, value=2)
    again = publish(store, question=Question("split", parameters={"folds": 5}))
    assert [item.fingerprint for item in store.holding("split", first.digest)] == [
        first.fingerprint,
        again.fingerprint,
    ]
    assert store.holding("split", "0" * 64) == []


def test_objects_of_one_asset_are_listed_alone(store):
    publish(store)
    publish(store, Ref("report", "covid"), Question("report"))
    assert [item.question["asset"] for item in store.objects("report")] == ["report"]
    assert len(store.objects()) == 2


def test_files_that_are_not_there_in_their_size_are_named(store):
    artifact = publish(store)
    (artifact.folder / "summary.json").unlink()
    (artifact.folder / "fit-0" / "weights.bin").write_bytes(b"")
    assert list(artifact.damaged_files()) == ["fit-0/weights.bin", "summary.json"]
    assert not artifact.is_whole()
    assert publish(store, Ref("split", "flu"), Question("split")).is_whole()


def test_an_artifact_knows_its_store(store):
    assert publish(store).store.root == store.root
