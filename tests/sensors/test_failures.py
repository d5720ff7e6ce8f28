"""What the event log says of a run that failed, and of runs that say nothing."""

from __future__ import annotations

import time

import pytest
from dagster import DagsterInstance, DagsterRunStatus, job, op
from dagster._core.test_utils import create_run_for_test

from ab_assets.errors import BadInputError, FitFailedError
from sensors.due import Target
from sensors.failures import last_failure, silent_runs, why_failed

PREPARE, ONE = Target("prepare", "tiny"), Target("evaluate", "tiny", "one")
TAGS = {"dagster/partition": "tiny"}


@pytest.fixture
def instance():
    with DagsterInstance.ephemeral() as instance:
        yield instance


def failing(instance, error: Exception, name="prepare", tags=TAGS) -> str:
    @op
    def step() -> None:
        raise error

    @job(name=name)
    def made() -> None:
        step()

    return made.execute_in_process(instance=instance, raise_on_error=False, tags=tags).run_id


def test_our_own_error_is_told_in_its_words(instance):
    failing(instance, BadInputError(what="the file is empty", where="a.csv:1", hint="Fill it."))
    assert last_failure(instance, PREPARE).why == "a.csv:1: the file is empty. Fill it."


def test_another_error_keeps_its_name(instance):
    failing(instance, ZeroDivisionError("division by zero"))
    assert last_failure(instance, PREPARE).why == "ZeroDivisionError: division by zero"


def test_a_run_that_was_ended_from_outside_says_by_what(instance):
    run = create_run_for_test(instance, "prepare", status=DagsterRunStatus.STARTED, tags=TAGS)
    instance.report_run_failed(run, "The process 7 is gone.")
    assert "The process 7 is gone." in why_failed(instance, run.run_id)


def test_the_last_run_counts_and_only_if_it_failed(instance):
    failing(instance, FitFailedError(what="first"))
    second = failing(instance, FitFailedError(what="second"))
    assert last_failure(instance, PREPARE).run_id == second
    create_run_for_test(instance, "prepare", status=DagsterRunStatus.SUCCESS, tags=TAGS)
    assert last_failure(instance, PREPARE) is None
    assert last_failure(instance, ONE) is None


def test_a_report_that_failed_does_not_stand_for_prepare(instance):
    failing(instance, FitFailedError(what="x"), name="report")
    assert last_failure(instance, PREPARE) is None
    assert last_failure(instance, Target("report", "tiny")).why == "x."


def test_a_run_is_silent_since_its_last_word(instance):
    run = create_run_for_test(instance, "prepare", status=DagsterRunStatus.STARTED, tags=TAGS)
    create_run_for_test(instance, "prepare", status=DagsterRunStatus.SUCCESS, tags=TAGS)
    instance.report_engine_event("a word", run)
    assert silent_runs(instance, 3600) == []
    [found] = silent_runs(instance, 3600, now=time.time() + 3700)
    assert (found.run_id, found.what, found.waits) == (run.run_id, "prepare[tiny]", False)
    assert abs(found.since - time.time()) < 60
