"""Folders that arrive become partitions."""

from __future__ import annotations

import shutil

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


def test_a_removed_folder_loses_nothing(automation):
    folder = write_specificity(automation.home.folder("tiny"), count=6)
    automation.arrive()
    shutil.rmtree(folder)
    automation.arrive()
    assert partitions(automation) == ["tiny"]


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
