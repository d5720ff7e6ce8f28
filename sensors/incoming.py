"""New and changed benchmark folders are taken once they are whole; new ones become partitions, removed ones retire."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dagster import AssetObservation, DefaultSensorStatus, SensorEvaluationContext, SensorResult, sensor

from ab_assets.departures import FIRST, retired
from ab_assets.errors import AbAssetsError
from ab_assets.home import Home
from ab_assets.partitions import BENCHMARK, BENCHMARKS
from resources.home import HomeResource
from sensors.arrivals import Arrivals, arrivals
from sensors.folders import Watched, read_seen, watched, write_seen
from sensors.saying import listed
from sensors.switch import seconds_between

if TYPE_CHECKING:
    from collections.abc import Collection

_SECONDS = seconds_between(15)
_EXAMINED_PER_TICK = 200


@sensor(
    minimum_interval_seconds=_SECONDS,
    default_status=DefaultSensorStatus.RUNNING,
    description="Takes each benchmark folder that has arrived whole and registers it as a partition; says once what is "
    "wrong with one that cannot be read, and which ones were removed. It starts no runs.",
)
def incoming_benchmarks(context: SensorEvaluationContext, home: HomeResource) -> SensorResult:
    """Remember what was taken, request a partition for each of it that has none, and say what was removed."""
    here = home.home
    before = read_seen(here)
    try:
        layout = here.layout()
    except AbAssetsError as error:
        return SensorResult(skip_reason=str(error))
    watch = watched(layout, before)
    known = set(context.instance.get_dynamic_partitions(BENCHMARK))
    tick = arrivals(
        watch.looks(),
        before,
        time.time(),
        watch.examine,
        quiet=0.9 * _SECONDS,
        cap=_EXAMINED_PER_TICK,
        kept=known | here.store.benchmarks(FIRST),
        absent=[str(directory) for directory in layout.absent],
    )
    for name, problems in tick.refused.items():
        context.log.warning("%s cannot be taken:\n%s", name, "\n".join(f"  - {problem}" for problem in problems))
    if tick.seen != before:
        write_seen(here, tick.seen)
    new = sorted(name for name, one in tick.seen.items() if one.taken and name not in known and _is_used(here, name))
    return SensorResult(
        dynamic_partitions_requests=[BENCHMARKS.build_add_request(new)] if new else [],
        asset_events=_observations(tick, known),
        skip_reason="; ".join([*_said(tick, watch), *layout.missing]),
    )


def _is_used(home: Home, name: str) -> bool:
    """Tell whether the benchmark can be read and is not retired: a retired one may have lost its partition for good."""
    try:
        return not home.benchmark(name).retired
    except AbAssetsError:
        return False


def _observations(tick: Arrivals, registered: Collection[str]) -> list[AssetObservation]:
    """Return what the UI is to show of partitions whose folders are gone, or back, since the last look."""
    words = {name: retired(tick.seen[name].gone) for name in tick.removed}
    words |= {name: f"not retired any more: its folder is in {tick.seen[name].place}" for name in tick.returned}
    return [
        AssetObservation(FIRST, partition=name, description=text, metadata={"folder": text})
        for name, text in sorted(words.items())
        if name in registered
    ]


def _said(tick: Arrivals, watch: Watched) -> list[str]:
    refused = [name for name in watch.folders if (one := tick.seen[name]).refused == one.stamp]
    parts = {
        "taken": tick.taken,
        "still arriving": tick.arriving,
        "cannot be taken": [name for name in refused if name not in tick.refused],
        "cannot be taken, as the log of this tick explains": tick.refused,
        "retired, their folders were removed": [name for name, one in tick.seen.items() if one.removed],
    }
    said = [f"{what}: {listed(names)}" for what, names in parts.items() if names]
    return [f"{len(watch.folders)} benchmark folders", *said]
