"""Backfills: many partitions of one job, a run each, asked of the daemon as the UI and the API ask."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dagster import DagsterEventType, DagsterRunStatus, RunsFilter
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.storage.tags import BACKFILL_ID_TAG, PARENT_BACKFILL_ID_TAG, PRIORITY_TAG, ROOT_BACKFILL_ID_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.utils import make_new_backfill_id
from dagster._daemon.controller import get_daemon_statuses
from dagster._time import get_current_timestamp

from ab_assets.artifacts.store import Ref
from ab_assets.errors import BadInputError, UnknownNameError
from ab_assets.graph import NODES, PRODUCTS, Job
from ab_assets.partitions import grid_key
from jobs.launching import register

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagster import DagsterInstance
    from dagster._core.remote_origin import RemotePartitionSetOrigin

    from ab_assets.home import Home

PRIORITY = -1
"""Runs of a backfill wait for others: those a person or a sensor asks for have 0."""

_DAEMONS = ("BACKFILL", "QUEUED_RUN_COORDINATOR")
_REPOSITORY = "__repository__"
_PARTITION = "dagster/partition"
_ASKED_BY = "ab_assets/asked_by"

# As workspace.yaml names it; where a daemon looks already, its own name for it is taken.
_HERE = ManagedGrpcPythonEnvCodeLocationOrigin(
    LoadableTargetOrigin(module_name="ab_assets.definitions", attribute="defs"), location_name="ab_assets"
)

State = Literal["waiting", "running", "done", "failed", "canceled"]


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition of a backfill: how far it is, by which run, and why it failed."""

    key: str
    state: State
    run_id: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far a backfill is: `over` when nothing of it is going to start any more."""

    backfill_id: str
    job: str
    status: str
    over: bool
    partitions: tuple[Partition, ...]
    error: str = ""

    def counts(self) -> dict[str, int]:
        """Return how many partitions are in each state."""
        return dict(Counter(partition.state for partition in self.partitions))


def targeted(home: Home, job: Job, *, model: str | None = None, benchmark: str | None = None) -> list[str]:
    """Return the partition keys of a job that are meant: of the benchmarks that list the model, or of one benchmark.

    Models that a benchmark does not list are no part of it. Raises UnknownNameError for a name that is not there, and
    BadInputError when nothing is meant.
    """
    if model is not None:
        home.model(model)
    benchmarks = [home.benchmark(benchmark)] if benchmark else home.benchmarks()
    chosen = [item for item in benchmarks if not item.retired and (model is None or model in item.models)]
    if not chosen:
        meant = f"{benchmark} does not compare {model}" if benchmark else f"no benchmark compares {model}"
        raise UnknownNameError(what=meant, hint="Add it under `models` in benchmark.toml.")
    if job != "evaluate":
        return [item.name for item in chosen]
    known = home.catalogue()
    pairs = [(item.name, name) for item in chosen for name in ([model] if model else item.models) if name in known]
    return [str(grid_key(*pair)) for pair in pairs]


def unprepared(home: Home, keys: Sequence[str]) -> list[str]:
    """Return the benchmarks among these keys that have no split yet: their models cannot be evaluated."""
    names = dict.fromkeys(key.split("|")[0] for key in keys)
    return [name for name in names if home.store.current(Ref("split", name)) is None]


def launch(
    instance: DagsterInstance, job: Job, keys: Sequence[str], *, priority: int = PRIORITY, force: bool = False
) -> str:
    """Ask the daemon for one run of each partition; return the backfill's id."""
    register(instance, sorted({key.split("|")[0] for key in keys}))
    return _added(
        instance, job, keys, {PRIORITY_TAG: str(priority), _ASKED_BY: "backfill"}, _run_config(job, force=force)
    )


def retry(instance: DagsterInstance, backfill_id: str) -> tuple[str, list[str]]:
    """Ask again for the partitions that failed, were canceled or never started; return (the new id, these keys).

    Raises BadInputError while the backfill is under way or when there is nothing to ask again.
    """
    backfill, found = _backfill(instance, backfill_id), progressed(instance, backfill_id)
    keys = [partition.key for partition in found.partitions if partition.state in {"failed", "canceled", "waiting"}]
    if not found.over:
        raise BadInputError(what=f"backfill {backfill_id} is under way", hint="Wait until it ends, or cancel it first.")
    if not keys:
        raise BadInputError(what=f"nothing failed in backfill {backfill_id}")
    tags = {
        **backfill.tags,
        PARENT_BACKFILL_ID_TAG: backfill_id,
        ROOT_BACKFILL_ID_TAG: backfill.tags.get(ROOT_BACKFILL_ID_TAG, backfill_id),
    }
    return _added(instance, found.job, keys, tags, backfill.run_config or {}), keys


