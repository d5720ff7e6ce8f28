"""New and changed benchmark folders are taken once they are whole; new ones become partitions."""

from __future__ import annotations

import time

from dagster import DefaultSensorStatus, SensorEvaluationContext, SensorResult, sensor

from ab_assets.errors import AbAssetsError
from ab_assets.home import Home
from ab_assets.partitions import BENCHMARK, BENCHMARKS
from resources.home import HomeResource
from sensors.arrivals import Arrivals, arrivals
from sensors.folders import examine, looks, read_seen, write_seen
from sensors.saying import listed
from sensors.switch import seconds_between

_SECONDS = seconds_between(15)
_EXAMINED_PER_TICK = 200


@sensor(
    minimum_interval_seconds=_SECONDS,
    default_status=DefaultSensorStatus.RUNNING,
    description="Takes each benchmark folder of the home that has arrived whole and registers it as a partition; says "
    "once what is wrong with one that cannot be read. It starts no runs.",
)
def incoming_benchmarks(context: SensorEvaluationContext, home: HomeResource) -> SensorResult:
    """Remember what was taken, and request a partition for each of it that has none."""
    here = home.home
    before = read_seen(here)
    tick = arrivals(
        looks(here),
        before,
        time.time(),
        lambda name: examine(here.root / "benchmarks" / name),
        quiet=0.9 * _SECONDS,
        cap=_EXAMINED_PER_TICK,
    )
    for name, problems in tick.refused.items():
        context.log.warning("%s cannot be taken:\n%s", name, "\n".join(f"  - {problem}" for problem in problems))
    if tick.seen != before:
        write_seen(here, tick.seen)
    known = set(context.instance.get_dynamic_partitions(BENCHMARK))
    new = sorted(name for name, one in tick.seen.items() if one.taken and name not in known and _is_used(here, name))
    return SensorResult(
        dynamic_partitions_requests=[BENCHMARKS.build_add_request(new)] if new else [], skip_reason=_said(tick)
    )


def _is_used(home: Home, name: str) -> bool:
    """Tell whether the benchmark can be read and is not retired: a retired one may have lost its partition for good."""
    try:
        return not home.benchmark(name).retired
    except AbAssetsError:
        return False


def _said(tick: Arrivals) -> str:
    refused = [name for name, one in tick.seen.items() if one.refused == one.stamp]
    parts = {
        "taken": tick.taken,
        "still arriving": tick.arriving,
        "cannot be taken": [name for name in refused if name not in tick.refused],
        "cannot be taken, as the log of this tick explains": tick.refused,
    }
    said = [f"{what}: {listed(names)}" for what, names in parts.items() if names]
    return "; ".join([f"{len(tick.seen)} benchmark folders", *said])
