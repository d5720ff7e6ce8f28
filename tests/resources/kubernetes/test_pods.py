"""A work goes on until it is done or nothing more can be tried, whoever follows it, and leaves nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from scripted_api import Fault
from scripted_pods import error_message
from scripted_runs import LAUNCH, STARTS, SUCCEEDS, Killed

from resources.kubernetes.causes import Cause
from resources.kubernetes.cluster import Cluster
from resources.kubernetes.manifest import RUN

GOES = [*STARTS, (8, "says", "progress"), (10, "goes")]
RUNS_OUT = [*STARTS, (10, "exits", 137, "OOMKilled")]
FAILS = [*STARTS, (10, "writes", error_message()), (10, "exits", 1)]
TALKS = [*STARTS, (5, "says", "progress"), (20, "says", "outcome"), (30, "says", "done"), (31, "exits", 0)]
REPLACED = [(1, "pod"), (2, "scheduled"), (3, "vanishes"), (4, "pod"), (5, "scheduled"), (6, "runs")]
ANOTHER = replace(LAUNCH, run_id="run-2")


def test_a_work_that_is_done_leaves_nothing(scene):
    stage = scene(SUCCEEDS)
    heard = stage.run()
    assert (heard.ended, heard.kinds, stage.left()) == (Cause.SUCCEEDED, ["done"], [])


def test_the_causes_of_earlier_attempts_are_on_each_job(scene):
    stage = scene(GOES, RUNS_OUT, GOES, SUCCEEDS)
    assert stage.run().ended is Cause.SUCCEEDED
    assert stage.causes() == ["", "Deleted", "Deleted,OutOfMemory", "Deleted,OutOfMemory,Deleted"]
    assert [job["metadata"]["labels"]["ab-assets/attempt"] for job in stage.api.created] == ["1", "2", "3", "4"]


def test_more_memory_is_asked_for_and_kept_through_a_preemption(scene):
    stage = scene(RUNS_OUT, GOES, RUNS_OUT, SUCCEEDS)
    stage.run()
    assert stage.memory() == ["6144Mi", "9216Mi", "9216Mi", "12288Mi"]


def test_a_third_out_of_memory_is_the_last(scene):
    stage = scene(RUNS_OUT, RUNS_OUT, RUNS_OUT)
    heard = stage.run()
    assert (heard.ended, len(stage.api.created), stage.left()) == (Cause.OUT_OF_MEMORY, 3, [])


def test_interruptions_beyond_the_retries_end_the_work(scene):
    stage = scene(*[GOES] * 4, retries=3)
    heard = stage.run()
    assert (heard.ended, len(stage.api.created), stage.left()) == (Cause.DELETED, 4, [])


def test_an_error_of_the_work_is_told_and_not_tried_again(scene):
    stage = scene(FAILS)
    heard = stage.run()
    assert (heard.ended, heard.detail, len(stage.api.created)) == (Cause.APPLICATION_ERROR, "no such antibody", 1)
    assert "no such antibody" in heard.said.error["traceback"]


@pytest.mark.parametrize(
    ("status", "cause"), [("403", Cause.REFUSED), ("404", Cause.REFUSED), ("422", Cause.INVALID_SPEC)]
)
def test_a_job_that_is_not_admitted_says_why(scene, status, cause):
    stage = scene()
    stage.api.faults = [Fault(status, on="POST", message="spec.template: not here")]
    heard = stage.run()
    assert (heard.ended, stage.left()) == (cause, [])
    assert "not here" in heard.detail or status == "404"


def test_the_next_attempt_waits_until_the_last_pod_has_saved(scene):
    stage = scene(REPLACED, SUCCEEDS)
    heard = stage.run()
    assert heard.ended is Cause.SUCCEEDED
    assert stage.pods.doubles == []
    assert any("waits until" in line and "has saved and ended" in line for line in heard.lines)


@pytest.mark.parametrize("story", [[*STARTS, (5, "goes")], REPLACED])
def test_a_pod_whose_template_gives_it_longer_to_save_is_left_to_it(scene, tmp_path, story):
    (tmp_path / "pod.yaml").write_text("{containers: [], terminationGracePeriodSeconds: 300}")
    stage = scene(story, SUCCEEDS, pod_template=str(tmp_path / "pod.yaml"))
    stage.pods.stop_seconds = 200
    assert stage.run().ended is Cause.SUCCEEDED
    assert stage.causes() == ["", "Deleted"]
    assert (stage.api.created[1]["metadata"]["creationTimestamp"] > "2026-01-01T00:03:20Z", stage.left()) == (True, [])


def test_a_pod_that_does_not_end_in_time_is_forced(scene):
    stage = scene([*STARTS, (5, "exits", 255, "Unknown"), (6, "pod"), (7, "scheduled"), (8, "lost")], SUCCEEDS)
    assert stage.run().ended is Cause.SUCCEEDED
    assert stage.left() == []


@pytest.mark.parametrize("at", [0.5, 1.5, 4, 12, 25, 29.5])
@pytest.mark.parametrize("run", ["run-1", "run-2"])
def test_a_run_that_was_killed_is_taken_up_by_the_next(scene, at, run):
    stage = scene(TALKS)
    assert stage.run(stop=(at, Killed)).stopped is Killed
    heard = stage.run(replace(LAUNCH, run_id=run))
    assert (heard.ended, heard.kinds) == (Cause.SUCCEEDED, ["progress", "outcome", "done"])
    assert len(stage.api.created) == 1
    assert stage.left() == []


def test_a_job_that_ended_unseen_is_collected(scene):
    stage = scene(TALKS)
    stage.run(stop=(4, Killed))
    stage.api.sleep(100)
    heard = stage.run(ANOTHER)
    assert (heard.ended, heard.kinds, stage.left()) == (Cause.SUCCEEDED, ["progress", "outcome", "done"], [])
    assert len(stage.api.created) == 1


def test_how_a_work_failed_unseen_is_told_to_the_run_that_starts_again(scene):
    stage = scene(FAILS)
    stage.run(stop=(4, Killed))
    stage.api.sleep(100)
    assert stage.run().ended is Cause.APPLICATION_ERROR
    assert stage.left() == []


def test_another_run_tries_again_what_failed_for_an_earlier_one(scene):
    stage = scene(FAILS, SUCCEEDS)
    stage.run(stop=(4, Killed))
    stage.api.sleep(100)
    assert stage.run(ANOTHER).ended is Cause.SUCCEEDED
    assert stage.causes() == ["", ""]


def test_a_failed_pod_of_an_earlier_job_of_the_name_says_nothing_of_the_new_one(scene):
    stage = scene([*STARTS, (10, "exits", 139)], SUCCEEDS)
    stage.run(stop=(15, Killed))
    stage.api.on_job_deleted = lambda job, propagation: None  # the garbage collector is slow
    assert stage.run(ANOTHER).ended is Cause.SUCCEEDED


def test_an_attempt_that_is_taken_up_has_its_causes_and_memory(scene):
    stage = scene(RUNS_OUT, TALKS, SUCCEEDS, SUCCEEDS)
    stage.run(stop=(22, Killed))
    assert stage.causes() == ["", "OutOfMemory"]
    answer = stage.api.answer

    def gone_when_found(method, *request):
        if method == "PATCH":
            stage.api.jobs.clear()
            stage.api.pods.clear()
        return answer(method, *request)

    stage.api.answer = gone_when_found
    assert stage.run(ANOTHER).ended is Cause.SUCCEEDED
    assert stage.memory()[2] == "9216Mi"


def test_cancelling_ends_the_pod_and_leaves_nothing(scene):
    for at in (0.5, 2.5, 12):
        stage = scene(TALKS)
        assert stage.run(stop=(at, KeyboardInterrupt)).stopped is KeyboardInterrupt
        assert stage.left() == []


def test_cancelling_while_the_next_attempt_waits_leaves_nothing(scene):
    stage = scene([*STARTS, (5, "job_deleted")], SUCCEEDS)
    assert stage.run(stop=(11, KeyboardInterrupt)).stopped is KeyboardInterrupt
    assert stage.left() == []


@pytest.mark.parametrize("kind", ["500", "closed", "cut", "unheard"])
def test_cancelling_is_not_given_up_for_one_fault(scene, kind):
    stage = scene(TALKS)
    stage.api.faults = [Fault(kind, start=12, times=2)]
    stage.run(stop=(12, KeyboardInterrupt))
    assert stage.left() == []


def test_a_second_interrupt_does_not_end_the_cleaning(scene, monkeypatch):
    stage = scene(TALKS)
    delete, told = Cluster.delete_job, []

    def interrupted(self, name):
        if len(told) < 2:
            told.append(name)
            raise KeyboardInterrupt
        delete(self, name)

    monkeypatch.setattr(Cluster, "delete_job", interrupted)
    assert stage.run(stop=(12, KeyboardInterrupt)).stopped is KeyboardInterrupt
    assert len(told) == 2
    assert stage.left() == []


def test_what_cannot_be_deleted_is_said(scene):
    stage = scene(TALKS)
    stage.api.faults = [Fault("403", on="DELETE", message="jobs is forbidden")]
    heard = stage.run()
    assert heard.ended is Cause.SUCCEEDED
    assert any("could not be deleted (403 jobs is forbidden); the sweep will" in line for line in heard.lines)


def test_a_job_that_another_run_has_taken_over_stays(scene):
    stage = scene(TALKS)
    stage.api.at(8, lambda: stage.api.jobs[LAUNCH.job_name]["metadata"]["labels"].update({RUN: "run-2"}))
    stage.run(stop=(12, KeyboardInterrupt))
    assert list(stage.api.jobs) == [LAUNCH.job_name]
    assert stage.run(ANOTHER).ended is Cause.SUCCEEDED
    assert stage.left() == []


def test_a_run_that_ends_before_it_found_a_later_attempt_leaves_its_files(scene):
    stage = scene(GOES, TALKS)
    stage.run(stop=(25, Killed))
    stage.api.faults = [Fault("503", start=25, end=26.5, on="GET")]
    stage.run(ANOTHER, stop=(26, KeyboardInterrupt))
    assert (stage.home / LAUNCH.folder / "work-2.json").is_file()
    assert stage.run(ANOTHER).ended is Cause.SUCCEEDED


def test_pods_of_a_job_that_was_deleted_without_them_are_followed_and_go(scene):
    stage = scene([*TALKS, (8, "job_deleted", "Orphan")])
    assert stage.run().ended is Cause.SUCCEEDED
    assert stage.left() == []


def test_a_job_of_the_name_that_is_still_going_is_waited_for(scene):
    stage = scene(FAILS, SUCCEEDS, retries=0)
    stage.run(stop=(4, Killed))
    job = stage.api.jobs[LAUNCH.job_name]
    job["metadata"]["deletionTimestamp"] = stage.api.stamp()  # deleted in the foreground: it goes after its pods
    stage.api.at(20, stage.api.jobs.clear)
    heard = stage.run(ANOTHER)
    assert (heard.ended, len(stage.api.created), stage.left()) == (Cause.SUCCEEDED, 2, [])


def test_a_job_that_was_made_although_nobody_heard_is_the_attempts(scene):
    stage = scene(SUCCEEDS)
    stage.api.faults = [Fault("unheard", on="POST", times=1)]
    assert stage.run().ended is Cause.SUCCEEDED
    assert len(stage.api.created) == 1


def test_an_api_server_that_stays_away_is_named_and_the_next_run_goes_on(scene):
    stage = scene([*TALKS[:-2], (400, "says", "done"), (401, "exits", 0)], waiting={"outage_minutes": 1})
    stage.api.faults = [Fault("closed", start=10, end=300)]
    heard = stage.run()
    assert heard.ended is Cause.UNREACHABLE
    assert any("could not be deleted" in line for line in heard.lines)
    stage.api.sleep(200)
    assert stage.run(ANOTHER).ended is Cause.SUCCEEDED
    assert (len(stage.api.created), stage.left()) == (1, [])


def test_a_run_that_never_reaches_the_api_server_ends(scene):
    stage = scene()
    stage.api.faults = [Fault("closed")]
    assert stage.run().ended is Cause.UNREACHABLE


def test_the_worker_is_told_what_it_has(scene):
    stage = scene([*STARTS, (50, "exits", 1)], gpu={"resource": "nvidia.com/mig-1g.10gb", "required": False})
    stage.run(stop=(4, Killed))
    told = json.loads((stage.home / LAUNCH.specification).read_text())
    asked = told["asked"]
    assert told["work"] == {"benchmark": "tiny"}
    assert not told["gpus_required"]
    assert (asked["gpus"], asked["gpu_resource"], asked["attempt"]) == (1, "nvidia.com/mig-1g.10gb", 1)


@pytest.mark.parametrize("at", [0, 0.5, 4, 9, 13, 17, 20])
@pytest.mark.parametrize("first", [GOES, RUNS_OUT, [*STARTS, (10, "job_deleted")], SUCCEEDS])
def test_two_runs_of_one_work_never_have_two_workers(scene, first, at):
    stage = scene(first, *[TALKS] * 5)
    heard = stage.run_side_by_side({LAUNCH: 0, ANOTHER: at})
    assert [one.ended for one in heard] == [Cause.SUCCEEDED] * 2
    assert stage.pods.doubles == []
    assert len(stage.api.created) <= 4
    assert stage.left() == []
