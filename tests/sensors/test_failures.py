"""What the event log says of a run that failed, and of runs that say nothing."""

from __future__ import annotations

import time

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.test_utils import create_run_for_test
from failing_runs import failing

from ab_assets.errors import FitFailedError
from sensors.due import Target
from sensors.failures import last_failure, silent_runs

PREPARE, ONE = Target("prepare", "tiny"), Target("evaluate", "tiny", "one")
TAGS = {"dagster/partition": "tiny"}


@pytest.fixture
def instance():
    with DagsterInstance.ephemeral() as instance:
        yield instance


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
