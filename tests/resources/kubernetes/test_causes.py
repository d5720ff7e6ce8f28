"""Every end has its cause, and every cause its rule."""

from __future__ import annotations

import itertools

import pytest
from scripted_pods import error_message, message
from scripted_runs import STARTS

from resources.kubernetes.causes import Cause, Ending, Said, Seen, State, judge
from resources.kubernetes.installation import Installation
from resources.kubernetes.retries import RESUMED, next_step

LIMITS = Installation(image="lab/ab-assets:1", retries=2, memory_steps=(1.5, 2.0))

ERROR = error_message()
SITUATIONS = {
    "done": ([(5, "says", "done"), (6, "exits", 0)], Cause.SUCCEEDED),
    "done and stays": ([(5, "says", "done")], Cause.SUCCEEDED),
    "done and deleted": ([(5, "says", "done"), (5, "vanishes")], Cause.SUCCEEDED),
    "done and preempted": (
        [(5, "says", "done"), (5, "disrupted", "PreemptionByScheduler"), (5, "goes")], Cause.SUCCEEDED,
    ),
    "OOMKilled": ([(5, "exits", 137, "OOMKilled")], Cause.OUT_OF_MEMORY),
    "a rank killed for memory": (
        [(5, "writes", ERROR + message("out of memory")), (5, "exits", 1)], Cause.OUT_OF_MEMORY,
    ),
    "a rank killed for memory, and the pod is gone": (
        [(5, "writes", ERROR + message("out of memory")), (5, "vanishes")], Cause.OUT_OF_MEMORY,
    ),
    "preempted": ([(5, "disrupted", "PreemptionByScheduler"), (5, "goes")], Cause.PREEMPTED),
    "preempted, event before": ([(4.5, "event", "Preempted"), (5, "goes")], Cause.PREEMPTED),
    "preempted, event after": ([(5, "goes"), (14, "event", "Preempted")], Cause.PREEMPTED),
    "preempted by the kubelet": ([(5, "fails", "Preempting")], Cause.PREEMPTED),
    "evicted": ([(5, "fails", "Evicted", "low on memory")], Cause.EVICTED),
    "evicted through the API": ([(5, "disrupted", "EvictionByEvictionAPI"), (5, "goes")], Cause.EVICTED),
    "node lost": ([(5, "lost")], Cause.NODE_LOST),
    "node lost, taint manager": ([(5, "disrupted", "DeletionByTaintManager"), (5, "lost")], Cause.NODE_LOST),
    "node rebooted": ([(5, "exits", 255, "Unknown")], Cause.NODE_LOST),
    "node shut down": ([(5, "fails", "Terminated", "imminent node shutdown")], Cause.NODE_LOST),
    "less memory than it seemed": ([(2.5, "fails", "OutOfmemory")], Cause.NODE_LOST),
    "deleted": ([(5, "goes")], Cause.DELETED),
    "deleted at once": ([(5, "vanishes")], Cause.DELETED),
    "deleted before it ran": ([(2.5, "goes")], Cause.DELETED),
    "the Job deleted": ([(5, "job_deleted")], Cause.DELETED),
    "the Job deleted before its pod was seen": ([(0.5, "job_deleted")], Cause.DELETED),
    "replaced": ([(5, "goes"), (6, "pod"), (7, "scheduled"), (8, "runs")], Cause.DELETED),
    "interrupted": ([(5, "says", "interrupted"), (5, "exits", 143)], Cause.INTERRUPTED),
    "interrupted without a word": ([(5, "exits", 143)], Cause.INTERRUPTED),
    "image": ([(2.5, "waits", "ErrImagePull", "no such host"), (8, "waits", "ImagePullBackOff")], Cause.IMAGE_PULL),
    "image of an init container": ([(2.5, "waits", "ErrImagePull", "", "fetch")], Cause.IMAGE_PULL),
    "image name": ([(2.5, "waits", "InvalidImageName")], Cause.IMAGE_PULL),
    "no room": ([(1, "unschedulable", "0/3 nodes are available")], Cause.UNSCHEDULABLE),
    "no healthy GPU": ([(2.5, "fails", "UnexpectedAdmissionError", "no healthy devices")], Cause.UNSCHEDULABLE),
    "init failed": ([(2.5, "init_fails", 3, "no weights")], Cause.INIT_FAILED),
    "init fails again and again": ([(2.5, "waits", "CrashLoopBackOff", "", "fetch")], Cause.INIT_FAILED),
    "a Secret is missing": ([(2.5, "waits", "CreateContainerConfigError", "no Secret")], Cause.INVALID_SPEC),
    "no such command": ([(2.5, "exits", 128, "StartError")], Cause.INVALID_SPEC),
    "volumes that are never mounted": ([(2.5, "waits", "ContainerCreating")], Cause.INVALID_SPEC),
    "the pod's deadline": ([(5, "fails", "DeadlineExceeded")], Cause.DEADLINE),
    "the Job's deadline": ([(5, "job_deadline")], Cause.DEADLINE),
    "the Job's deadline, its pods still going": ([(5, "job_deadline", "FailureTarget")], Cause.DEADLINE),
    "a deadline that nobody keeps": ([], Cause.DEADLINE),
    "application error": ([(5, "writes", ERROR), (5, "exits", 1)], Cause.APPLICATION_ERROR),
    "application error, and the pod is gone": ([(5, "writes", ERROR), (5, "vanishes")], Cause.APPLICATION_ERROR),
    "application error beside a sidecar": ([(5, "writes", ERROR), (5, "worker_exits", 1)], Cause.APPLICATION_ERROR),
    "killed": ([(5, "exits", 137)], Cause.CRASHED),
    "segmentation fault": ([(5, "exits", 139)], Cause.CRASHED),
    "no word and exit code 0": ([(5, "exits", 0)], Cause.CRASHED),
    "no word and gone while it is asked": ([(5, "exits", 139), (9, "removed")], Cause.CRASHED),
}  # fmt: skip


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_situation_has_one_cause(scene, name):
    happens, cause = SITUATIONS[name]
    before = min((step[0] for step in happens), default=99)
    steps = [step for step in STARTS if step[0] <= before]
    stage = scene(sorted([*steps, *happens], key=lambda step: step[0]), retries=0, memory_steps=[])
    heard = stage.run()
    assert heard.ended is cause, heard
    assert stage.left() == []


