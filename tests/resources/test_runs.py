"""Runs whose process is gone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.test_utils import create_run_for_test

from resources import runs
from resources.runs import HOST, PID, end_dead_runs, is_gone, oldest_start, process_of


@pytest.fixture
def instance():
    with DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture(scope="module")
def dead_pid() -> str:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return str(done.pid)


def started(instance, **tags: str):
    return create_run_for_test(instance, status=DagsterRunStatus.STARTED, tags=tags)


def test_a_run_whose_process_died_here_is_ended_as_failed(instance, dead_pid):
    run = started(instance, **{HOST: socket.gethostname(), PID: dead_pid})
    assert end_dead_runs(instance) == [run.run_id]
    assert instance.get_run_by_id(run.run_id).status is DagsterRunStatus.FAILURE
    assert end_dead_runs(instance) == []


def test_runs_that_live_here_or_elsewhere_or_of_the_daemon_are_left_alone(instance, dead_pid):
    here = started(instance, **{HOST: socket.gethostname(), PID: str(os.getpid())})
    elsewhere = started(instance, **{HOST: "another-host", PID: dead_pid})
    daemons = started(instance)
    assert [process_of(run) for run in (here, elsewhere, daemons)] == ["alive", "elsewhere", "elsewhere"]
    assert end_dead_runs(instance) == []


def test_what_a_run_started_is_abandoned_when_it_is_unknown_canceled_or_done(instance):
    assert is_gone(instance, "00000000-0000-0000-0000-000000000000")
    for status in (DagsterRunStatus.CANCELED, DagsterRunStatus.SUCCESS):
        assert is_gone(instance, create_run_for_test(instance, status=status).run_id)
    assert not is_gone(instance, started(instance).run_id)


def test_a_failed_run_may_be_started_again_for_a_while(instance, monkeypatch):
    run = create_run_for_test(instance, status=DagsterRunStatus.FAILURE)
    assert not is_gone(instance, run.run_id)
    monkeypatch.setattr(runs, "_RESPITE_SECONDS", -1.0)
    assert is_gone(instance, run.run_id)


def test_the_oldest_run_under_way_says_since_when_things_are_in_use(instance):
    create_run_for_test(instance, status=DagsterRunStatus.SUCCESS)
    assert oldest_start(instance) is None
    first = create_run_for_test(instance, status=DagsterRunStatus.NOT_STARTED)
    started(instance)
    assert oldest_start(instance) == instance.get_run_record_by_id(first.run_id).create_timestamp.timestamp()
