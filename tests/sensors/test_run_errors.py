"""What the event log says of why a run failed."""

from __future__ import annotations

import pytest
from dagster import DagsterInstance, DagsterRunStatus, Failure
from dagster._core.test_utils import create_run_for_test
from failing_runs import failing

from ab_assets.errors import (
    BadInputError,
    FitFailedError,
    InfeasibleSplitError,
    InvalidBenchmarkError,
    LeakageError,
    Problem,
    UnreadableFileError,
)
from sensors.run_errors import run_error


@pytest.fixture
def instance():
    with DagsterInstance.ephemeral() as instance:
        yield instance


def test_our_own_error_is_told_in_its_words(instance):
    run = failing(instance, BadInputError(what="the file is empty", where="a.csv:1", hint="Fill it."))
    assert run_error(instance, run).words == "a.csv:1: the file is empty. Fill it."


def test_another_error_keeps_its_name(instance):
    run = failing(instance, ZeroDivisionError("division by zero"))
    assert run_error(instance, run).words == "ZeroDivisionError: division by zero"


def test_a_run_that_was_ended_from_outside_says_by_what(instance):
    run = create_run_for_test(instance, "prepare", status=DagsterRunStatus.STARTED)
    instance.report_run_failed(run, "The process 7 is gone.")
    assert "The process 7 is gone." in run_error(instance, run.run_id).words
    assert not run_error(instance, run.run_id).is_refusal


def leak() -> Failure:
    failure = Failure("three pairs are too similar", allow_retries=False)
    failure.__cause__ = LeakageError(what="three pairs are too similar")
    return failure


@pytest.mark.parametrize(
    "error",
    [
        InvalidBenchmarkError(name="tiny", problems=[Problem("a row has no label")]),
        UnreadableFileError(what="it is truncated"),
        InfeasibleSplitError(what="no split keeps the bound"),
        leak(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_input_that_is_at_fault_is_a_refusal(instance, error):
    assert run_error(instance, failing(instance, error)).is_refusal


@pytest.mark.parametrize(
    "error", [BadInputError(what="the files changed"), FitFailedError(what="nan"), OSError("full")]
)
def test_what_another_try_may_change_is_no_refusal(instance, error):
    assert not run_error(instance, failing(instance, error)).is_refusal


def test_a_run_that_did_not_fail_has_no_error(instance):
    run = create_run_for_test(instance, "prepare", status=DagsterRunStatus.SUCCESS)
    assert run_error(instance, run.run_id).words == ""
