"""Runs whose process is gone: they are ended, so that nothing waits for them."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Literal

from dagster import DagsterRunStatus, RunsFilter
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun

HOST, PID = "ab_assets/host", "ab_assets/pid"
"""Tags of a run that the command line makes in its own process."""

# A run that failed may be started again, and goes on with the pod that it had.
_RESPITE_SECONDS = 600.0


def end_dead_runs(instance: DagsterInstance) -> list[str]:
    """Report as failed the command line's runs of this machine whose process has died; return their ids."""
    under_way = [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]
    filters = RunsFilter(statuses=under_way, tags={HOST: socket.gethostname()})
    dead = [run for run in instance.get_runs(filters) if process_of(run) == "dead"]
    for run in dead:
        instance.report_run_failed(run, f"The process {run.tags[PID]} that made this run on {run.tags[HOST]} is gone.")
    return [run.run_id for run in dead]


def oldest_start(instance: DagsterInstance) -> float | None:
    """Return when the oldest run that is not over was asked for, in seconds since the epoch; None without one."""
    records = instance.get_run_records(RunsFilter(statuses=NOT_FINISHED_STATUSES))
    return min((record.create_timestamp.timestamp() for record in records), default=None)


def is_gone(instance: DagsterInstance, run_id: str) -> bool:
    """Tell whether nobody will come back to what this run has started."""
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        return True
    run: DagsterRun = record.dagster_run
    if run.status is DagsterRunStatus.FAILURE:
        return time.time() - record.update_timestamp.timestamp() > _RESPITE_SECONDS
    return run.is_finished


def process_of(run: DagsterRun) -> Literal["alive", "dead", "elsewhere"]:
    """Return what is known of the process in which the command line makes a run; other runs have theirs elsewhere."""
    pid = run.tags.get(PID, "")
    if run.tags.get(HOST) != socket.gethostname() or not pid.isdecimal():
        return "elsewhere"
    import psutil  # noqa: PLC0415 - only here

    return "alive" if psutil.pid_exists(int(pid)) else "dead"
