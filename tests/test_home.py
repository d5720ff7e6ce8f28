"""A benchmark is found wherever it lies, and benchmarks.toml is read once."""

from __future__ import annotations

import shutil

import pytest
from tests_support import SPECIFICITY, write_specificity

from ab_assets.directories import read_directories
from ab_assets.errors import BadInputError, UnknownNameError
from ab_assets.home import Home


@pytest.fixture
def both(tmp_path):
    """Return a home with `here`, and `there` in a further directory."""
    home = Home(tmp_path / "home")
    write_specificity(home.root / "benchmarks" / "here", count=6)
    write_specificity(tmp_path / "lab" / "there", count=6)
    (home.root / "benchmarks.toml").write_text('directories = ["../lab"]')
    return home


def test_names_and_folders_are_those_of_all_directories(both, tmp_path):
    assert both.names() == ["here", "there"]
    assert both.folder("there") == tmp_path / "lab" / "there"
    assert [one.name for one in both.benchmarks()] == ["here", "there"]
    assert both.own_folder("there") == both.root / "benchmarks" / "there"


def test_of_two_of_one_name_that_of_the_home_is_read(both):
    write_specificity(both.own_folder("there"), toml=SPECIFICITY.replace("Tiny specificity", "Ours"))
    assert both.benchmark("there").title == "Ours"
    assert both.names() == ["here", "there"]


def test_what_is_no_benchmark_or_has_no_name_is_left_out(both, tmp_path):
    (tmp_path / "lab" / "notes").mkdir()
    write_specificity(tmp_path / "lab" / "No Key", count=6)
    write_specificity(tmp_path / "lab" / ".there.x1", count=6)
    assert both.names() == ["here", "there"]
    assert len(both.benchmarks()) == 2


def test_a_benchmark_of_a_directory_that_is_away_is_not_found_with_the_reason(both, tmp_path):
    (tmp_path / "lab").rename(tmp_path / "away")
    assert both.names() == ["here"]
    with pytest.raises(UnknownNameError, match=r"no benchmark 'there', but \S+/lab is not there \(not mounted\?\)"):
        both.benchmark("there")
    (tmp_path / "away").rename(tmp_path / "lab")
    assert both.benchmark("there").name == "there"


def test_the_file_is_read_once_however_many_benchmarks_there_are(both, monkeypatch):
    read = []
    monkeypatch.setattr("ab_assets.home.read_directories", lambda root: read.append(root) or read_directories(root))
    for name in both.names() * 3:
        both.benchmark(name)
        both.folder(name)
    both.benchmarks()
    assert read == [both.root]


def test_a_bad_file_is_an_error_of_whoever_asks_for_benchmarks(both):
    (both.root / "benchmarks.toml").write_text('directory = ["../lab"]')
    for ask in (both.names, both.benchmarks, lambda: both.benchmark("here"), lambda: both.own_folder("new")):
        with pytest.raises(BadInputError, match="Did you mean 'directories'"):
            ask()


def test_a_folder_that_is_removed_while_all_are_read_is_left_out(both, monkeypatch):
    names = both.names()
    shutil.rmtree(both.folder("there"))
    monkeypatch.setattr(Home, "names", lambda home: names)
    assert [one.name for one in both.benchmarks()] == ["here"]
