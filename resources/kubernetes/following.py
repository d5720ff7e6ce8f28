"""One attempt followed to an end that has a name, within limits: however often the API server does not answer."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ab_assets.artifacts.durable import write_atomically
from resources.kubernetes.causes import Cause, Ending, Seen, State, grace_seconds, in_order, judge
from resources.kubernetes.cluster import OutageError, RefusalError
from resources.kubernetes.manifest import ATTEMPT, CONTAINER, WORK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from resources.kubernetes.causes import Thing
    from resources.kubernetes.cluster import Cluster
    from resources.kubernetes.installation import Installation
    from resources.kubernetes.manifest import Launch
    from resources.kubernetes.messages import HomeMessages, Payload

# An end that the next look may explain better: a message still on its way through the file system, a late event.
_SETTLE_SECONDS = {Cause.CRASHED: 20.0, Cause.DELETED: 5.0, Cause.INTERRUPTED: 5.0}
_OVERHANG_SECONDS = 60.0  # between a pod's last moment and its object's
_FINISHING_SECONDS = 15.0  # of a worker that has said that it is done
_REMIND_SECONDS = 300.0
_LOG_OVERLAP_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Limit:
    """After how many seconds in a stage an attempt is given up, and as what."""

    seconds: float
    cause: Cause


class Follower:
    """Looks at one attempt whenever `step` is called, until it returns an Ending.

    `log` is told what people want to know. `now`: seconds of a clock that does not go back.
    """

    def __init__(
        self,
        cluster: Cluster,
        launch: Launch,
        installation: Installation,
        messages: HomeMessages,
        *,
        folder: Path,
        log: Callable[[str], None],
        now: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._launch = launch
        self._messages = messages
        self._folder = folder
        self._log = log
        self._now = now
        self._limits = _limits(installation)
        self._outage_seconds = installation.waiting.outage_minutes * 60
        self._answered = now()
        self._since: dict[str, float] = {}
        self._told: tuple[str, float] = ("", 0.0)
        self._pod: Thing | None = None
        self._printed = ""
        self._printed_at: float | None = None
        self._timed = False

    @property
    def pod(self) -> Thing | None:
        """The attempt's pod as it was seen last."""
        return self._pod

    def step(self) -> tuple[list[Payload], Ending | None]:
        """Return what the worker has said since the last step, and how the attempt ended if it did.

        An end is only named when all that was said before it has been read.
        """
        try:
            seen = self._look()
        except OutageError as error:
            payloads = self._messages.forward()
            return payloads, self._silence(str(error))
        except RefusalError as error:
            self._answered = self._now()
            return self._messages.forward(), self._waited(State("forbidden", str(error)))
        self._answered = self._now()
        self._since.pop("forbidden", None)
        payloads = self._messages.forward()
        return payloads, self._judged(seen)

    def _look(self) -> Seen:
        job = self._cluster.job(self._launch.job_name)
        pods = self._cluster.pods(f"{WORK}={self._launch.name},{ATTEMPT}={self._launch.attempt}")
        if job is not None:  # of an earlier Job of this name a pod may still be there
            pods = [pod for pod in pods if _owned(pod, job)]
        last, found = self._pod, Seen(job, pods, last=self._pod).pod
        if found is not None:
            self._pod = found
        running = found is not None and judge(Seen(job, pods, last=last), self._messages.said) == State("running")
        self._print(found)
        if running:
            return Seen(job, pods, last=last)
        name = self._pod["metadata"]["name"] if self._pod else self._launch.job_name
        try:
            events = self._cluster.events(name)
        except RefusalError:  # they only explain; what counts is there without them
            events = []
        return Seen(job, pods, events, last)

    def _judged(self, seen: Seen) -> Ending | None:
        judged = judge(seen, self._messages.said)
        now = self._now()
        if isinstance(judged, Ending):
            ended = self._since.setdefault(f"ended {judged.cause}", now)
            return judged if now - ended >= _settle_seconds(judged, seen) else None
        if judged.stage == "running":
            self._since = {stage: at for stage, at in self._since.items() if stage == "running"}
        self._write_times()
        return self._waited(judged, self._last_event(seen))

    def _waited(self, judged: State, event: str = "") -> Ending | None:
        """Return how the attempt ended when it has been in this state for too long."""
        if self._messages.said.done and judged.stage == "forbidden":
            return Ending(Cause.SUCCEEDED)
        now = self._now()
        self._tell(judged)
        since = self._since.setdefault(judged.stage, now)
        limit = self._limits[judged.stage]
        saving = grace_seconds(self._pod) + _OVERHANG_SECONDS if judged.stage == "leaving" and self._pod else 0.0
        if now - since < max(limit.seconds, saving):
            return None
        if judged.stage == "leaving" and self._pod is not None:  # its kubelet does not answer: nobody else will end it
            with suppress(OutageError, RefusalError):
                self._cluster.delete_pod(self._pod["metadata"]["name"], grace_seconds=0)
        told = (event, judged.detail) if judged.stage == "starting" else (judged.detail, event)
        return Ending(limit.cause, f"{next(filter(None, told), judged.stage)} (for {(now - since) / 60:.1f} minutes)")

    def _silence(self, why: str) -> Ending | None:
        out = self._now() - self._answered
        if self._messages.said.done:
            return Ending(Cause.SUCCEEDED)
        if out < self._outage_seconds:
            self._tell(State("no answer", f"the API server does not answer ({why}); trying on"))
            return None
        return Ending(Cause.UNREACHABLE, f"no answer of the API server for {out / 60:.1f} minutes: {why}")

    def _tell(self, state: State) -> None:
        """Say what the pod does when that changes, and every five minutes why it does not."""
        now, what = self._now(), f"{state.stage}{f': {state.detail}' if state.detail else ''}"
        told, at = self._told
        if what != told or (state.stage != "running" and now - at >= _REMIND_SECONDS):
            where = (self._pod or {}).get("spec", {}).get("nodeName", "") if state.stage == "running" else ""
            self._log(f"{self._launch.job_name}: {what}{f' on {where}' if where else ''}")
            self._told = (what, now)

    def _write_times(self) -> None:
        """Write for the worker when its pod was created, given a node and started: it has no word with the API."""
        status = (self._pod or {}).get("status", {})
        started = next(
            (
                container["state"]["running"].get("startedAt")
                for container in status.get("containerStatuses") or ()
                if container.get("name") == CONTAINER and (container.get("state") or {}).get("running")
            ),
            None,
        )
        if self._timed or started is None or self._pod is None:
            return
        scheduled = [c for c in status.get("conditions") or () if c.get("type") == "PodScheduled"]
        times = {
            "created": self._pod["metadata"].get("creationTimestamp"),
            "scheduled": scheduled[0].get("lastTransitionTime") if scheduled else None,
            "started": started,
        }
        with suppress(FileNotFoundError):  # another run that follows the same work has collected it
            write_atomically(self._folder / f"times-{self._launch.attempt}.json", json.dumps(times))
        self._timed = True

    def _print(self, pod: Thing | None) -> None:
        """Log the lines that the container printed since the last look; what cannot be had now comes later."""
        if pod is None or pod.get("status", {}).get("phase", "Pending") == "Pending":
            return
        now = self._now()
        since = None if self._printed_at is None else int(now - self._printed_at) + _LOG_OVERLAP_SECONDS
        try:
            lines = self._cluster.log(pod["metadata"]["name"], CONTAINER, since_seconds=since)
        except (OutageError, RefusalError):
            return
        self._printed_at = now
        for stamp, line in lines:
            if stamp > self._printed:
                self._printed = stamp
                self._log(f"| {line}")

    def _last_event(self, seen: Seen) -> str:
        warnings = [event for event in in_order(seen.events) if event.get("type") == "Warning"]
        return f"{warnings[-1].get('reason')}: {warnings[-1].get('message')}" if warnings else ""


