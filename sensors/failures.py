"""Why a run failed, and which runs say nothing any more: what a letter needs to know of Dagster's event log."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from resources.runs import process_of
from sensors.run_errors import run_error
from sensors.runs import ACTIVE, HOW, PARTITION, partition_key, targets_of

if TYPE_CHECKING:
    from sensors.due import Target

_RUNS_LOOKED_AT = 10
_STUCK_NAMED = 200


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that failed, and why in its own words."""

    run_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Silent:
    """A run that is not over and whose log has been silent: since when, and whether it waits or works."""

    run_id: str
    what: str
    since: float
    waits: bool


def last_failure(instance: DagsterInstance, target: Target) -> Failure | None:
    """Return how the last run of a target failed, whoever asked for it; None when it did not fail."""
    tags = {PARTITION: partition_key(target)}
    for run in instance.get_runs(RunsFilter(statuses=list(HOW), tags=tags), limit=_RUNS_LOOKED_AT):
        if target in targets_of(run):
            failed = run.status is DagsterRunStatus.FAILURE
            return Failure(run.run_id, run_error(instance, run.run_id).words) if failed else None
    return None


def silent_runs(instance: DagsterInstance, seconds: float, now: float | None = None) -> list[Silent]:
    """Return the runs that are not over and of which nothing was heard for so many seconds, longest first."""
    now = time.time() if now is None else now
    found = []
    for record in instance.get_run_records(RunsFilter(statuses=ACTIVE)):
        run = record.dagster_run
        if now - record.create_timestamp.timestamp() < seconds or process_of(run) == "dead":
            continue
        last = instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
        since = last[0].timestamp if last else record.create_timestamp.timestamp()
        if now - since >= seconds:
            waits = run.status in (DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED)
            found.append(Silent(run.run_id, _name(run), since, waits))
    return sorted(found, key=lambda one: (one.since, one.run_id))[:_STUCK_NAMED]


def _name(run: DagsterRun) -> str:
    targets = targets_of(run)
    return str(targets[0]) if len(targets) == 1 else f"{run.job_name}[{run.tags.get(PARTITION, '')}]"
