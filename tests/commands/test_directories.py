"""Commands find benchmarks in further directories, say what is away or gone, and write into the home alone."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from tests_support import SPECIFICITY, write_specificity
from typer.testing import CliRunner

from ab_assets.artifacts.collection import Policy
from ab_assets.artifacts.fingerprint import Question
from ab_assets.artifacts.store import Ref
from ab_assets.cli import app
from ab_assets.commands.intake import DEFINED, add_benchmark, fetch_benchmark
from ab_assets.commands.upkeep import removable
from ab_assets.errors import BadInputError
from ab_assets.home import Home
from ab_assets.progress import silent

FETCHED = "paratope-paragraph"


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """Return a further directory with `far` in it; the home has `near`."""
    monkeypatch.setenv("AB_ASSETS_HOME", str(tmp_path / "home"))
    write_specificity(tmp_path / "home" / "benchmarks" / "near", toml=antiberty())
    (tmp_path / "home" / "benchmarks.toml").write_text(f'directories = ["{tmp_path}/lab"]')
    write_specificity(tmp_path / "lab" / "far", toml=antiberty())
    return tmp_path / "lab"


@pytest.fixture
def home(lab):
    return Home.from_environment()


def antiberty():
    return SPECIFICITY.replace('["twin-bert", "twin-esm"]', '["antiberty"]')


def say(*arguments):
    done = CliRunner().invoke(app, arguments)
    if isinstance(done.exception, BadInputError):
        return str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.output


def results_of(home, name):
    with home.store.draft() as draft:
        draft.document("content", {"of": name})
        ref = Ref("raw_dataset", name)
        home.store.point(ref, home.store.publish(draft, ref, Question("raw_dataset", {"of": name}), seconds=0))
    return home.store.require(ref).folder


def test_benchmarks_of_all_directories_are_listed_and_planned(lab):
    assert {row["benchmark"] for row in json.loads(say("status", "--json"))} == {"near", "far"}
    assert {row["benchmark"] for row in json.loads(say("plan", "--json"))} == {"near", "far"}
    assert "raw_dataset" in say("plan", "far")


def test_a_directory_that_is_away_is_said_and_holds_up_no_other(lab):
    lab.rename(lab.with_name("away"))
    said = say("plan")
    assert f"{lab} is not there (not mounted?); what lies there is left as it is" in said
    assert "near" in said
    assert f"there is no benchmark 'far', but {lab} is not there (not mounted?)" in say("plan", "far")
    assert f"{lab} is not there" in say("materialize", "far")


def test_a_benchmark_whose_folder_is_gone_is_a_line_and_no_failure(lab, home):
    results_of(home, "far")
    shutil.rmtree(lab / "far")
    (lab / ".keep").touch()
    line = "far: its folder is gone; results are kept"
    assert line in say("plan")
    assert say("plan", "far").splitlines()[-2:] == [line, "0 of 0 to make."]
    assert line in say("status")
    row = next(row for row in json.loads(say("status", "--json")) if row["benchmark"] == "far")
    assert (row["task"], row["note"], row["partitions"]) == ("-", "its folder is gone; results are kept", 0)
    assert "there is no benchmark 'never'" in say("plan", "never")


def test_gc_keeps_what_a_removed_benchmark_shows(lab, home):
    shown = results_of(home, "far")
    os.utime(shown / "manifest.json", (1, 1))
    shutil.rmtree(lab)
    policy = Policy(days=0, versions=0)
    assert removable(home, policy) == []
    (home.store.root / "current" / "raw_dataset" / "far.json").unlink()
    manifest = shown / "manifest.json"
    made = home.store.objects()[0].manifest["made"]["at_ns"]
    manifest.write_text(manifest.read_text().replace(str(made), "1"))
    os.utime(manifest, (1, 1))
    assert [item.folder for item in removable(home, policy)] == [shown]


def test_a_bad_list_of_directories_is_an_error_that_says_so(lab, home):
    (home.root / "benchmarks.toml").write_text("directory = 1\ndirectories = 2")
    for command in (["plan"], ["status"], ["add", str(lab / "far")], ["materialize", "near"]):
        said = say(*command)
        assert "the directories of benchmarks have 2 problem(s)" in said
        assert "Did you mean 'directories'?" in said


def test_add_writes_into_the_home_and_never_beside_a_benchmark_of_that_name(lab, home, tmp_path):
    write_specificity(tmp_path / "new", toml=antiberty())
    assert add_benchmark(tmp_path / "new", home) == "new"
    assert home.own_folder("new").is_dir()
    for replace in (False, True):
        with pytest.raises(BadInputError, match="there is a benchmark 'far' already, in a directory that benchmarks"):
            add_benchmark(tmp_path / "new", home, name="far", replace=replace)
    assert not home.own_folder("far").exists()


def test_add_copies_nothing_of_a_folder_that_lies_in_a_directory_already(lab, home):
    assert add_benchmark(lab / "far", home) == "far"
    assert not home.own_folder("far").exists()


def test_fetch_takes_no_name_of_a_further_directory(lab, home):
    shutil.copytree(DEFINED / FETCHED, lab / FETCHED)
    with pytest.raises(BadInputError, match="already"):
        fetch_benchmark(FETCHED, home, progress=silent)