def _owned(pod: Thing, job: Thing) -> bool:
    return any(owner.get("uid") == job["metadata"]["uid"] for owner in pod["metadata"].get("ownerReferences") or ())


def _settle_seconds(ending: Ending, seen: Seen) -> float:
    """Return how long an end has to stay: longer while the pod is not over, and may be about to say more."""
    lingers = seen.pod is not None and seen.pod.get("status", {}).get("phase") == "Running"
    return max(_SETTLE_SECONDS.get(ending.cause, 0.0), _FINISHING_SECONDS if lingers else 0.0)


def _limits(installation: Installation) -> dict[str, Limit]:
    """Return the limit of every stage that `judge` names."""
    waiting = installation.waiting
    trouble = waiting.trouble_minutes * 60
    return {
        "waiting": Limit(waiting.schedule_minutes * 60, Cause.UNSCHEDULABLE),
        "refused": Limit(trouble, Cause.REFUSED),
        "forbidden": Limit(trouble, Cause.REFUSED),  # an API server that starts refuses what it allows a moment later
        "image": Limit(trouble, Cause.IMAGE_PULL),
        "hopeless image": Limit(0, Cause.IMAGE_PULL),
        "configuration": Limit(trouble, Cause.INVALID_SPEC),
        "init": Limit(trouble, Cause.INIT_FAILED),
        "starting": Limit(waiting.start_minutes * 60, Cause.INVALID_SPEC),
        "running": Limit(waiting.deadline_hours * 3600 + _OVERHANG_SECONDS, Cause.DEADLINE),
        "finishing": Limit(_FINISHING_SECONDS, Cause.SUCCEEDED),
        "leaving": Limit(waiting.grace_seconds + _OVERHANG_SECONDS, Cause.NODE_LOST),
    }
