"""What can happen to an attempt, drawn at random, each with the causes that are true of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from scripted_pods import Step, error_message, message

from resources.kubernetes.causes import Cause


@dataclass
class Story:
    """Steps of an attempt and how it truly ends. `refused`: the status with which the Job is not admitted at all."""

    name: str
    causes: set[Cause]
    steps: list[Step] = field(default_factory=list)
    refused: str = ""
    unwatched: set[Cause] = field(default_factory=set)
    """How it may end, too, when nobody could look for a while."""

    @property
    def fleeting(self) -> bool:
        """Whether only the pod says why it goes, and takes its word with it."""
        steps = {step[1] for step in self.steps}
        return {"disrupted", "goes"} <= steps and "event" not in steps

    def __iter__(self):
        return iter(self.steps)


Draw = random.Random


def starts(draw: Draw) -> tuple[list[Step], float]:
    """Return the steps to a running worker that has said a little, and when that is."""
    at = draw.uniform(0, 2)
    steps: list[Step] = [(at, "pod")]
    if draw.random() < 0.2:
        steps.append((at + 0.5, "unschedulable", "0/3 nodes are available"))
        at += draw.uniform(1, 20)
    steps.append((at := at + draw.uniform(0.1, 2), "scheduled"))
    if draw.random() < 0.2:
        steps.append((at + 0.2, "waits", "ErrImagePull", "timeout"))
        steps.append((at := at + draw.uniform(1, 15), "waits", "ContainerCreating"))
    steps.append((at := at + draw.uniform(0.1, 3), "runs"))
    steps.append((at := at + 0.1, "prints", "Loading weights\r 50%\r100%"))
    for done in range(draw.randint(0, 3)):
        steps.append((at := at + draw.uniform(0.1, 2), "says", "progress"))
        if done and draw.random() < 0.3:
            steps.append((at, "writes", message("progress")[:9] + "\n"))  # torn by a file system
    return steps, at + draw.uniform(0.1, 6)


def _running(*causes: Cause):
    """Turn a function (draw, at) that returns what a running worker meets into a drawn story."""

    def made(meets: Callable[[Draw, float], list[Step]]) -> Callable[[Draw], Story]:
        def story(draw: Draw) -> Story:
            steps, at = starts(draw)
            return Story(meets.__name__, set(causes), steps + meets(draw, at))

        story.__name__ = meets.__name__
        return story

    return made


@_running(Cause.SUCCEEDED)
def done(draw, at):
    line, cut = message("done"), draw.randint(1, 50)
    said = [(at, "says", "outcome"), (at, "writes", line[:cut]), (at + draw.uniform(0, 6), "writes", line[cut:])]
    after = draw.choice(["exits", "lingers", "vanishes", "goes"])
    last = [] if after == "lingers" else [(at + 6.5, after, *([0] if after == "exits" else []))]
    return said + last


@_running(Cause.SUCCEEDED)
def done_without_its_job(draw, at):
    return [(at, "job_deleted", "Orphan"), (at + 3, "says", "done"), (at + 3.5, "exits", 0)]


@_running(Cause.OUT_OF_MEMORY)
def killed_for_memory(draw, at):
    return [(at, "exits", 137, "OOMKilled")]


@_running(Cause.OUT_OF_MEMORY)
def rank_killed_for_memory(draw, at):
    end = [(at, "writes", error_message("a rank is gone") + message("out of memory")), (at, "exits", 1)]
    return [*end, (at, "removed")] if draw.random() < 0.4 else end


@_running(Cause.APPLICATION_ERROR)
def application_error(draw, at):
    end = draw.choice([[(at, "exits", draw.choice([1, 2, 5]))], [(at, "worker_exits", 1)], [(at, "vanishes")]])
    return [(at, "writes", error_message()), *end]


@_running(Cause.CRASHED)
def crash(draw, at):
    return [(at, draw.choice(["exits", "worker_exits"]), draw.choice([0, 1, 137, 139]))]


@_running(Cause.PREEMPTED)
def preempted(draw, at):
    when = draw.choice([None, at - 0.1, at, at + 4])
    events = [] if when is None else [(when, "event", "Preempted")] * draw.randint(1, 3)
    return [(at, "disrupted", "PreemptionByScheduler"), (at, "goes"), *events]


@_running(Cause.PREEMPTED)
def preempted_long_ago_in_kubernetes(draw, at):
    return [(at, "goes"), *[(at + draw.uniform(-0.5, 4), "event", "Preempted")] * draw.randint(1, 2)]


@_running(Cause.EVICTED)
def evicted(draw, at):
    if draw.random() < 0.5:
        return [(at, "disrupted", "EvictionByEvictionAPI"), (at, "goes")]
    told = [(at, "disrupted", "TerminationByKubelet")] if draw.random() < 0.5 else []
    return [*told, (at, "fails", "Evicted", "The node was low on resource: memory.")]


@_running(Cause.NODE_LOST)
def node_lost(draw, at):
    told = draw.choice([[], [(at, "disrupted", "DeletionByTaintManager")], [(at + 1, "event", "TaintManagerEviction")]])
    return [*told, (at, "lost")]


@_running(Cause.NODE_LOST)
def node_rebooted(draw, at):
    return [(at, "exits", *draw.choice([(255, "Unknown"), (137, "ContainerStatusUnknown")]))]


@_running(Cause.DELETED)
def deleted(draw, at):
    return [(at, draw.choice(["goes", "vanishes", "job_deleted"]))]


@_running(Cause.DELETED)
def replaced(draw, at):
    after = at + draw.uniform(0.1, 4)
    return [(at, "goes"), (after, "pod"), (after + 0.3, "scheduled"), (after + 0.6, "runs")]


@_running(Cause.INTERRUPTED)
def interrupted(draw, at):
    return [*([(at, "says", "interrupted")] if draw.random() < 0.7 else []), (at, "exits", 143)]


@_running(Cause.DEADLINE)
def too_long(draw, at):
    return draw.choice(
        [
            [],
            [(at, "fails", "DeadlineExceeded", "Pod was active on the node longer than the specified deadline")],
            [(at, "job_deadline")],
            [(at, "job_deadline", "FailureTarget")],
        ]
    )


def deleted_before_it_began(draw: Draw) -> Story:
    steps = [(1, "pod"), (2, "scheduled"), (4, "goes")]
    another = [(5, "pod"), (6, "scheduled"), (7, "runs"), (60, "says", "done"), (60, "exits", 0)]
    steps += another if draw.random() < 0.5 else []
    return Story("deleted_before_it_began", {Cause.DELETED}, steps, unwatched={Cause.SUCCEEDED})


def no_room(draw: Draw) -> Story:
    told = draw.choice(
        [[(1, "pod"), (1, "unschedulable", "0/3 nodes")], [(1, "job_event", "FailedCreate", "exceeded quota: gpus")]]
    )
    return Story("no_room", {Cause.UNSCHEDULABLE}, told)


def pods_not_allowed(draw: Draw) -> Story:
    steps = [(1, "job_event", "FailedCreate", "violates PodSecurity")]
    if draw.random() < 0.5:
        steps.insert(0, (0.5, "job_event", "FailedCreate", "exceeded quota: gpus"))
    return Story("pods_not_allowed", {Cause.REFUSED}, steps)


def job_not_allowed(draw: Draw) -> Story:
    status = draw.choice(["403", "422", "404"])
    return Story("job_not_allowed", {Cause.INVALID_SPEC if status == "422" else Cause.REFUSED}, refused=status)


def never_starts(draw: Draw) -> Story:
    reason, cause, where = draw.choice(
        [
            ("ErrImagePull", Cause.IMAGE_PULL, "worker"),
            ("ImagePullBackOff", Cause.IMAGE_PULL, "fetch"),
            ("InvalidImageName", Cause.IMAGE_PULL, "worker"),
            ("CreateContainerConfigError", Cause.INVALID_SPEC, "worker"),
            ("CreateContainerError", Cause.INVALID_SPEC, "worker"),
            ("CrashLoopBackOff", Cause.INIT_FAILED, "fetch"),
            ("ContainerCreating", Cause.INVALID_SPEC, "worker"),
        ]
    )
    steps = [(1, "pod"), (2, "scheduled"), (3, "waits", reason, "scripted", where)]
    if reason == "ErrImagePull":
        steps += [(3 + 4 * i, "waits", "ImagePullBackOff" if i % 2 else reason) for i in range(1, 6)]
    return Story("never_starts", {cause}, steps)


def ends_before_it_starts(draw: Draw) -> Story:
    steps, cause = draw.choice(
        [
            ([(4, "init_fails", 3, "no weights")], Cause.INIT_FAILED),
            ([(4, "exits", 128, "StartError")], Cause.INVALID_SPEC),
            ([(4, "fails", "OutOfmemory", "Node didn't have enough resource: memory")], Cause.NODE_LOST),
            ([(4, "fails", "UnexpectedAdmissionError", "no healthy GPU")], Cause.UNSCHEDULABLE),
            ([(4, "vanishes")], Cause.DELETED),
        ]
    )
    return Story("ends_before_it_starts", {cause}, [(1, "pod"), (2, "scheduled"), *steps])


RESUMED = [
    preempted, preempted_long_ago_in_kubernetes, evicted, node_rebooted, deleted, replaced, interrupted,
    deleted_before_it_began,
]  # fmt: skip
MEMORY = [killed_for_memory, rank_killed_for_memory]
FINAL = [
    done, done_without_its_job, application_error, crash, too_long, no_room, pods_not_allowed, job_not_allowed,
    never_starts, ends_before_it_starts, node_lost,
]  # fmt: skip
