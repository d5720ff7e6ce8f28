"""On PostgreSQL as on SQLite: the catalogue from the store, jobs, what the sensors say, backfills by the daemon."""

from __future__ import annotations

import shutil
import time

import pytest
import yaml
from dagster import AssetKey, RunsFilter, build_sensor_context
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.loader import LoadingContextForTest
from live_daemon import live_daemon
from postgresql import postgresql

from ab_assets.artifacts.store import Ref
from ab_assets.definitions import defs
from ab_assets.home import Home
from ab_assets.partitions import grid_key
from ab_assets.progress import silent
from jobs.backfills import launch, missing_daemons, progressed
from jobs.launching import open_instance, register, run_job
from jobs.rebuilding import rebuild_catalogue
from resources.home import HomeResource

pytestmark = [pytest.mark.ui, pytest.mark.xdist_group("daemon")]

DEADLINE_SECONDS = 300


@pytest.fixture
def copied(made, tmp_path):
    """Return a copy of the home with results, whose Dagster keeps everything in an empty PostgreSQL."""
    with postgresql() as database:
        home = Home(tmp_path / "home")
        shutil.copytree(made.root, home.root, ignore=shutil.ignore_patterns("dagster"))
        home.dagster.mkdir()
        settings = {
            "telemetry": {"enabled": False},
            "storage": {"postgres": {"postgres_db": database}},
            "run_coordinator": {
                "module": "dagster.core.run_coordinator",
                "class": "QueuedRunCoordinator",
                "config": {"max_concurrent_runs": 1},
            },
        }
        (home.dagster / "dagster.yaml").write_text(yaml.safe_dump(settings))
        yield home


def tick(home, instance, name):
    with (
        partition_loading_context(dynamic_partitions_store=instance),
        build_sensor_context(instance, definitions=defs, resources={"home": HomeResource(root=str(home.root))}) as look,
    ):
        return defs.get_sensor_def(name).evaluate_tick(look)


def test_the_catalogue_jobs_sensors_and_the_daemon_work_on_postgresql(copied, tmp_path, monkeypatch):
    monkeypatch.delenv("AB_ASSETS_AUTOMATION", raising=False)
    refs = copied.store.partitions()
    with open_instance(copied) as instance:
        assert "Postgres" in type(instance.event_log_storage).__name__
        first = rebuild_catalogue(copied, instance, silent)
        assert (set(first.restored), first.damaged) == (set(refs), ())
        assert rebuild_catalogue(copied, instance, silent).known == len(refs)
        resolver = CachingStaleStatusResolver(instance, defs.resolve_asset_graph(), LoadingContextForTest(instance))
        keys = {ref: grid_key(ref.benchmark, ref.model) if ref.model else ref.benchmark for ref in refs}
        assert {resolver.get_status(AssetKey(ref.asset), key) for ref, key in keys.items()} == {StaleStatus.FRESH}
        result = run_job(defs, instance, copied, "prepare", "tiny-specificity", progress=silent)
        assert result.error is None
        assert all(item.reused for item in result.made)
        tick(copied, instance, "incoming_benchmarks")
        assert tick(copied, instance, "refresh").skip_message.startswith("nothing to ask for")
        pairs = ["tiny-paratope|twin-bert", "tiny-specificity|twin-esm"]
        assert daemon_makes(copied, instance, pairs, tmp_path / "log") == {"done": 2}
        assert not instance.get_runs(RunsFilter(tags={"dagster/partition": "tiny-paratope|twin-esm"}))
        assert copied.store.current(Ref("report", "tiny-paratope"))


def daemon_makes(home, instance, pairs, log):
    register(instance, [pair.split("|")[0] for pair in pairs])
    backfill = launch(instance, "evaluate", pairs)
    environment = {
        "AB_ASSETS_HOME": str(home.root),
        "AB_ASSETS_AUTOMATION": "off",
        "DAGSTER_HOME": str(home.dagster),
    }
    with live_daemon(log, environment) as daemon:
        end = time.monotonic() + DEADLINE_SECONDS
        while not progressed(instance, backfill).over and daemon.poll() is None and time.monotonic() < end:
            time.sleep(0.5)
        assert not missing_daemons(instance), log.read_text()[-4000:]
    return progressed(instance, backfill).counts()
