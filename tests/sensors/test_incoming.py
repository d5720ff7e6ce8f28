"""Folders that arrive become partitions."""

from __future__ import annotations

import re
import shutil
import time

import pytest
from dagster import AssetKey
from tests_support import SPECIFICITY, write_specificity

from ab_assets.partitions import BENCHMARK


def partitions(automation):
    return automation.instance.get_dynamic_partitions(BENCHMARK)


def test_a_folder_is_registered_once_it_lay_still(automation):
    write_specificity(automation.home.folder("tiny"), count=6)
    first = automation.tick("incoming_benchmarks")
    assert "still arriving: tiny" in first.skip_message
    assert partitions(automation) == []
    assert "taken: tiny" in automation.arrive()
    assert partitions(automation) == ["tiny"]


def test_an_invalid_one_is_explained_once_and_stands_in_nobodys_way(automation):
    write_specificity(automation.home.folder("bad"), toml=SPECIFICITY.replace("chains", "chians"))
    write_specificity(automation.home.folder("good"), count=6)
    said = automation.arrive()
    assert "taken: good" in said
    assert "as the log of this tick explains: bad" in said
    again = automation.tick("incoming_benchmarks").skip_message
    assert "cannot be taken: bad" in again
    assert "explains" not in again
    assert partitions(automation) == ["good"]


def test_a_mended_one_is_taken(automation):
    folder = write_specificity(automation.home.folder("bad"), toml=SPECIFICITY.replace("chains", "chians"))
    automation.arrive()
    (folder / "benchmark.toml").write_text(SPECIFICITY)
    assert "taken: bad" in automation.arrive()


def observed(automation):
    """Return what the UI was told of the folder of `tiny`, newest first."""
    records = automation.instance.fetch_observations(AssetKey("raw_dataset"), limit=10).records
    return [record.asset_observation.metadata["folder"].value for record in records if record.partition_key == "tiny"]


def test_a_removed_folder_retires_its_benchmark_in_the_second_look_and_loses_nothing(automation):
    folder = write_specificity(automation.home.folder("tiny"), count=6)
    automation.arrive()
    folder.rename(automation.home.root / "aside")
    assert "retired" not in automation.tick("incoming_benchmarks").skip_message
    assert observed(automation) == []
    assert "retired, their folders were removed: tiny" in automation.arrive()
    assert "retired, their folders were removed: tiny" in automation.tick("incoming_benchmarks").skip_message
    [told] = observed(automation)
    assert re.fullmatch(r"retired: its folder was removed on \d{4}-\d\d-\d\d; results are kept", told)
    assert partitions(automation) == ["tiny"]
    (automation.home.root / "aside").rename(folder)
    assert "retired" not in automation.tick("incoming_benchmarks").skip_message
    assert "taken" not in automation.arrive()
    assert observed(automation) == [f"not retired any more: its folder is in {folder.parent}", told]


def test_a_folder_that_was_never_taken_leaves_nothing_behind(automation):
    folder = write_specificity(automation.home.folder("bad"), toml=SPECIFICITY.replace("chains", "chians"))
    automation.arrive()
    shutil.rmtree(folder)
    assert automation.arrive() == "0 benchmark folders"


@pytest.fixture
def lab(automation, tmp_path):
    """Return a further directory of the home, with `far` in it, taken; the home has `near`."""
    automation.home.root.joinpath("benchmarks.toml").write_text('directories = ["../lab"]')
    write_specificity(automation.home.folder("near"), count=6)
    write_specificity(tmp_path / "lab" / "far", count=6)
    assert "taken: far, near" in automation.arrive()
    return tmp_path / "lab"


def test_folders_of_further_directories_are_taken(automation, lab):
    assert partitions(automation) == ["far", "near"]


def test_a_directory_that_is_away_is_said_and_its_benchmarks_are_not_removed(automation, lab):
    lab.rename(lab.with_name("away"))
    write_specificity(automation.home.folder("new"), count=6)
    said = [automation.tick("incoming_benchmarks").skip_message, automation.arrive()]
    assert "taken: new" in said[1]
    for text in said:
        assert f"{lab} is not there (not mounted?)" in text
        assert "retired" not in text
    lab.with_name("away").rename(lab)
    assert automation.tick("incoming_benchmarks").skip_message == "3 benchmark folders"


def test_a_second_folder_of_a_name_is_refused_once_and_counts_when_the_first_is_gone(automation, lab):
    first = automation.home.folder("near")
    write_specificity(lab / "near", count=8)
    assert f"as the log of this tick explains: {lab / 'near'}" in automation.arrive()
    assert f"cannot be taken: {lab / 'near'}" in automation.tick("incoming_benchmarks").skip_message
    assert automation.home.folder("near") == first
    shutil.rmtree(first)
    assert "still arriving: near" in automation.tick("incoming_benchmarks").skip_message
    assert "taken: near" in automation.arrive()


def test_while_a_directory_is_away_no_other_folder_takes_the_place_of_its_benchmarks(automation, lab):
    lab.rename(lab.with_name("away"))
    write_specificity(automation.home.root / "benchmarks" / "far", count=8)
    said = automation.arrive()
    assert f"explains: {automation.home.root / 'benchmarks' / 'far'}" in said
    assert "taken" not in said.replace("cannot be taken", "")


def test_a_bad_list_of_directories_is_said_and_no_sensor_fails(automation, lab):
    (automation.home.root / "mail.toml").write_text('host = "h"\nsender = "a@b.c"\nrecipients = ["a@b.c"]')
    (automation.home.root / "benchmarks.toml").write_text("directory = 1")
    for name in ("incoming_benchmarks", "refresh", "notifications"):
        assert "unknown key directory" in automation.tick(name).skip_message
    assert partitions(automation) == ["far", "near"]


def test_thousands_of_folders_are_looked_at_in_a_fraction_of_a_minute(automation, lab):
    for index in range(1500):
        for directory in (lab, automation.home.root / "benchmarks"):
            folder = directory / f"{directory.name}-{index}"
            folder.mkdir()
            (folder / "benchmark.toml").touch()
    begin = time.monotonic()
    assert automation.tick("incoming_benchmarks").skip_message.startswith("3002 benchmark folders")
    assert time.monotonic() - begin < 20


def test_a_lost_record_costs_two_looks(automation):
    write_specificity(automation.home.folder("tiny"), count=6)
    automation.arrive()
    (automation.home.cache / "arrivals.json").write_text("garbled")
    assert "taken: tiny" in automation.arrive()
    assert partitions(automation) == ["tiny"]


def test_a_retired_one_does_not_become_a_partition_again(automation):
    folder = write_specificity(automation.home.folder("tiny"), toml=SPECIFICITY.replace("task", "retired = true\ntask"))
    automation.arrive()
    assert partitions(automation) == []
    (folder / "benchmark.toml").write_text(SPECIFICITY)
    automation.arrive()
    assert partitions(automation) == ["tiny"]


def test_a_home_at_rest_is_not_written_to(automation):
    write_specificity(automation.home.folder("tiny"), count=6)
    automation.arrive()
    record = automation.home.cache / "arrivals.json"
    before = record.stat().st_ino
    automation.tick("incoming_benchmarks")
    assert record.stat().st_ino == before
