"""What was written, and the names that lead to it, are asked onto the disk."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from ab_assets.artifacts.durable import in_turn, make_folder, sync_tree, write_atomically


@pytest.fixture
def synced(monkeypatch):
    """The inodes that were synced, in order."""
    inodes, sync = [], os.fsync

    def record(handle):
        inodes.append(os.fstat(handle).st_ino)
        sync(handle)

    monkeypatch.setattr(os, "fsync", record)
    return inodes


def test_a_folder_is_made_with_its_parents_and_every_new_name_is_kept(tmp_path, synced):
    assert make_folder(tmp_path / "a" / "b").is_dir()
    assert synced == [tmp_path.stat().st_ino, (tmp_path / "a").stat().st_ino]


def test_a_folder_that_is_there_costs_nothing(tmp_path, synced):
    assert make_folder(tmp_path) == tmp_path
    assert synced == []


def test_a_tree_is_synced_from_its_leaves_to_its_root(tmp_path, synced):
    make_folder(tmp_path / "a")
    (tmp_path / "a" / "x").write_text("1")
    synced.clear()
    sync_tree(tmp_path)
    assert synced == [path.stat().st_ino for path in (tmp_path / "a" / "x", tmp_path / "a", tmp_path)]


def test_a_file_is_replaced_at_once_and_readable_by_all(tmp_path, synced):
    path = tmp_path / "covid.json"
    path.write_text("old")
    write_atomically(path, "new ß")
    assert path.read_text(encoding="utf-8") == "new ß"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert synced == [path.stat().st_ino, tmp_path.stat().st_ino]
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_could_not_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "covid.json"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"


def test_one_at_a_time_is_inside_a_lock(tmp_path):
    inside, most = [], []

    def enter(index):
        with in_turn(tmp_path / ".lock"):
            inside.append(index)
            most.append(len(inside))
            (tmp_path / "x").write_text("some work")
            inside.remove(index)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(enter, range(40)))
    assert set(most) == {1}
