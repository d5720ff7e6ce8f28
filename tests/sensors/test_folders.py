"""Folders on a disk: every write shows, and reading one finds what is missing."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time

import pytest
from tests_support import SPECIFICITY, write_specificity

from ab_assets.directories import Layout
from ab_assets.home import Home
from sensors.arrivals import Seen
from sensors.folders import examine, look_at, read_seen, watched, write_seen


def looks(home, seen=None):
    return watched(home.layout(), seen or {}).looks()


@pytest.fixture
def folder(tmp_path):
    return write_specificity(tmp_path / "benchmarks" / "tiny", count=6)


def later(folder):
    """Return when a file written now would show a later time of change than those in the folder."""
    newest = max(path.stat().st_ctime_ns for path in folder.iterdir())
    probe = folder.parent / "probe"
    while not probe.exists() or probe.stat().st_ctime_ns <= newest:
        probe.write_text("x")
    probe.unlink()


def write_digests(folder, *names):
    for name in names:
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        (folder / f"{name}.sha256").write_text(f"{digest}  {name}\n")


def test_a_rewrite_of_equal_size_with_its_old_times_shows(folder):
    file = folder / "antibodies.csv"
    before, times = look_at(folder), file.stat()
    later(folder)
    file.write_bytes(bytes(reversed(file.read_bytes())))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert look_at(folder) != before


@pytest.mark.parametrize("change", ["add", "remove", "rename", "below"])
def test_every_change_of_a_name_shows(folder, change):
    before = look_at(folder)
    if change == "add":
        (folder / "more.csv").touch()
    elif change == "remove":
        (folder / "antibodies.csv").unlink()
    elif change == "rename":
        (folder / "antibodies.csv").rename(folder / "other.csv")
    else:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").touch()
    assert look_at(folder) != before


def test_a_folder_at_rest_looks_the_same(folder):
    assert look_at(folder) == look_at(folder)


def test_what_add_is_writing_is_not_looked_at(folder):
    write_specificity(folder.parent / ".tiny.x1", count=6)
    (folder.parent / "a file").touch()
    assert set(looks(Home(folder.parents[1]))) == {"tiny"}


def test_a_home_without_benchmarks_has_none(tmp_path):
    assert looks(Home(tmp_path)) == {}


def test_a_whole_folder_has_no_problems_and_proves_nothing(folder):
    found = examine(folder)
    assert (found.problems, found.vouched, found.look) == ((), False, look_at(folder))


def test_problems_are_those_of_validate_with_their_lines(folder):
    (folder / "benchmark.toml").write_text(SPECIFICITY.replace("chains", "chians"))
    [problem] = examine(folder).problems
    assert problem.startswith("benchmark.toml:4: unknown key 'chians'")


def test_missing_files_are_named(folder):
    (folder / "antibodies.csv").unlink()
    [problem] = examine(folder).problems
    assert "'antibodies.csv' is not there" in problem


def test_a_folder_without_a_declaration_or_with_no_name_is_refused_not_an_error(folder):
    (folder / "benchmark.toml").unlink()
    assert "there is no benchmark.toml here" in examine(folder).problems[0]
    assert "this is no benchmark name" in examine(write_specificity(folder.parent / "No Key")).problems[0]
    assert examine(folder.parent / "gone").problems


def test_a_marker_written_last_proves_the_folder_complete_and_an_older_one_does_not(folder):
    later(folder)
    (folder / ".complete").touch()
    assert look_at(folder).claims
    assert examine(folder).vouched
    later(folder)
    (folder / "antibodies.csv").write_text("written to afterwards")
    assert not examine(folder).vouched


def test_digests_of_all_files_prove_the_folder_complete(folder):
    write_digests(folder, "antibodies.csv")
    assert not examine(folder).vouched
    write_digests(folder, "antibodies.csv", "benchmark.toml")
    assert examine(folder).vouched


@pytest.mark.parametrize("said", ["0" * 64, "", "no digest"])
def test_a_file_that_is_not_what_its_digest_says_is_not_taken(folder, said):
    (folder / "antibodies.csv.sha256").write_text(said)
    [problem] = examine(folder).problems
    assert problem.startswith("antibodies.csv: its sha256 is not the one in antibodies.csv.sha256")


def test_the_record_is_kept_and_a_garbled_one_is_none(tmp_path):
    home, seen = Home(tmp_path), {"x": Seen("a", time.time(), "a")}
    assert read_seen(home) == {}
    write_seen(home, seen)
    assert read_seen(home) == seen
    (home.cache / "arrivals.json").write_text("{")
    assert read_seen(home) == {}


def two_directories(tmp_path):
    """Return a home and a further directory, with a folder `tiny` in each."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "benchmarks.toml").write_text('directories = ["../lab"]')
    home = Home(tmp_path / "home")
    for directory in (home.directories.own, *home.directories.further):
        write_specificity(directory / "tiny", count=6)
    return home, home.directories.further[0]


def test_of_two_folders_of_one_name_the_second_is_refused_with_where_and_what_to_do(tmp_path):
    home, lab = two_directories(tmp_path)
    watch = watched(home.layout(), {})
    assert set(watch.looks()) == {"tiny", str(lab / "tiny")}
    assert watch.examine("tiny") == examine(home.own_folder("tiny"))
    [problem] = watch.examine(str(lab / "tiny")).problems
    assert problem == f"the benchmark tiny lies in {home.root / 'benchmarks'}, too, which counts. Rename one of them."


def test_a_folder_takes_no_name_that_was_seen_in_a_directory_that_is_away(tmp_path):
    home, lab = two_directories(tmp_path)
    seen = {"tiny": Seen("a", 0, "a", place=str(lab))}
    layout = Layout({"tiny": home.own_folder("tiny")}, {}, {lab: "is not there"})
    assert set(watched(layout, {}).folders) == {"tiny"}
    [key] = watched(layout, seen).folders
    assert key == str(home.own_folder("tiny"))
    assert "tiny lies in" in watched(layout, seen).examine(key).problems[0]
    removed = {"tiny": dataclasses.replace(seen["tiny"], gone=1, removed=True)}
    assert set(watched(layout, removed).folders) == {"tiny"}
