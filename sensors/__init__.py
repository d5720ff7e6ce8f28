"""What reacts by itself: a benchmark folder that appears in the home becomes a partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sensors.incoming import incoming_benchmarks

if TYPE_CHECKING:
    from dagster import SensorDefinition


def all_sensors() -> list[SensorDefinition]:
    """Return every sensor."""
    return [incoming_benchmarks]
