"""A home under a live daemon whose code is a copy that may be edited; what it did is read from its event log."""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dagster import DagsterEventType, DagsterInstance, RunsFilter
from live_daemon import live_code_server, live_daemon
from mail_server import PASSWORD, USER, mail_server

from ab_assets.home import Home
from jobs.launching import SHIPPED
from sensors.runs import ACTIVE

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from mail_server import Mailbox

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 300
LOOKS = 3
AT_REST = {
    "incoming_benchmarks": "{} benchmark folders",
    "refresh": "nothing to ask for",
    "notifications": "nothing to tell",
}

# Of the laptop's settings, so that less is waited: the queue is looked at every second, for two models at once.
_LIMIT = "    tag_concurrency_limits:"
_QUICK = "    dequeue_interval_seconds: 1\n"


@dataclass
class Done:
    """What was done after a change. `runs`: (job, partition, status). `made`: (asset, partition) computed anew.

    `reused`: the same of what runs found made before. `letters`: subjects.
    """

    runs: list[tuple[str, str, str]] = field(default_factory=list)
    made: set[tuple[str, str]] = field(default_factory=set)
    reused: set[tuple[str, str]] = field(default_factory=set)
    letters: list[str] = field(default_factory=list)


@dataclass
class LiveHome:
    """A home, and the processes that act on it."""

    home: Home
    code: Path
    instance: DagsterInstance
    box: Mailbox
    daemon: subprocess.Popen[bytes]
    logs: tuple[Path, ...]

    def after(self, change: Callable[[], object]) -> Done:
        """Return what was done after a change, until the sensors looked three times and had nothing left to do."""
        runs, letters = {run.run_id for run in self.instance.get_runs()}, len(self.box.messages)
        change()
        changed = time.time()
        self.until(lambda: self._rests_since(changed))
        done = Done(letters=sorted(self.box.subjects()[letters:]))
        for run in self.instance.get_runs():
            if run.run_id not in runs:
                partition = run.tags["dagster/partition"]
                done.runs.append((run.job_name, partition, run.status.value))
                for asset, reused in self._materialized(run.run_id):
                    (done.reused if reused else done.made).add((asset, partition))
        done.runs.sort()
        return done

    def until(self, check: Callable[[], object]) -> None:
        """Return when it is so; fails with what the processes said when the daemon dies or the deadline passes."""
        end = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < end and self.daemon.poll() is None:
            if check():
                return
            time.sleep(0.3)
        pytest.fail(f"it did not happen; they say:\n{self.said()[-6000:]}")

    def said(self) -> str:
        """Return what the processes wrote, and the sensors' last words."""
        ticks = [f"{name}: {[tick.skip_reason for tick in self.ticks(name)[:5]]}" for name in AT_REST]
        return "\n".join([*(log.read_text() for log in self.logs), *ticks])

    def ticks(self, sensor: str) -> list:
        """Return the ticks of a sensor that are over, newest first."""
        for state in self.instance.all_instigator_state():
            if state.name == sensor:
                found = self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=50)
                return [tick for tick in found if tick.status.value != "STARTED"]
        return []

    def _rests_since(self, moment: float) -> bool:
        """Tell whether nothing is under way, and each sensor's last looks, all since the last run, found no work."""
        if self.instance.get_runs_count(RunsFilter(statuses=ACTIVE)):
            return False
        last = max([moment, *(record.end_time or 0 for record in self.instance.get_run_records(limit=10))])
        for sensor, words in AT_REST.items():
            looks = [tick.skip_reason for tick in self.ticks(sensor)[:LOOKS] if tick.timestamp > last]
            if looks != [words.format(len(self.home.names()))] * LOOKS:
                return False
        return True

    def _materialized(self, run_id: str) -> list[tuple[str, bool]]:
        found = []
        for entry in self.instance.all_logs(run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION):
            materialization = entry.asset_materialization
            if "reused" in materialization.metadata:  # what a benchmark does not have is not compared
                found.append((materialization.asset_key.to_user_string(), materialization.metadata["reused"].value))
        return found


@contextmanager
def live_home(folder: Path, models: str):
    """Yield a home without benchmarks, these models in models/twins.toml, and letters going to its mailbox."""
    home, code = Home(folder / "home"), folder / "code"
    for name in ("ab_assets", "resources", "jobs", "sensors", "deploy/laptop"):
        shutil.copytree(ROOT / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
    for part in (home.root / "models", home.root / "benchmarks", home.dagster):
        part.mkdir(parents=True)
    (home.root / "models" / "twins.toml").write_text(models)
    shipped = SHIPPED[0].read_text()
    limits = shipped[shipped.index(_LIMIT) : shipped.index("\nrun_monitoring")]
    (home.dagster / "dagster.yaml").write_text(shipped.replace(limits, _QUICK))
    environment = {
        "AB_ASSETS_HOME": str(home.root),
        "AB_ASSETS_AUTOMATION": "on",
        "AB_ASSETS_SENSOR_SECONDS": "2",
        "AB_ASSETS_SMTP_USER": USER,
        "AB_ASSETS_SMTP_PASSWORD": PASSWORD,
        "DAGSTER_HOME": str(home.dagster),
        "PYTHONDONTWRITEBYTECODE": "",  # each run would compile all of the copy
    }
    logs = (folder / "code-server.log", folder / "daemon.log")
    with mail_server(auth=True) as box, DagsterInstance.from_config(str(home.dagster)) as instance:
        (home.root / "mail.toml").write_text(
            f'host = "127.0.0.1"\nport = {box.port}\nsecurity = "none"\nsender = "ab-assets@lab.example"\n'
            'recipients = ["you@lab.example"]\n'
        )
        with (
            live_code_server(code, logs[0], environment) as workspace,
            live_daemon(logs[1], environment, workspace) as daemon,
        ):
            yield LiveHome(home, code, instance, box, daemon, logs)
