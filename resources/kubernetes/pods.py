"""The pods of one work, one after the other until one has done it: found again, retried by cause, gone at the end."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from ab_assets.artifacts.durable import write_atomically
from resources.kubernetes.causes import Cause, Ending, grace_seconds
from resources.kubernetes.cluster import OutageError, RefusalError
from resources.kubernetes.following import Follower
from resources.kubernetes.manifest import ATTEMPT, CAUSES, RUN, WORK, Launch, job_manifest
from resources.kubernetes.retries import memory_factor, next_step

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ab_assets.models.specification import ModelSpec
    from resources.kubernetes.causes import Said, Thing
    from resources.kubernetes.cluster import Cluster
    from resources.kubernetes.installation import Installation
    from resources.kubernetes.messages import HomeMessages, Payload

T = TypeVar("T")

_POLL_SECONDS, _SLOWEST_SECONDS = 1.0, 5.0
_LEAVING_SECONDS = 60.0  # besides the grace period
_INTERRUPTS = 3
_CLEAN_WAITS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # seconds between the tries to leave nothing behind


@dataclass(frozen=True, slots=True)
class Clock:
    """`now`: seconds of a clock that does not go back; `sleep` may raise to end what waits."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Failed(Exception):  # noqa: N818 - what `Pods` knows; its caller makes an error of it
    """No attempt is left. `said`: what the last worker said itself."""

    def __init__(self, launch: Launch, ending: Ending, said: Said | None) -> None:
        self.launch = launch
        self.ending = ending
        self.said = said
        super().__init__(f"{launch.job_name}: {ending.cause}: {ending.detail}")


