"""Why a pod ended, under one name each.

Read from what the API shows at one moment, never from a sequence of events: cut watches and lost or shuffled events
cannot hide a cause.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from resources.kubernetes.manifest import CONTAINER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


Thing = dict[str, Any]


class Cause(StrEnum):
    """How an attempt can end. The names are those that the run shows."""

    SUCCEEDED = "Succeeded"
    OUT_OF_MEMORY = "OutOfMemory"
    PREEMPTED = "Preempted"
    EVICTED = "Evicted"
    NODE_LOST = "NodeLost"
    DELETED = "Deleted"
    INTERRUPTED = "Interrupted"
    IMAGE_PULL = "ImagePull"
    UNSCHEDULABLE = "Unschedulable"
    INIT_FAILED = "InitFailed"
    INVALID_SPEC = "InvalidSpec"
    REFUSED = "Refused"
    DEADLINE = "Deadline"
    APPLICATION_ERROR = "ApplicationError"
    CRASHED = "Crashed"
    UNREACHABLE = "Unreachable"
    CANCELLED = "Cancelled"


# The pod's own word why it is to go (condition DisruptionTarget, Kubernetes 1.26 and later).
_DISRUPTIONS = {
    "PreemptionByScheduler": Cause.PREEMPTED,
    "PreemptionByKubeScheduler": Cause.PREEMPTED,
    "DeletionByTaintManager": Cause.NODE_LOST,
    "DeletionByPodGC": Cause.NODE_LOST,
    "EvictionByEvictionAPI": Cause.EVICTED,
    "TerminationByKubelet": Cause.EVICTED,
}
# `status.reason` of a pod that failed as a whole.
_POD_REASONS = {
    "Evicted": Cause.EVICTED,
    "Preempting": Cause.PREEMPTED,
    "NodeLost": Cause.NODE_LOST,
    "NodeShutdown": Cause.NODE_LOST,
    "Shutdown": Cause.NODE_LOST,
    "Terminated": Cause.NODE_LOST,
    "DeadlineExceeded": Cause.DEADLINE,
    "UnexpectedAdmissionError": Cause.UNSCHEDULABLE,
    "NodeAffinity": Cause.UNSCHEDULABLE,
}
# Reasons of events about a pod that is gone, before Kubernetes 1.26 the only word about it.
_EVENT_REASONS = {
    "Preempted": Cause.PREEMPTED,
    "Evicted": Cause.EVICTED,
    "TaintManagerEviction": Cause.NODE_LOST,
    "NodeNotReady": Cause.NODE_LOST,
}
_HOPELESS_IMAGES = {"InvalidImageName", "ErrImageNeverPull"}
_IMAGES = {"ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable"} | _HOPELESS_IMAGES
_CONFIGURATION = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "ContainerCannotRun",
    "StartError",
}
# What a kubelet that was away says of a container that it finds no more.
_LOST_CONTAINERS = {"Unknown", "ContainerStatusUnknown"}

REPLACED_EXIT = 75
"""The exit code of a pod that finds its attempt begun by another."""

_SIGTERM_EXIT = 143
_SIGKILL_EXIT = 137


@dataclass(frozen=True, slots=True)
class Ending:
    """An attempt's end: its cause, and what a person is told."""

    cause: Cause
    detail: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """What a pod is doing while it has not ended. `since`: name of the stage that a limit of waiting belongs to."""

    stage: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """What the worker itself has said. `error`: the exception's class, message and traceback."""

    done: bool = False
    error: Mapping[str, Any] | None = None
    interrupted: bool = False
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at an attempt. `last`: the pod that took the attempt, as it was seen before."""

    job: Thing | None
    pods: Sequence[Thing]
    events: Sequence[Thing] = ()
    last: Thing | None = None

    @property
    def uid(self) -> str:
        """Name the pod that took the attempt, "" before one was seen."""
        return self.last["metadata"]["uid"] if self.last else ""

    @property
    def pod(self) -> Thing | None:
        """The attempt's pod: the one seen first, else the oldest."""
        if self.uid:
            return next((pod for pod in self.pods if pod["metadata"]["uid"] == self.uid), None)
        return min(self.pods, key=_age, default=None)


def _age(pod: Thing) -> tuple[str, str]:
    return pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]


