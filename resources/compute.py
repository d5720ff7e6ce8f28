"""Where a model is run: in this process, or in a pod of its own."""

from __future__ import annotations

import math
import os
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from dagster import ConfigurableResource

from ab_assets.errors import BadInputError, ComputeFailedError

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

    from dagster import AssetExecutionContext

    from ab_assets.artifacts.publication import Outcome
    from ab_assets.home import Home
    from ab_assets.progress import Progress
    from ab_assets.work import Work

VARIABLE = "AB_ASSETS_COMPUTE"

_SECONDS_BETWEEN = 5.0


def cpus() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Compute(ABC):
    """Runs the work of one (benchmark, model).

    `side_by_side`: how many at once the command line starts. `brings_weights`: weights are obtained where the work is
    done, and need not be here.
    """

    side_by_side: int = 1
    brings_weights: bool = False

    @abstractmethod
    def run(self, context: AssetExecutionContext, home: Home, work: Work, progress: Progress) -> Iterator[Outcome]:
        """Yield what each wanted partition shows, upstream first, as soon as it is there.

        Raises the error of the work; what was made before it stays.
        """


class LocalCompute(Compute):
    """The worker's code in this process; several GPUs are shared by processes that it starts.

    `deadline_hours`: after so many, the work is ended where it next says how far it is.
    """

    def __init__(self, *, deadline_hours: float = math.inf) -> None:
        self._deadline_hours = deadline_hours

    def run(
        self,
        context: AssetExecutionContext,  # noqa: ARG002 - as Compute
        home: Home,
        work: Work,
        progress: Progress,
    ) -> Iterator[Outcome]:
        """Yield what each wanted partition shows. Raises ComputeFailedError for memory and the deadline."""
        from ab_assets.artifacts.costs import Asked, Meter  # noqa: PLC0415 - only a process that runs a model
        from ab_assets.work import run_work  # noqa: PLC0415 - the same

        end = time.monotonic() + self._deadline_hours * 3600

        def limited(message: str, done: int, total: int) -> None:
            progress(message, done, total)
            if time.monotonic() > end:
                what = f"the work was not done in {self._deadline_hours:g} hours"
                raise ComputeFailedError(cause="Deadline", what=what, hint="The next run goes on from what is there.")

        try:
            with Meter(Asked()) as meter:
                yield from run_work(home, work, limited, meter)
        except MemoryError as error:
            where = f"{work.benchmark}|{work.model}"
            raise ComputeFailedError(cause="OutOfMemory", what="there is too little memory", where=where) from error


def compute_here() -> Compute:
    """Return what AB_ASSETS_COMPUTE names, by default local."""
    return compute_of(os.environ.get(VARIABLE) or "local")


def compute_of(name: str) -> Compute:
    """Return the place of that name: local or kubernetes."""
    if name == "local":
        return LocalCompute()
    if name == "kubernetes":
        from resources.kubernetes.backend import KubernetesCompute  # noqa: PLC0415 - only where there are pods

        return KubernetesCompute()
    what = f"{VARIABLE} names no place to run models"
    raise BadInputError(what=what, found=repr(name), expected="local or kubernetes")


class Reporting(ConfigurableResource):  # type: ignore[type-arg] # dagster leaves its parameter open
    """How far long work is: lines in the run's log, at most one every five seconds and one at each end."""

    def progress(self, log: logging.Logger) -> Progress:
        """Return the function that work calls with (what, done, total)."""
        last: dict[str, float] = {}

        def report(message: str, done: int, total: int) -> None:
            now = time.monotonic()
            if done >= total or now - last.get(message, 0.0) >= _SECONDS_BETWEEN:
                last[message] = now
                log.info("%s: %d of %d", message, done, total)

        return report


class ReportingTo:
    """Progress handed to a function of the caller's, the command line's terminal for example.

    It is a plain object: Dagster makes configurable resources anew for each run and would lose the function.
    """

    def __init__(self, receiver: Progress) -> None:
        self._receiver = receiver

    def progress(self, log: logging.Logger) -> Progress:
        """Return the caller's function; news, which are no progress, are in the run's log as well."""

        def report(message: str, done: int, total: int) -> None:
            self._receiver(message, done, total)
            if done == total == 1:
                log.info("%s", message)

        return report
