"""A home of its own with the tiny models, its Dagster instance, and the sensors evaluated on both."""

from __future__ import annotations

import dataclasses

import pytest
from dagster import build_sensor_context
from dagster._core.definitions.partitions.context import partition_loading_context
from tests_support import TWINS

from ab_assets.home import Home
from jobs.launching import open_instance
from resources.home import HomeResource
from sensors.folders import read_seen, write_seen


class Automation:
    """One home under the sensors; the test says when they look."""

    def __init__(self, home: Home, instance) -> None:
        self.home = home
        self.instance = instance

    def tick(self, name: str):
        from ab_assets.definitions import defs

        resources = {"home": HomeResource(root=str(self.home.root))}
        with (
            partition_loading_context(dynamic_partitions_store=self.instance),  # as a code server has it
            build_sensor_context(self.instance, definitions=defs, resources=resources) as context,
        ):
            found = defs.get_sensor_def(name).evaluate_tick(context)
        for request in found.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
        for event in found.asset_events:
            self.instance.report_runless_asset_event(event)
        return found

    def arrive(self):
        """Look twice, with a day between, and return what the second look said."""
        self.tick("incoming_benchmarks")
        write_seen(self.home, {name: _a_day_older(one) for name, one in read_seen(self.home).items()})
        return self.tick("incoming_benchmarks").skip_message

    def asked(self):
        """Return what refresh asks for: {(job, partition): tags}, and what it says when it asks for nothing."""
        found = self.tick("refresh")
        requests = {(one.job_name, one.tags["dagster/partition"]): one.tags for one in found.run_requests or []}
        return requests, found.skip_message

    def run(self, job: str, tags) -> bool:
        from ab_assets.definitions import defs

        partition = tags["dagster/partition"]
        return (
            defs.resolve_job_def(job)
            .execute_in_process(
                instance=self.instance,
                partition_key=partition,
                tags=dict(tags),
                resources={"home": HomeResource(root=str(self.home.root))},
                raise_on_error=False,
            )
            .success
        )

    def play(self) -> list[tuple[str, str, bool]]:
        """Run what is asked for until nothing is; return (job, partition, did it succeed) in that order."""
        done = []
        while requests := self.asked()[0]:
            done += [(*target, self.run(target[0], tags)) for target, tags in sorted(requests.items())]
        return done


def _a_day_older(seen):
    return dataclasses.replace(seen, since=seen.since - 86_400, gone=seen.gone and seen.gone - 86_400)


@pytest.fixture
def automation(tmp_path, monkeypatch):
    """Return a fresh home with nothing in it."""
    monkeypatch.delenv("AB_ASSETS_AUTOMATION", raising=False)
    home = Home(tmp_path / "home")
    (home.root / "models").mkdir(parents=True)
    (home.root / "models" / "twins.toml").write_text(TWINS)
    with open_instance(home) as instance:
        yield Automation(home, instance)


@pytest.fixture(scope="session")
def automation_of():
    """Return what puts a home and its instance under the sensors."""
    return Automation