def in_order(events: Iterable[Thing]) -> list[Thing]:
    """Return events, oldest first: the API lists them in no order."""

    def when(event: Thing) -> tuple[str, str]:
        series = event.get("series") or {}
        at = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
        metadata = event.get("metadata", {})
        # within a second the names tell: they end in the time at which the event was first seen, in hexadecimal
        return str(at or metadata.get("creationTimestamp") or ""), str(metadata.get("name", ""))

    return sorted(events, key=when)


def judge(seen: Seen, said: Said) -> Ending | State:
    """Return how the attempt ended, or what it is doing."""
    pod = seen.pod
    phase = pod.get("status", {}).get("phase", "Pending") if pod else ""
    if said.done:
        return State("finishing") if phase == "Running" else Ending(Cause.SUCCEEDED)
    if pod is None:
        return _without_pod(seen, said)
    if phase in ("Failed", "Succeeded"):
        return _ended(pod, seen, said)
    if pod["metadata"].get("deletionTimestamp"):
        return State("leaving", _gone(pod, seen, said).detail)
    if _terminated(pod.get("status", {})) is not None:  # another container of the pod stays: a sidecar
        return _ended(pod, seen, said)
    return _alive(pod)


def _without_pod(seen: Seen, said: Said) -> Ending | State:
    if seen.last is not None:  # what it said of itself while it was there still holds
        over = seen.last.get("status", {}).get("phase") in ("Failed", "Succeeded")
        return _ended(seen.last, seen, said) if over else _gone(seen.last, seen, said)
    if seen.job is None:
        return Ending(Cause.DELETED, "the Job was deleted before its pod was seen")
    if (ending := _job_over(seen.job, seen, said)) is not None:
        return ending
    failed = [event for event in in_order(seen.events) if event.get("reason") == "FailedCreate"]
    if failed:
        message = str(failed[-1].get("message", ""))
        return State("waiting" if "exceeded quota" in message else "refused", message)
    return State("waiting", "the Job has no pod yet")


def _job_over(job: Thing, seen: Seen, said: Said) -> Ending | None:
    for condition in job.get("status", {}).get("conditions") or ():
        if condition.get("status") == "True" and condition.get("type") == "Failed":
            return _gone(None, seen, said)
        if condition.get("status") == "True" and condition.get("type") == "Complete":
            return Ending(Cause.CRASHED, "its pod ended well and is gone, without a word from the worker")
    return None


def _ended(pod: Thing, seen: Seen, said: Said) -> Ending:
    status = pod["status"]
    for cause, detail in _disruption(pod):
        return Ending(cause, detail)
    if (reason := status.get("reason", "")) in _POD_REASONS:
        return Ending(_POD_REASONS[reason], status.get("message", ""))
    if reason.startswith("OutOf"):  # OutOfmemory, OutOfcpu, OutOfnvidia.com/gpu: the kubelet had less than it seemed
        return Ending(Cause.NODE_LOST, f"{reason}: {status.get('message', '')}")
    ended = _terminated(status)
    for container in (status.get("initContainerStatuses") or ()) if ended is None else ():
        failed = container.get("state", {}).get("terminated") or {}
        if failed.get("exitCode"):
            what = f"init container {container.get('name')} ended with exit code {failed['exitCode']}"
            return Ending(Cause.INIT_FAILED, f"{what}: {failed.get('message') or failed.get('reason', '')}")
    if ended is None:
        return _gone(pod, seen, said) if status["phase"] == "Failed" else Ending(Cause.CRASHED, "no word from it")
    return _exited(ended, pod, seen, said)


def _exited(ended: Thing, pod: Thing, seen: Seen, said: Said) -> Ending:
    code, reason = ended.get("exitCode", 0), ended.get("reason", "")
    interrupted = said.interrupted or code == _SIGTERM_EXIT
    if reason == "OOMKilled" or said.out_of_memory:
        return Ending(Cause.OUT_OF_MEMORY, f"the container used more than its limit of {_limit(pod)}")
    if reason in _CONFIGURATION:
        return Ending(Cause.INVALID_SPEC, ended.get("message", ""))
    if interrupted or code == REPLACED_EXIT or pod["metadata"].get("deletionTimestamp"):
        deleted = pod["metadata"].get("deletionTimestamp") or not interrupted
        return _gone(pod, seen, said, otherwise=Cause.DELETED if deleted else Cause.INTERRUPTED)
    if said.error:
        return Ending(Cause.APPLICATION_ERROR, str(said.error.get("message", "")))
    if reason in _LOST_CONTAINERS:
        return Ending(Cause.NODE_LOST, f"the node was restarted, or lost sight of the container ({reason})")
    return _crashed(code)


