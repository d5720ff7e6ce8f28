"""Where a model is run: in this process, or (with the Kubernetes backend) in a pod of its own."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from dagster import ConfigurableResource

if TYPE_CHECKING:
    import logging

    from ab_assets.artifacts.publication import Outcome
    from ab_assets.home import Home
    from ab_assets.progress import Progress
    from ab_assets.worker import Work

_SECONDS_BETWEEN = 5.0


def cpus() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalCompute(ConfigurableResource):  # type: ignore[type-arg] # dagster leaves its parameter open
    """The worker's code in this process: one device is enough."""

    def run(self, home: Home, work: Work, progress: Progress) -> list[Outcome]:
        """Return what each wanted partition shows after the work."""
        from ab_assets.worker import run_work  # noqa: PLC0415 - a process that runs no model loads no worker

        return run_work(home, work, progress)


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

    def progress(self, log: logging.Logger) -> Progress:  # noqa: ARG002 - as Reporting
        """Return the caller's function."""
        return self._receiver
