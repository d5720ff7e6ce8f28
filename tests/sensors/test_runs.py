"""What runs say of a benchmark, whoever asked for them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest
from dagster import AssetKey, DagsterInstance, DagsterRunStatus
from dagster._core.test_utils import create_run_for_test

from sensors.due import Target
from sensors.runs import ACTIVE, HOW, ended, targets_of, under_way

ONE = {"dagster/partition": "b|m", "dagster/partition/benchmark": "b", "dagster/partition/model": "m"}
HERE = {"ab_assets/asked_by": "cli", "ab_assets/host": socket.gethostname()}


@pytest.fixture
def instance():
    with DagsterInstance.ephemeral() as instance:
        yield instance


def dead_pid() -> str:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return str(process.pid)


def test_every_status_is_either_under_way_or_over():
    assert {*ACTIVE, *HOW} == {*DagsterRunStatus} - {DagsterRunStatus.MANAGED}


@pytest.mark.parametrize("status", [one for one in ACTIVE if one != DagsterRunStatus.QUEUED])  # needs a code server
def test_every_run_that_is_not_over_is_under_way(instance, status):
    create_run_for_test(instance, "evaluate", status=status, tags=ONE)
    assert under_way(instance).running == {"b": {Target("evaluate", "b", "m")}}


@pytest.mark.parametrize("status", [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED])
def test_a_run_that_is_over_is_not(instance, status):
    create_run_for_test(instance, "evaluate", status=status, tags=ONE)
    assert under_way(instance).running == {}


def test_a_run_of_chosen_assets_counts_for_the_jobs_they_belong_to(instance):
    chosen = frozenset({AssetKey("split"), AssetKey("report")})
    run = create_run_for_test(instance, "__ASSET_JOB", tags={"dagster/partition": "b"}, asset_selection=chosen)
    assert targets_of(run) == [Target("prepare", "b"), Target("report", "b")]


def test_a_run_without_a_benchmark_makes_nothing_of_ours(instance):
    assert targets_of(create_run_for_test(instance, "prepare")) == []


def test_a_command_that_died_is_not_under_way(instance):
    tags = {"dagster/partition": "b", "ab_assets/pid": dead_pid()} | HERE
    create_run_for_test(instance, "prepare", status=DagsterRunStatus.STARTED, tags=tags)
    assert under_way(instance).running == {}
    assert under_way(instance).held == set()


def test_a_command_at_work_holds_its_benchmark(instance):
    tags = {"dagster/partition": "b", "ab_assets/pid": str(os.getpid())} | HERE
    run = create_run_for_test(instance, "prepare", status=DagsterRunStatus.STARTED, tags=tags)
    assert under_way(instance).held == {"b"}
    instance.report_run_failed(run)
    assert under_way(instance).held == {"b"}
    assert under_way(instance, time.time() + 61).held == set()


def test_only_runs_that_refresh_asked_for_are_counted_newest_first(instance):
    ours = ONE | {"ab_assets/asked_by": "refresh"}
    for question, status in (("q1", DagsterRunStatus.SUCCESS), ("q2", DagsterRunStatus.FAILURE)):
        create_run_for_test(instance, "evaluate", status=status, tags=ours | {"ab_assets/asked_for": question})
    create_run_for_test(instance, "evaluate", status=DagsterRunStatus.FAILURE, tags=ONE)
    create_run_for_test(instance, "evaluate", status=DagsterRunStatus.STARTED, tags=ours)
    found = ended(instance, Target("evaluate", "b", "m"), time.time() + 100)
    assert [(one.asked_for, one.how) for one in found] == [("q2", "failed"), ("q1", "succeeded")]
    assert all(100 <= one.ago < 1000 for one in found)
    assert ended(instance, Target("evaluate", "b", "other")) == []
