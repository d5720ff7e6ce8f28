"""What killed processes leave behind is cleared away: their runs, their Jobs and pods."""

from __future__ import annotations

import os

from dagster import DefaultSensorStatus, SensorEvaluationContext, SkipReason, sensor

from ab_assets.errors import AbAssetsError
from resources.compute import VARIABLE
from resources.home import HomeResource
from resources.runs import end_dead_runs, is_gone


@sensor(
    minimum_interval_seconds=60,
    default_status=DefaultSensorStatus.RUNNING,
    description="Ends runs whose process is gone, and removes Jobs whose run is gone. It starts no runs.",
)
def strays(context: SensorEvaluationContext, home: HomeResource) -> SkipReason:
    """Say what was cleared away."""
    ended = end_dead_runs(context.instance)
    removed: list[str] = []
    if os.environ.get(VARIABLE) == "kubernetes":
        from resources.kubernetes.cluster import OutageError, RefusalError, connect  # noqa: PLC0415 - only with pods
        from resources.kubernetes.installation import read_installation  # noqa: PLC0415 - the same
        from resources.kubernetes.sweeping import sweep_jobs  # noqa: PLC0415 - the same

        try:
            cluster = connect(read_installation(home.home))
            removed = sweep_jobs(cluster, home.home.root, lambda run_id: is_gone(context.instance, run_id))
        except (OutageError, RefusalError, AbAssetsError) as error:
            return SkipReason(f"the cluster could not be asked: {error}")
    return SkipReason(f"runs ended: {', '.join(ended) or 'none'}; Jobs removed: {', '.join(removed) or 'none'}")