class Pods:
    """Runs one work in pods. `root`: the home as this process sees it; `log` is told what people want to know."""

    def __init__(
        self,
        cluster: Cluster,
        installation: Installation,
        spec: ModelSpec,
        *,
        root: Path,
        log: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._cluster = cluster
        self._installation = installation
        self._spec = spec
        self._root = root
        self._log = log
        self._clock = clock

    def run(
        self,
        first: Launch,
        wanted: Mapping[str, Any],
        listen: Callable[[Launch], AbstractContextManager[tuple[HomeMessages, Mapping[str, str]]]],
    ) -> Iterator[Payload]:
        """Yield what the workers say until one has done the work, which is then collected and gone from the cluster.

        `wanted`: the work, as the worker reads it. `listen(launch)` opens the messages of an attempt. Raises Failed
        when there is no further attempt. Whatever else ends this ends the pods, too.
        """
        launch = first
        try:
            launch = self._found_or(first)
            while True:
                with listen(launch) as (messages, pipes):
                    ending = yield from self._attempt(launch, wanted, messages, pipes)
                if ending.cause is Cause.SUCCEEDED:
                    return
                launch = self._next(launch, ending, messages.said)
        finally:
            self._clean(launch)

    def _found_or(self, first: Launch) -> Launch:
        """Return the newest attempt that is under way or done, else `first`, with nothing in its way."""
        jobs = [job for job in self._patiently(lambda: self._cluster.jobs(f"{WORK}={first.name}")) if not _leaving(job)]
        # how a work failed was told to the run that asked for it, unless that run is this one, started again
        ours = [job for job in jobs if not _has_failed(job) or job["metadata"]["labels"].get(RUN) == first.run_id]
        if not ours:
            for job in jobs:
                self._delete(job["metadata"]["name"])
            launch = self._with_room(first)
            if launch is first:
                shutil.rmtree(self._root / first.folder, ignore_errors=True)
            return launch
        found = max(ours, key=_attempt_of)
        name = found["metadata"]["name"]
        self._patiently(lambda: self._cluster.label_job(name, {RUN: first.run_id}))
        return self._taken_up(first, found)

    def _taken_up(self, launch: Launch, job: Thing) -> Launch:
        """Return the attempt that a Job is."""
        self._log(f"{job['metadata']['name']} is there already: following it")
        told = job["metadata"].get("annotations", {}).get(CAUSES, "")
        causes = tuple(cause for cause in told.split(",") if cause)
        factor = memory_factor(causes, self._installation)
        return replace(launch, attempt=_attempt_of(job), causes=causes, memory_factor=factor)

    def _attempt(
        self, launch: Launch, wanted: Mapping[str, Any], messages: HomeMessages, pipes: Mapping[str, str]
    ) -> Generator[Payload, None, Ending]:
        """Yield what the worker says; return how the attempt ended."""
        if (refused := self._start(launch, wanted, pipes)) is not None:
            return refused
        follower = Follower(
            self._cluster,
            launch,
            self._installation,
            messages,
            folder=self._root / launch.folder,
            log=self._log,
            now=self._clock.now,
        )
        wait = _POLL_SECONDS
        while True:
            payloads, ending = follower.step()
            yield from payloads
            if ending is not None:
                return ending
            self._clock.sleep(wait)
            wait = min(wait * 1.1, _SLOWEST_SECONDS)

    def _start(self, launch: Launch, wanted: Mapping[str, Any], pipes: Mapping[str, str]) -> Ending | None:
        """Create the attempt's Job unless it is there; return why that is refused."""
        file = self._root / launch.specification
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, json.dumps(self._specification(launch, wanted, pipes), sort_keys=True))
        manifest = job_manifest(launch, self._spec, self._installation)
        try:
            self._patiently(lambda: self._cluster.create_job(manifest))
        except RefusalError as error:
            cause = Cause.INVALID_SPEC if error.status in (400, 422) else Cause.REFUSED
            return Ending(cause, str(error))
        except OutageError as error:
            return Ending(Cause.UNREACHABLE, str(error))
        return None

    def _specification(self, launch: Launch, wanted: Mapping[str, Any], pipes: Mapping[str, str]) -> dict[str, Any]:
        needs = self._installation.needs_of(self._spec)
        return {
            "work": dict(wanted),
            "asked": {
                "gpus": needs.gpus,
                "gpu_resource": self._installation.gpu_resource_of(self._spec.name) if needs.gpus else "",
                "cpus": needs.cpus,
                "memory_gib": needs.memory_gib * launch.memory_factor,
                "attempt": launch.attempt,
                "submitted": time.time(),
            },
            "gpus_required": self._installation.gpu.required,
            "pipes": dict(pipes),
        }

    def _next(self, launch: Launch, ending: Ending, said: Said) -> Launch:
        causes = (*launch.causes, str(ending.cause))
        factor = next_step(ending, [Cause(cause) for cause in causes], self._installation)
        if factor is None:
            raise Failed(launch, ending, said)
        memory = self._installation.needs_of(self._spec).memory_gib * factor
        self._log(f"{launch.job_name} ended: {ending.cause}: {ending.detail}; another goes on, with {memory:g} GiB")
        self._delete(launch.job_name)
        return self._with_room(replace(launch, attempt=launch.attempt + 1, memory_factor=factor, causes=causes))

    def _with_room(self, launch: Launch) -> Launch:
        """Return the attempt when no pod of an earlier one is left that could write: in the end such a pod is forced.

        Another run of the same work may have started one meanwhile: then that is taken up.
        """
        began, told = self._clock.now(), False
        while True:
            jobs = self._patiently(lambda: self._cluster.jobs(f"{WORK}={launch.name}"))
            if started := [job for job in jobs if not _leaving(job)]:
                return self._taken_up(launch, max(started, key=_attempt_of))
            others = [
                pod for pod in self._patiently(lambda: self._cluster.pods(f"{WORK}={launch.name}")) if not _over(pod)
            ]
            in_the_way = [*others, *(job for job in jobs if job["metadata"]["name"] == launch.job_name)]
            if not in_the_way:
                break
            if not told:
                self._log(f"{launch.job_name} waits until {_names(in_the_way)[0]} has saved and ended")
                told = True
                for name in _names(pod for pod in others if not _leaving(pod)):
                    self._delete_pod(name)
            graces = [self._installation.waiting.grace_seconds, *(grace_seconds(pod) for pod in others)]
            if self._clock.now() > began + max(graces) + _LEAVING_SECONDS:
                for name in _names(others):
                    self._delete_pod(name, grace_seconds=0)
                break
            self._clock.sleep(_POLL_SECONDS)
        return launch

    def _clean(self, launch: Launch) -> None:
        """Take the Job, its pods and the attempts' files away; a Job that another run has taken over stays.

        An interrupt does not end this: a run that is cancelled is told twice, by its pod's end and by Dagster.
        """
        for wait in (*_CLEAN_WAITS, None):
            try:
                if self._uninterrupted(lambda: self._cleaned(launch)):
                    shutil.rmtree(self._root / launch.folder, ignore_errors=True)
            except (OutageError, RefusalError) as error:
                if wait is None:
                    self._log(f"{launch.job_name} could not be deleted ({error}); the sweep will")
                    return
                with suppress(BaseException):  # the clock of a run that is cancelled may end every sleep
                    self._clock.sleep(wait)
            else:
                return

    def _uninterrupted(self, ask: Callable[[], T]) -> T:
        for _ in range(_INTERRUPTS):
            try:
                return ask()
            except (OutageError, RefusalError):
                raise
            except BaseException as interrupt:  # noqa: BLE001 - Dagster's own kind of interrupt has no other base
                self._log(f"interrupted ({type(interrupt).__name__}) while pods are deleted: deleting on")
        return ask()

    def _cleaned(self, launch: Launch) -> bool:
        """Delete what this run has of the work; tell whether no other run has anything of it."""
        others = False
        for job in self._cluster.jobs(f"{WORK}={launch.name}"):
            if job["metadata"]["labels"].get(RUN) == launch.run_id:
                self._cluster.delete_job(job["metadata"]["name"])
            else:
                others = others or not _leaving(job)
        if not others:  # a Job can be deleted without its pods
            for name in _names(pod for pod in self._cluster.pods(f"{WORK}={launch.name}") if not _leaving(pod)):
                self._cluster.delete_pod(name)
        return not others

    def _delete(self, name: str) -> None:
        self._patiently(lambda: self._cluster.delete_job(name))

    def _delete_pod(self, name: str, *, grace_seconds: int | None = None) -> None:
        self._patiently(lambda: self._cluster.delete_pod(name, grace_seconds=grace_seconds))

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Return the answer, asking again while there is an outage, at most as long as an outage may last."""
        limit, wait, told = self._clock.now() + self._installation.waiting.outage_minutes * 60, _POLL_SECONDS, False
        while True:
            try:
                return ask()
            except OutageError as error:
                if self._clock.now() > limit:
                    raise
                if not told:
                    self._log(f"the API server does not answer ({error}); trying on")
                    told = True
            self._clock.sleep(wait)
            wait = min(wait * 1.5, _SLOWEST_SECONDS)


def _names(things: Iterable[Thing]) -> list[str]:
    return [thing["metadata"]["name"] for thing in things]


def _attempt_of(job: Thing) -> int:
    return int(job["metadata"]["labels"][ATTEMPT])


def _over(pod: Thing) -> bool:
    return pod.get("status", {}).get("phase") in ("Failed", "Succeeded")


def _leaving(job: Thing) -> bool:
    return bool(job["metadata"].get("deletionTimestamp"))


def _has_failed(job: Thing) -> bool:
    conditions = job.get("status", {}).get("conditions") or ()
    return any(one.get("type") == "Failed" and one.get("status") == "True" for one in conditions)