@pytest.mark.parametrize("disorder", list(itertools.permutations(range(3))))
def test_the_newest_event_decides_in_whatever_order_events_come(disorder):
    events = [
        {"reason": "NodeNotReady", "lastTimestamp": "2026-01-01T00:00:01Z"},
        {"reason": "Preempted", "eventTime": "2026-01-01T00:00:03.000000Z"},
        {"reason": "Killing", "lastTimestamp": "2026-01-01T00:00:04Z"},
    ]
    last = _pod("Running")
    seen = Seen({"metadata": {}}, [], [events[index] for index in disorder], last)
    assert judge(seen, Said()) == Ending(Cause.PREEMPTED, "")


def test_within_a_second_the_names_of_events_tell_their_order():
    quota, policy = (
        {"reason": "FailedCreate", "message": told, "lastTimestamp": "2", "metadata": {"name": f"job.{at}"}}
        for at, told in (("17a0", "exceeded quota: gpus"), ("17a1", "violates PodSecurity"))
    )
    assert judge(Seen({"metadata": {}}, [], [policy, quota]), Said()) == State("refused", "violates PodSecurity")


def test_an_event_about_another_pod_of_the_name_says_nothing():
    event = {"reason": "Preempted", "involvedObject": {"uid": "another"}}
    assert judge(Seen({"metadata": {}}, [], [event], _pod("Running")), Said()).cause is Cause.DELETED


def test_a_sidecar_that_is_stopped_at_the_end_is_no_failed_init_container():
    sidecar = {"name": "proxy", "state": {"terminated": {"exitCode": 137}}}
    pod = _pod("Failed", initContainerStatuses=[sidecar], containerStatuses=[_ended(1)])
    assert judge(_seen(pod), Said(error={"message": "no rows"})) == Ending(Cause.APPLICATION_ERROR, "no rows")


def test_a_job_that_is_complete_without_pod_and_word_is_not_waited_for():
    job = {"metadata": {}, "status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    assert judge(Seen(job, []), Said()).cause is Cause.CRASHED
    assert judge(Seen(job, []), Said(done=True)).cause is Cause.SUCCEEDED


def test_a_quota_is_waited_for_and_what_else_forbids_pods_is_not():
    job = {"metadata": {}}
    quota = {"reason": "FailedCreate", "message": "exceeded quota: gpus", "lastTimestamp": "2"}
    policy = {"reason": "FailedCreate", "message": "violates PodSecurity", "lastTimestamp": "3"}
    assert judge(Seen(job, [], [quota]), Said()) == State("waiting", "exceeded quota: gpus")
    assert judge(Seen(job, [], [policy, quota]), Said()).stage == "refused"


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause not in RESUMED | {Cause.OUT_OF_MEMORY}])
def test_other_ends_are_not_tried_again(cause):
    assert next_step(Ending(cause), [cause], LIMITS) is None


@pytest.mark.parametrize("cause", sorted(RESUMED))
def test_interrupted_work_goes_on_as_often_as_retries_say(cause):
    assert next_step(Ending(cause), [cause], LIMITS) == 1.0
    assert next_step(Ending(cause), [Cause.DELETED, cause], LIMITS) == 1.0
    assert next_step(Ending(cause), [Cause.DELETED, Cause.EVICTED, cause], LIMITS) is None


def test_out_of_memory_takes_the_next_step_until_there_is_none():
    ran_out = Cause.OUT_OF_MEMORY
    assert next_step(Ending(ran_out), [ran_out], LIMITS) == 1.5
    assert next_step(Ending(ran_out), [ran_out, Cause.PREEMPTED, ran_out], LIMITS) == 2.0
    assert next_step(Ending(ran_out), [ran_out] * 3, LIMITS) is None
    assert next_step(Ending(ran_out), [ran_out], LIMITS.model_copy(update={"memory_steps": ()})) is None


def test_memory_that_was_given_is_kept_after_a_preemption():
    assert next_step(Ending(Cause.PREEMPTED), [Cause.OUT_OF_MEMORY, Cause.PREEMPTED], LIMITS) == 1.5


def test_fewer_memory_steps_than_were_taken_are_no_error():
    fewer = LIMITS.model_copy(update={"memory_steps": (1.5,)})
    causes = [Cause.OUT_OF_MEMORY, Cause.OUT_OF_MEMORY, Cause.PREEMPTED]
    assert next_step(Ending(Cause.PREEMPTED), causes, fewer) == 1.5


def _pod(phase, **status):
    metadata = {"uid": "uid-1", "name": "pod-1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata, "spec": {}, "status": {"phase": phase} | status}


def _ended(code):
    return {"name": "worker", "state": {"terminated": {"exitCode": code, "reason": "Error"}}}


def _seen(pod):
    return Seen({"metadata": {}}, [pod])
