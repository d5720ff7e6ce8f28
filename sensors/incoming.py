"""New benchmark folders become partitions, so that the UI can materialize them."""

from __future__ import annotations

from dagster import DefaultSensorStatus, SensorEvaluationContext, SensorResult, SkipReason, sensor

from ab_assets.partitions import BENCHMARK, BENCHMARKS
from resources.home import HomeResource


@sensor(
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description="Registers every readable benchmark folder of the home as a partition. It starts no runs.",
)
def incoming_benchmarks(context: SensorEvaluationContext, home: HomeResource) -> SensorResult | SkipReason:
    """Request a partition for each benchmark that has none."""
    known = set(context.instance.get_dynamic_partitions(BENCHMARK))
    new = [benchmark.name for benchmark in home.home.benchmarks() if benchmark.name not in known]
    if not new:
        return SkipReason(f"{len(known)} benchmarks, none of them new")
    return SensorResult(dynamic_partitions_requests=[BENCHMARKS.build_add_request(new)])
