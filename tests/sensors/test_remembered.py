"""A file that was not written to is not read again."""

from __future__ import annotations

import os

import pytest

import sensors.remembered
from ab_assets.artifacts.fingerprint import file_digest
from sensors.remembered import RememberedDigests

YEAR_NS = 365 * 24 * 3600 * 10**9


@pytest.fixture
def read(monkeypatch):
    """Return the list of files that were read."""
    files = []

    def counted(path):
        files.append(path.name)
        return file_digest(path)

    monkeypatch.setattr(sensors.remembered, "file_digest", counted)
    return files


def settled(monkeypatch):
    now = sensors.remembered.time.time_ns()
    monkeypatch.setattr(sensors.remembered.time, "time_ns", lambda: now + YEAR_NS)


def test_a_file_at_rest_is_read_once(tmp_path, read, monkeypatch):
    (tmp_path / "a").write_text("one")
    settled(monkeypatch)
    digests = RememberedDigests()
    assert {digests.digest(tmp_path / "a") for _ in range(5)} == {file_digest(tmp_path / "a")}
    assert read == ["a"]


def test_what_was_written_just_now_is_read_again(tmp_path, read):
    (tmp_path / "a").write_text("one")
    digests = RememberedDigests()
    assert digests.digest(tmp_path / "a") == digests.digest(tmp_path / "a")
    assert read == ["a", "a"]


@pytest.mark.parametrize("how", ["replaced", "in place"])
def test_other_content_of_equal_size_and_time_is_another_digest(tmp_path, read, monkeypatch, how):
    file, digests = tmp_path / "a", RememberedDigests()
    file.write_text("one")
    settled(monkeypatch)
    first, times = digests.digest(file), file.stat()
    while (tmp_path / "b").write_text("two") and (tmp_path / "b").stat().st_ctime_ns <= times.st_ctime_ns:
        pass  # until the clock of the file system has moved
    if how == "replaced":
        (tmp_path / "b").replace(file)
    else:
        file.write_text("two")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert digests.digest(file) == file_digest(file) != first
