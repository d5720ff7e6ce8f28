"""Run the named jobs in this process, on the same instance the UI shows."""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dagster import DagsterEventType, DagsterInstance, Failure

from ab_assets.artifacts.durable import write_atomically
from ab_assets.errors import AbAssetsError
from ab_assets.partitions import BENCHMARK, grid_key
from resources.compute import Reporting, ReportingTo, compute_here
from resources.home import HomeResource
from resources.runs import HOST, PID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagster import Definitions, EventLogEntry

    from ab_assets.home import Home
    from ab_assets.progress import Progress
    from resources.compute import Compute

_LAPTOP = Path(__file__).resolve().parents[1] / "deploy" / "laptop"
_ONE_AT_A_TIME, _SIDE_BY_SIDE = _LAPTOP / "dagster.yaml", _LAPTOP / "dagster-with-pods.yaml"
SHIPPED = (_ONE_AT_A_TIME, _SIDE_BY_SIDE)
"""Dagster's settings on a laptop, by how many models run at once."""

# Set by Kubernetes in every container:
# https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
_IN_A_POD = "KUBERNETES_SERVICE_HOST"


@dataclass(frozen=True, slots=True)
class Made:
    """One partition after a run."""

    asset: str
    reused: bool
    compared: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run made, and what stopped it."""

    job: str
    run_id: str
    made: tuple[Made, ...]
    error: AbAssetsError | None = None


def prepare_dagster_home(home: Home) -> Path:
    """Return DAGSTER_HOME inside the home, with the laptop's dagster.yaml unless it has one of its own.

    In a pod it is the one that the deployment gives, so that commands there use the instance that the UI shows.
    """
    given = Path(os.environ.get("DAGSTER_HOME", ""))
    if _IN_A_POD in os.environ and (given / "dagster.yaml").is_file():
        return given
    home.dagster.mkdir(parents=True, exist_ok=True)
    settings = home.dagster / "dagster.yaml"
    wanted = (_SIDE_BY_SIDE if compute_here().side_by_side > 1 else _ONE_AT_A_TIME).read_text("utf-8")
    found = settings.read_text("utf-8") if settings.exists() else None
    if found is None or (found != wanted and found in [file.read_text("utf-8") for file in SHIPPED]):
        write_atomically(settings, wanted)
    return home.dagster


def open_instance(home: Home) -> DagsterInstance:
    """Return the Dagster instance of this home; use it in a `with` block."""
    return DagsterInstance.from_config(str(prepare_dagster_home(home)))


def register(instance: DagsterInstance, benchmarks: Sequence[str]) -> None:
    """Make the benchmarks partitions that the UI shows."""
    known = set(instance.get_dynamic_partitions(BENCHMARK))
    if new := [name for name in benchmarks if name not in known]:
        instance.add_dynamic_partitions(BENCHMARK, new)


def run_job(
    defs: Definitions,
    instance: DagsterInstance,
    home: Home,
    job: str,
    benchmark: str,
    *,
    model: str | None = None,
    force: bool = False,
    progress: Progress | None,
    compute: Compute | None = None,
) -> RunResult:
    """Run one job for one partition here and now; an error of the work is returned, not raised.

    `progress`: None writes it into the run's log. `compute`: where models are run, by default as AB_ASSETS_COMPUTE
    says.
    """
    definition = defs.resolve_job_def(job)
    run_id, error = str(uuid.uuid4()), None
    try:
        definition.execute_in_process(
            instance=instance,
            run_id=run_id,
            partition_key=grid_key(benchmark, model) if model else benchmark,
            run_config={
                "ops": {node.name: {"config": {"force": force}} for node in definition.nodes},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            resources={
                "home": HomeResource(root=str(home.root)),
                "reporting": ReportingTo(progress) if progress else Reporting(),
                "compute": compute or compute_here(),
            },
            tags={
                "ab_assets/asked_by": "cli",
                HOST: socket.gethostname(),
                PID: str(os.getpid()),
            },
        )
    except AbAssetsError as raised:
        error = raised
    except Failure as failure:
        if not isinstance(failure.__cause__, AbAssetsError):
            raise
        error = failure.__cause__
    logs = instance.all_logs(run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION)
    return RunResult(job, run_id, tuple(_made(entry) for entry in logs), error)


def _made(entry: EventLogEntry) -> Made:
    materialization = entry.asset_materialization
    if materialization is None:
        msg = f"{entry} is no materialization"
        raise TypeError(msg)
    values = {name: value.value for name, value in materialization.metadata.items()}
    return Made(
        asset=materialization.asset_key.to_user_string(),
        reused=bool(values.get("reused", False)),
        compared=values.get("compared") is not False,
        seconds=float(str(values.get("seconds") or 0.0)),
    )