def progressed(instance: DagsterInstance, backfill_id: str) -> Progressed:
    """Return how far each partition is. Raises UnknownNameError when there is no such backfill."""
    backfill = _backfill(instance, backfill_id)
    runs: dict[str, Partition] = {}
    for record in instance.get_run_records(RunsFilter(tags={BACKFILL_ID_TAG: backfill_id})):  # newest first
        run = record.dagster_run
        key = run.tags.get(_PARTITION, "")
        if key not in runs:
            why = _why(instance, run.run_id) if run.status is DagsterRunStatus.FAILURE else ""
            runs[key] = Partition(key, _state(run.status), run.run_id, why)
    terminal = backfill.status in BULK_ACTION_TERMINAL_STATUSES
    under_way = any(partition.state in {"waiting", "running"} for partition in runs.values())
    return Progressed(
        backfill_id,
        backfill.job_name or "",
        backfill.status.value.lower(),
        terminal and not under_way,
        tuple(runs.get(key) or Partition(key, "waiting") for key in backfill.partition_names or ()),
        backfill.error.message.strip() if backfill.error else "",
    )


def missing_daemons(instance: DagsterInstance) -> list[str]:
    """Return which of the daemon's parts that a backfill needs have not been heard of lately."""
    statuses = get_daemon_statuses(instance, _DAEMONS, ignore_errors=True)
    return [name for name, status in statuses.items() if status.required and not status.healthy]


def _added(
    instance: DagsterInstance, job: str, keys: Sequence[str], tags: Mapping[str, str], run_config: Mapping[str, object]
) -> str:
    backfill_id = make_new_backfill_id()
    instance.add_backfill(
        PartitionBackfill(
            backfill_id=backfill_id,
            partition_set_origin=_partition_set(instance, job),
            status=BulkActionStatus.REQUESTED,
            partition_names=list(keys),
            from_failure=False,
            reexecution_steps=None,
            tags=tags,
            backfill_timestamp=get_current_timestamp(),
            run_config=run_config,
        )
    )
    return backfill_id


def _partition_set(instance: DagsterInstance, job: str) -> RemotePartitionSetOrigin:
    """Return the name under which the daemon knows a job's partitions."""
    known = [
        state.origin.repository_origin
        for state in instance.all_instigator_state()
        if state.origin.repository_origin.repository_name == _REPOSITORY and state.instigator_name == "refresh"
    ]
    repository = known[0] if known else RemoteRepositoryOrigin(_HERE, _REPOSITORY)
    return repository.get_partition_set_origin(f"{job}_partition_set")


def _run_config(job: Job, *, force: bool) -> dict[str, object]:
    """Return what makes every step of the job compute again."""
    if not force:
        return {}
    steps = {"model_products" if name in PRODUCTS else name for name, node in NODES.items() if node.job == job}
    steps = {"render_report" if name == "report" else name for name in steps}
    return {"ops": {name: {"config": {"force": True}} for name in sorted(steps)}}


def _backfill(instance: DagsterInstance, backfill_id: str) -> PartitionBackfill:
    found = instance.get_backfill(backfill_id)
    if found is None or found.partition_set_origin is None:
        raise UnknownNameError(
            what=f"there is no backfill {backfill_id!r} of one of the jobs", hint="The UI lists them."
        )
    return found


def _state(status: DagsterRunStatus) -> State:
    if status is DagsterRunStatus.SUCCESS:
        return "done"
    if status is DagsterRunStatus.FAILURE:
        return "failed"
    if status is DagsterRunStatus.CANCELED:
        return "canceled"
    waiting = (DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED)
    return "waiting" if status in waiting else "running"


def _why(instance: DagsterInstance, run_id: str) -> str:
    """Return the first line of what a failed run says of its failure."""
    for kind in (DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE):
        for entry in instance.all_logs(run_id, of_type=kind):
            event = entry.dagster_event
            error = event.step_failure_data.error if event and kind is DagsterEventType.STEP_FAILURE else None
            while error is not None and error.cause is not None:
                error = error.cause
            text = error.message if error is not None else (event.message if event else "") or ""
            if text.strip():
                return text.strip().splitlines()[0]
    return ""
