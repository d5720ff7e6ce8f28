"""What Dagster's runs say of each benchmark: which are under way, which are in a person's hands, how ours ended."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from ab_assets.graph import NODES, Job
from ab_assets.keys import is_key
from ab_assets.partitions import BENCHMARK, MODEL, grid_key
from resources.runs import process_of
from sensors.due import TRIES, Ended, Target
from sensors.run_errors import run_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sensors.due import How

ASKED_BY, ASKED_FOR, WHY = "ab_assets/asked_by", "ab_assets/asked_for", "ab_assets/why"
COMPUTES = "ab_assets/computes"
"""Tags a run in which a model itself has work."""
REFRESH = "refresh"
PARTITION = "dagster/partition"

ACTIVE = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
    DagsterRunStatus.SUSPENDED,
]
HOW: Mapping[DagsterRunStatus, How] = {
    DagsterRunStatus.SUCCESS: "succeeded",
    DagsterRunStatus.FAILURE: "failed",
    DagsterRunStatus.CANCELED: "canceled",
}

# A command goes on with its next job at once; a minute after the last one it is done.
_BETWEEN_JOBS_SECONDS = 60
_COMMANDS_LOOKED_AT = 50


@dataclass(frozen=True, slots=True)
class UnderWay:
    """`running`: {benchmark: targets with a run that is not over}; `held`: benchmarks a command is working on."""

    running: Mapping[str, frozenset[Target]]
    held: frozenset[str]


def under_way(instance: DagsterInstance, now: float | None = None) -> UnderWay:
    """Return what is under way; a run of a command whose process is gone is not."""
    now = time.time() if now is None else now
    running: dict[str, set[Target]] = defaultdict(set)
    for record in instance.get_run_records(RunsFilter(statuses=ACTIVE)):
        for target in targets_of(record.dagster_run) if process_of(record.dagster_run) != "dead" else ():
            running[target.benchmark].add(target)
    held = set()
    for record in instance.get_run_records(RunsFilter(tags={ASKED_BY: "cli"}), limit=_COMMANDS_LOOKED_AT):
        recent = record.end_time is None or now - record.end_time < _BETWEEN_JOBS_SECONDS
        if recent and process_of(record.dagster_run) == "alive":
            held |= {target.benchmark for target in targets_of(record.dagster_run)}
    return UnderWay({name: frozenset(targets) for name, targets in running.items()}, frozenset(held))


def ended(instance: DagsterInstance, target: Target, now: float | None = None) -> list[Ended]:
    """Return how the last runs of a target ended that were asked for from here, newest first."""
    now = time.time() if now is None else now
    records = instance.get_run_records(
        RunsFilter(job_name=target.job, statuses=list(HOW), tags={ASKED_BY: REFRESH, PARTITION: partition_key(target)}),
        limit=TRIES,
    )
    return [
        Ended(
            record.dagster_run.tags.get(ASKED_FOR, ""),
            _how(instance, record.dagster_run),
            now - (record.end_time or record.update_timestamp.timestamp()),
        )
        for record in records
    ]


def _how(instance: DagsterInstance, run: DagsterRun) -> How:
    how = HOW[run.status]
    return "refused" if how == "failed" and run_error(instance, run.run_id).is_refusal else how


def partition_key(target: Target) -> str:
    """Return the partition key of a target."""
    return target.benchmark if target.model is None else grid_key(target.benchmark, target.model)


def targets_of(run: DagsterRun) -> list[Target]:
    """Return what a run makes: of a named job that, of chosen assets whatever jobs they belong to."""
    benchmark = run.tags.get(f"{PARTITION}/{BENCHMARK}") or run.tags.get(PARTITION, "")
    if not is_key(benchmark):
        return []
    model = run.tags.get(f"{PARTITION}/{MODEL}")
    jobs: Iterable[Job] = [job for job in get_args(Job) if job == run.job_name]
    if not jobs:
        assets = [key.to_user_string() for key in run.asset_selection or ()]
        jobs = {NODES[name].job for name in assets if name in NODES} or get_args(Job)
    return [Target(job, benchmark, model if job == "evaluate" else None) for job in sorted(jobs)]
