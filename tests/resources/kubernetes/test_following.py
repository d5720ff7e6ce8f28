"""An attempt is followed to its end through whatever the API server does meanwhile."""

from __future__ import annotations

import json

import pytest
from scripted_api import Fault
from scripted_runs import LAUNCH, STARTS, SUCCEEDS, Killed

from resources.kubernetes.causes import Cause

GOES = [*STARTS, (10, "disrupted", "PreemptionByScheduler"), (10, "goes")]


def test_what_the_container_prints_is_logged_once_in_order(scene):
    printed = [(4 + index / 2, "prints", f"line {index}\r 50%\r100%") for index in range(20)]
    stage = scene([*STARTS, *printed, (20, "says", "done"), (20, "exits", 0)])
    lines = [line.partition("\r")[0] for line in stage.run().lines if line.startswith("| ")]
    assert lines == [f"| line {index}" for index in range(20)]


def test_the_last_lines_of_a_failed_worker_are_logged(scene):
    stage = scene([*STARTS, (4, "prints", "Segmentation fault"), (4, "exits", 139)])
    heard = stage.run()
    assert heard.ended is Cause.CRASHED
    assert "| Segmentation fault" in heard.lines


def test_stages_are_said_when_they_change(scene):
    lines = [line.partition(": ")[2] for line in scene(SUCCEEDS).run().lines]
    assert lines == [
        "waiting: the Job has no pod yet",
        "waiting",
        "starting: ContainerCreating",
        "running on node-1",
        "finishing",
    ]


def test_why_a_pod_waits_is_said_again_every_five_minutes(scene):
    stage = scene([(1, "pod"), (1, "unschedulable", "0/3 nodes")], waiting={"schedule_minutes": 21})
    heard = stage.run()
    assert heard.ended is Cause.UNSCHEDULABLE
    assert sum("0/3 nodes" in line for line in heard.lines) == 5
    assert "0/3 nodes (for 21." in heard.detail


@pytest.mark.parametrize("what", ["/log$", "/events"])
@pytest.mark.parametrize("status", ["403", "401"])
def test_rights_that_are_missing_on_logs_and_events_hide_no_cause(scene, what, status):
    stage = scene(GOES, SUCCEEDS, retries=0)
    stage.api.faults = [Fault(status, on=what)]
    assert stage.run().ended is Cause.PREEMPTED


def test_logs_that_cannot_be_had_stop_nothing(scene):
    stage = scene(SUCCEEDS)
    stage.api.faults = [Fault("500", on="/log$")]
    assert stage.run().ended is Cause.SUCCEEDED


def test_a_refusal_in_passing_is_waited_out(scene):
    stage = scene([*STARTS, (40, "says", "done"), (40, "exits", 0)])
    stage.api.faults = [Fault("403", start=5, end=20), Fault("401", start=21, end=35)]
    heard = stage.run()
    assert (heard.ended, len(stage.api.created)) == (Cause.SUCCEEDED, 1)


def test_a_refusal_that_stays_is_named(scene):
    stage = scene([*STARTS, (400, "says", "done")])
    stage.api.faults = [Fault("403", start=5, end=60, on="GET", message="pods is forbidden")]
    heard = stage.run()
    assert (heard.ended, stage.left()) == (Cause.REFUSED, [])
    assert "pods is forbidden" in heard.detail


def test_an_outage_is_said_once_and_waited_out(scene):
    stage = scene([*STARTS, (60, "says", "done"), (60, "exits", 0)])
    stage.api.faults = [Fault("503", start=10, end=50, on="GET")]
    heard = stage.run()
    assert heard.ended is Cause.SUCCEEDED
    assert sum("does not answer" in line for line in heard.lines) == 1


def test_a_worker_that_is_done_needs_no_api_server(scene):
    stage = scene([*STARTS, (30, "says", "outcome"), (40, "says", "done"), (41, "exits", 0)])
    stage.api.faults = [Fault("closed", start=10)]
    heard = stage.run()
    assert (heard.ended, heard.kinds) == (Cause.SUCCEEDED, ["outcome", "done"])
    assert any("could not be deleted" in line for line in heard.lines)


def test_trouble_that_mends_itself_is_forgiven(scene):
    trouble = [(1, "pod"), (2, "scheduled"), (3, "waits", "ErrImagePull"), (20, "waits", "ContainerCreating")]
    quota = [(1, "job_event", "FailedCreate", "exceeded quota: gpus"), (40, "pod"), (41, "scheduled"), (42, "runs")]
    for story in ([*trouble, (21, "runs"), (30, "says", "done")], [*quota, (50, "says", "done")]):
        assert scene(story).run().ended is Cause.SUCCEEDED


def test_what_a_pod_that_never_starts_was_waiting_for_is_told(scene):
    stage = scene([(1, "pod"), (2, "scheduled"), (3, "event", "FailedMount", "no claim home")])
    assert stage.run().detail == "FailedMount: no claim home (for 1.1 minutes)"


def test_the_times_of_the_pod_are_written_for_its_worker(scene):
    stage = scene([*STARTS, (50, "exits", 1)])
    stage.run(stop=(8, Killed))
    times = json.loads((stage.home / LAUNCH.folder / "times-1.json").read_text())
    assert times == {
        "created": "2026-01-01T00:00:01Z",
        "scheduled": "2026-01-01T00:00:02Z",
        "started": "2026-01-01T00:00:03Z",
    }