def _crashed(code: int) -> Ending:
    if code == 0:
        return Ending(Cause.CRASHED, "the worker ended with exit code 0 before its work was done")
    killed = " (killed)" if code == _SIGKILL_EXIT else ""
    return Ending(Cause.CRASHED, f"the worker ended with exit code {code}{killed} and no word why")


def _gone(pod: Thing | None, seen: Seen, said: Said, *, otherwise: Cause = Cause.DELETED) -> Ending:
    """Return why a pod is going or gone: its own word, else that of events about it, else somebody deleted it."""
    for cause, detail in _disruption(pod) if pod else ():
        return Ending(cause, detail)
    for condition in (seen.job or {}).get("status", {}).get("conditions") or ():
        # FailureTarget comes first, and Failed when no pod is left (Kubernetes 1.31 and later)
        if condition.get("type") in ("Failed", "FailureTarget") and condition.get("reason") == "DeadlineExceeded":
            return Ending(Cause.DEADLINE, condition.get("message", ""))
    for event in reversed(in_order(seen.events)):
        if event.get("reason") in _EVENT_REASONS and _about(event, seen.uid):
            return Ending(_EVENT_REASONS[event["reason"]], str(event.get("message", "")))
    if said.error and not said.interrupted:
        told = Ending(Cause.APPLICATION_ERROR, str(said.error.get("message", "")))
        return Ending(Cause.OUT_OF_MEMORY, told.detail) if said.out_of_memory else told
    if otherwise is Cause.DELETED:
        return Ending(Cause.DELETED, "the Job was deleted" if seen.job is None else "the pod was deleted")
    return Ending(otherwise, "the pod was told to stop")


def _alive(pod: Thing) -> State:
    status = pod.get("status", {})
    waiting = []
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        state = container.get("state") or {}
        if container.get("name") == CONTAINER and state.get("running"):
            return State("running")
        if state.get("waiting"):
            waiting.append((container.get("name"), state["waiting"]))
    for name, why in waiting:
        stage = _trouble(name, why.get("reason", ""))
        if stage:
            return State(stage, ": ".join(filter(None, (name, why.get("reason"), why.get("message")))))
    conditions = {condition.get("type"): condition for condition in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "True" or pod.get("spec", {}).get("nodeName"):
        return State("starting", "; ".join(why.get("reason", "") for _, why in waiting))
    return State("waiting", scheduled.get("message", ""))


def _trouble(container: str, reason: str) -> str:
    """Return the stage of a container that waits for a bad reason, "" for a good one."""
    if reason in _IMAGES:
        return "hopeless image" if reason in _HOPELESS_IMAGES else "image"
    if reason in _CONFIGURATION:
        return "configuration"
    return "init" if reason == "CrashLoopBackOff" and container != CONTAINER else ""


def _disruption(pod: Thing | None) -> Iterable[tuple[Cause, str]]:
    for condition in (pod or {}).get("status", {}).get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            yield _DISRUPTIONS.get(condition.get("reason", ""), Cause.EVICTED), condition.get("message", "")


def _about(event: Thing, uid: str) -> bool:
    named = (event.get("involvedObject") or {}).get("uid", "")
    return not uid or not named or named == uid


def _terminated(status: Thing) -> Thing | None:
    for container in status.get("containerStatuses") or ():
        if container.get("name") == CONTAINER:
            ended: Thing | None = (container.get("state") or {}).get("terminated")
            return ended
    return None


def grace_seconds(pod: Thing) -> int:
    """Return how long a pod may take from SIGTERM to SIGKILL: a user's template may say more than the settings."""
    given = pod["metadata"].get("deletionGracePeriodSeconds")
    return int(pod.get("spec", {}).get("terminationGracePeriodSeconds") or 0 if given is None else given)


def _limit(pod: Thing) -> str:
    for container in pod.get("spec", {}).get("containers") or ():
        if container.get("name") == CONTAINER:
            return str(container.get("resources", {}).get("limits", {}).get("memory", "unknown size"))
    return "unknown size"
