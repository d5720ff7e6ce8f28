"""What reacts by itself: folders that arrive are taken, what is stale is asked for, people are told, strays cleared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sensors.incoming import incoming_benchmarks
from sensors.notifications import notifications
from sensors.refresh import refresh_sensor
from sensors.strays import strays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagster import SensorDefinition
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


def all_sensors(jobs: Sequence[UnresolvedAssetJobDefinition]) -> list[SensorDefinition]:
    """Return every sensor; `jobs` are those they may ask for."""
    return [incoming_benchmarks, refresh_sensor(jobs), notifications, strays]
