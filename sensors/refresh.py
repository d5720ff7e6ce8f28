"""What is stale is asked for, stage by stage, until there is a report."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dagster import (
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    sensor,
)

from ab_assets.errors import AbAssetsError
from ab_assets.graph import loaded_code
from ab_assets.home import Home
from ab_assets.models.availability import availability
from ab_assets.partitions import BENCHMARK, CONTENT, MODELS
from ab_assets.plan import plan
from resources.compute import compute_here
from resources.home import HomeResource
from sensors.arrivals import is_taken
from sensors.budget import read_budget, within
from sensors.due import Due, Request, Target, due
from sensors.folders import look_at, read_seen
from sensors.latest_code import latest_code
from sensors.remembered import RememberedDigests
from sensors.runs import ACTIVE, ASKED_BY, ASKED_FOR, COMPUTES, REFRESH, WHY, ended, partition_key, under_way
from sensors.saying import listed
from sensors.switch import AUTOMATION, is_off, seconds_between

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagster import DagsterInstance
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

    from ab_assets.graph import Code
    from ab_assets.models.catalogue import ModelSpec
    from ab_assets.plan import Step

_SECONDS = seconds_between(20)
_REQUESTS_PER_TICK = 25
# A sensor has 60 seconds; those whose turn does not come are looked at first in a later tick.
_SECONDS_OF_LOOKING = 25.0

DIGESTS = RememberedDigests()


def refresh_sensor(jobs: Sequence[UnresolvedAssetJobDefinition]) -> SensorDefinition:
    """Return the sensor that asks for runs of these jobs."""

    @sensor(
        jobs=jobs,
        minimum_interval_seconds=_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
        description="Asks for what `ab-assets plan` calls stale, of every benchmark that has arrived whole: prepare, "
        f"then each model, then the report. {AUTOMATION}=off turns it off.",
    )
    def refresh(context: SensorEvaluationContext, home: HomeResource) -> SensorResult:
        if is_off():
            return SensorResult(skip_reason=f"{AUTOMATION} is off: nothing is started by itself")
        requests, said = _looked(context, home.home)
        try:
            requests, waiting = _afforded(context.instance, home.home, requests)
        except AbAssetsError as error:
            return SensorResult(skip_reason=str(error))
        said += [waiting] if waiting else []
        if not requests:
            return SensorResult(skip_reason="; ".join(["nothing to ask for", *said]))
        if said:  # a look that asks for runs has no reason to show
            context.log.info("%s", "; ".join(said))
        return SensorResult(run_requests=[_run_request(one) for one in requests[:_REQUESTS_PER_TICK]])

    return refresh


def _looked(context: SensorEvaluationContext, home: Home) -> tuple[list[Request], list[str]]:
    """Return what is due, and what is left out and why; broken parts are said and stand in nobody's way."""
    try:
        known, code = home.names(), latest_code()
    except AbAssetsError as error:
        return [], [str(error)]
    try:
        models = Models(home.catalogue())
    except AbAssetsError as error:
        return [], [f"the models cannot be read: {error}"]
    now = under_way(context.instance)
    registered = set(context.instance.get_dynamic_partitions(BENCHMARK))
    seen = read_seen(home)
    names = [name for name in known if name in registered]
    end, first = time.monotonic() + _SECONDS_OF_LOOKING, int(time.time()) % max(len(names), 1)
    requests: list[Request] = []
    waiting, arriving = [], []
    for name in names[first:] + names[:first]:
        if time.monotonic() > end or len(requests) >= _REQUESTS_PER_TICK:
            break
        if not is_taken(look_at(home.folder(name)), seen.get(name)):
            arriving.append(name)
        elif name not in now.held:
            found = planned(context.instance, home, models, name, now.running.get(name, frozenset()), code=code)[1]
            requests += found.requests
            waiting += [f"{name}: {text}" for text in (*found.later, *found.left_out)]
    said = [listed(sorted(waiting), "; ")] if waiting else []
    if now.held:
        said.append(f"a command is working on {listed(sorted(now.held))}")
    if arriving:
        said.append(f"not taken yet: {listed(sorted(arriving))}")
    return requests, said


class Models:
    """Which models cannot be run here, and why; each is looked at once per tick."""

    def __init__(self, catalogue: Mapping[str, ModelSpec]) -> None:
        self.catalogue = catalogue
        self._partitions = frozenset(MODELS.get_partition_keys())
        self._known: dict[str, str] = {}

    def impossible(self, models: Sequence[str]) -> dict[str, str]:
        """Return {model: why} of those that cannot be run."""
        for model in models:
            if model not in self._known:
                self._known[model] = self._why_not(model)
        return {model: why for model in models if (why := self._known[model])}

    def _why_not(self, model: str) -> str:
        if model not in self.catalogue:
            return "there is no model of this name"
        if model not in self._partitions:
            return "it came after this code location was loaded; reload it"
        spec = self.catalogue[model]
        found = availability(spec)
        brought = found.download_bytes is not None and compute_here().brings_weights
        if not found.available and not brought:
            return f"its weights are not on this machine; `ab-assets models` says how they come to {found.where}"
        source = spec.source
        if source.kind != "twin" and not source.revision and not getattr(source, "allow_unpinned", False):
            return "it is not pinned; `ab-assets models` says so, docs/models.md how to"
        return ""


def planned(
    instance: DagsterInstance,
    home: Home,
    models: Models,
    name: str,
    running: frozenset[Target],
    *,
    code: Code = loaded_code,
) -> tuple[list[Step], Due]:
    """Return the plan of one benchmark, and what it needs; one that cannot be planned is said to be so.

    `code`: which code runs that start now would load.
    """
    try:
        benchmark = home.benchmark(name)
        if benchmark.retired:
            return [], Due()
        steps = plan([(benchmark, home.folder(name))], models.catalogue, home.store, digest=DIGESTS.digest, code=code)
        cannot = models.impossible(benchmark.models)
        ask_for_code = read_budget(home).code_changes == "ask"
    except (AbAssetsError, OSError) as error:
        return [], Due(left_out=(f"cannot be planned: {error}",))
    return steps, due(steps, running, lambda target: ended(instance, target), cannot, ask_for_code=ask_for_code)


def _afforded(instance: DagsterInstance, home: Home, requests: Sequence[Request]) -> tuple[list[Request], str]:
    """Return the requests that the budget of this home allows, and what is said of the others."""
    budget = read_budget(home)
    computing = {ASKED_BY: REFRESH, COMPUTES: "yes"}
    at_work = instance.get_runs_count(RunsFilter(statuses=ACTIVE, tags=computing))
    yesterday = datetime.now(UTC) - timedelta(days=1)
    of_the_day = instance.get_runs_count(RunsFilter(tags=computing, created_after=yesterday))
    return within(budget, requests, at_work=at_work, of_the_day=of_the_day)


def _run_request(request: Request) -> RunRequest:
    tags = {ASKED_BY: REFRESH, ASKED_FOR: request.asked_for, WHY: request.why}
    if request.computes:
        tags[COMPUTES] = "yes"
    if request.content:
        tags[CONTENT] = request.content
    return RunRequest(job_name=request.target.job, partition_key=partition_key(request.target), tags=tags)
