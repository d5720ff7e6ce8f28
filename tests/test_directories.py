"""Benchmarks lie in the home first, then in further directories; one that is away removes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ab_assets.directories import Directories, laid_out, read_directories
from ab_assets.errors import BadInputError

OWN, LAB, ARCHIVE = Path("/home/benchmarks"), Path("/lab"), Path("/archive")


def said(root, text):
    root.mkdir(exist_ok=True)
    (root / "benchmarks.toml").write_text(text)
    return read_directories(root)


def folder(directory, *names):
    for name in names:
        (directory / name).mkdir(parents=True)
    return directory


def test_without_a_file_there_is_the_homes_own_directory(tmp_path):
    assert read_directories(tmp_path) == Directories(tmp_path / "benchmarks")


def test_relative_paths_begin_at_the_home_and_a_tilde_at_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    found = said(tmp_path / "home", 'directories = ["more", "/mnt/lab", "~/mine"]')
    assert found.further == (tmp_path / "home" / "more", Path("/mnt/lab"), tmp_path / "me" / "mine")


def test_a_directory_that_is_said_twice_is_one(tmp_path):
    (folder(tmp_path / "lab") / "x").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "lab")
    assert len(said(tmp_path / "home", 'directories = ["../lab", "../lab/", "../link", "benchmarks"]').further) == 1


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("directories = ", ["this is no TOML file"]),
        ('directories = ["", 3]\ndirectores = 1', ["directories.0", "directories.1", "Did you mean 'directories'?"]),
        ('directories = [".", "/"]', ["the home itself lies in it (found '.')", "(found '/')"]),
        ('directories = ["store", "cache/x"]', ["holds something else (found 'store')", "(found 'cache/x')"]),
        ('directories = ["/lab", "/lab/more"]', ["one in the other (found '/lab/more')"]),
        ('directories = ["benchmarks/more"]', ["one in the other"]),
        ('directories = ["~nobody-of-this-name/x", "a\\u0000b"]', ["~nobody", "this is no directory"]),
    ],
)
def test_every_problem_of_the_file_is_said_at_once(tmp_path, text, problems):
    with pytest.raises(BadInputError) as refused:
        said(tmp_path / "home", text)
    assert str(tmp_path / "home" / "benchmarks.toml") in str(refused.value)
    for problem in problems:
        assert problem in str(refused.value)


def test_of_one_name_the_first_directory_counts():
    found = laid_out({OWN: {"a"}, LAB: {"a", "b"}, ARCHIVE: {"a", "b", ".hidden"}})
    assert found.folders == {"a": OWN / "a", "b": LAB / "b"}
    assert found.doubles == {LAB / "a": OWN / "a", ARCHIVE / "a": OWN / "a", ARCHIVE / "b": LAB / "b"}


def test_a_directory_that_cannot_be_looked_into_is_named_and_holds_up_no_other():
    found = laid_out({OWN: {"a"}, LAB: "is not there", ARCHIVE: {"b"}})
    assert set(found.folders) == {"a", "b"}
    assert found.missing == ["/lab is not there"]


def test_the_layout_is_that_of_the_disk(tmp_path):
    found = Directories(folder(tmp_path / "own", "a", ".a.x1"), (folder(tmp_path / "lab", "a", "b"),))
    (tmp_path / "lab" / "a file").touch()
    assert set(found.layout().folders) == {"a", "b"}
    assert found.layout().doubles == {tmp_path / "lab" / "a": tmp_path / "own" / "a"}
    assert found.folder("b") == tmp_path / "lab" / "b"
    assert found.folder("a") == tmp_path / "own" / "a"
    assert found.folder("new") == tmp_path / "own" / "new"


def test_a_mount_point_without_its_share_is_away_and_an_empty_home_is_not(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    further = (tmp_path / "empty", tmp_path / "gone", tmp_path / "file")
    found = Directories(tmp_path / "own", further).layout()
    assert found.missing == [
        f"{tmp_path / 'empty'} is empty (not mounted?)",
        f"{tmp_path / 'gone'} is not there (not mounted?)",
        f"{tmp_path / 'file'} cannot be looked into: Not a directory",
    ]
    (tmp_path / "empty" / ".keep").touch()
    assert tmp_path / "empty" not in Directories(tmp_path / "own", further).layout().absent


def test_a_link_to_a_share_that_is_away_is_no_removed_folder(tmp_path):
    (folder(tmp_path / "own", "a") / "b").symlink_to(tmp_path / "share" / "b")
    found = Directories(tmp_path / "own", (folder(tmp_path / "lab", "b"),))
    assert set(found.layout().folders) == {"a", "b"}
    assert found.folder("b") == tmp_path / "own" / "b"
