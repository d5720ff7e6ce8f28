"""What a run costs besides its work: partitions whose work is nothing, by the daemon and by the command.

usage: python -m benches.orchestration [--partitions N | --quick] [--at-once N] [--only daemon|command]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from dagster import DagsterRunStatus, RunsFilter

from ab_assets.home import VARIABLE, Home
from ab_assets.partitions import MODELS, grid_key
from ab_assets.progress import silent
from benches.writing import aligned
from jobs.backfills import launch, progressed
from jobs.launching import open_instance, prepare_dagster_home, register, run_job

if TYPE_CHECKING:
    from dagster import DagsterInstance

PARTITIONS, PARTITIONS_QUICK = 600, 60
_SECONDS_BETWEEN = 1.0
_LONGEST_SECONDS_EACH = 60.0
_DAEMON = [sys.executable, "-m", "dagster._daemon", "run"]


def main() -> None:
    """Print a table and write bench-orchestration.json here."""
    parser = argparse.ArgumentParser(prog="orchestration", description=__doc__)
    parser.add_argument("--partitions", type=int, default=PARTITIONS)
    parser.add_argument("--quick", action="store_true", help=f"{PARTITIONS_QUICK} partitions")
    parser.add_argument("--at-once", type=int, default=2, help="runs at once in the daemon; a laptop's are 2")
    parser.add_argument("--only", choices=["daemon", "command"])
    options = parser.parse_args()
    count = PARTITIONS_QUICK if options.quick else options.partitions
    figures: dict[str, dict[str, float]] = {}
    ways = {"daemon": _by_the_daemon, "command": _by_the_command}
    for way in [options.only] if options.only else ways:
        with tempfile.TemporaryDirectory() as name:
            figures[way] = ways[way](Home(Path(name)), count, options.at_once)
    document = {"partitions": count, "at_once": options.at_once, "processors": os.cpu_count(), **figures}
    Path("bench-orchestration.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"{count} partitions of the evaluate job, seven assets each, whose work is nothing")
    rows = [(way, name, f"{value:.2f}") for way, found in figures.items() for name, value in found.items()]
    print(aligned(("by", "", "seconds"), rows))


def _keys(count: int) -> list[tuple[str, str]]:
    model = MODELS.get_partition_keys()[0]
    return [(f"stub-{number:04d}", model) for number in range(count)]


def _by_the_daemon(home: Home, count: int, at_once: int) -> dict[str, float]:
    """Return seconds of a backfill that is asked for while the daemon is up."""
    settings = prepare_dagster_home(home) / "dagster.yaml"
    said = yaml.safe_load(settings.read_text(encoding="utf-8"))
    # A laptop runs one model at a time for its memory's sake, which stubs do not need.
    said["run_coordinator"]["config"] = {"max_concurrent_runs": at_once}
    settings.write_text(yaml.safe_dump(said), encoding="utf-8")
    workspace = home.root / "workspace.yaml"
    target = {"module_name": "benches.stub_definitions", "attribute": "defs", "location_name": "ab_assets"}
    workspace.write_text(yaml.safe_dump({"load_from": [{"python_module": target}]}), encoding="utf-8")
    environment = os.environ | {VARIABLE: str(home.root), "DAGSTER_HOME": str(home.dagster), "PYTHONWARNINGS": "ignore"}
    log = home.root / "daemon.log"
    with open_instance(home) as instance, log.open("w") as stream:
        daemon = subprocess.Popen(
            [*_DAEMON, "--workspace", str(workspace)], env=environment, stdout=stream, stderr=stream
        )
        try:
            _wait(lambda: "BACKFILL" in instance.get_daemon_heartbeats(), daemon, log, 120)
            began = time.monotonic()
            backfill = launch(instance, "evaluate", [str(grid_key(*key)) for key in _keys(count)])
            _wait(lambda: _ended(instance, backfill) == count, daemon, log, _LONGEST_SECONDS_EACH * count)
            took = time.monotonic() - began
            if progressed(instance, backfill).counts() != {"done": count}:
                sys.exit(f"not all runs succeeded: {progressed(instance, backfill).counts()}")
            return {"wall time per partition": took / count} | _of_runs(instance)
        finally:
            daemon.send_signal(signal.SIGINT)
            daemon.wait()


def _by_the_command(home: Home, count: int, _at_once: int) -> dict[str, float]:
    """Return seconds of the runs that a command makes in its own process, and of the process's start."""
    from benches.stub_definitions import defs

    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import ab_assets.definitions"], check=True)
    start = time.monotonic() - began
    with open_instance(home) as instance:
        register(instance, [benchmark for benchmark, _ in _keys(count)])
        began = time.monotonic()
        for benchmark, model in _keys(count):
            result = run_job(defs, instance, home, "evaluate", benchmark, model=model, progress=silent)
            if result.error is not None:
                raise result.error
        took = time.monotonic() - began
    return {"wall time per partition": took / count, "start of a command, once": start}


def _ended(instance: DagsterInstance, backfill: str) -> int:
    statuses = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
    return instance.get_runs_count(RunsFilter(tags={"dagster/backfill": backfill}, statuses=statuses))


def _of_runs(instance: DagsterInstance) -> dict[str, float]:
    """Return medians over runs: from being launched to the first step's process, and from there to the end."""
    starting, running = [], []
    for record in instance.get_run_records():
        stats = instance.get_run_stats(record.dagster_run.run_id)
        if stats.launch_time and stats.start_time and stats.end_time:
            starting.append(stats.start_time - stats.launch_time)
            running.append(stats.end_time - stats.start_time)
    return {
        "of a run, until it begins": statistics.median(starting),
        "of a run, from there": statistics.median(running),
    }


def _wait(true, process: subprocess.Popen[bytes], log: Path, seconds: float) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    end = time.monotonic() + seconds
    while not true():
        if process.poll() is not None or time.monotonic() > end:
            sys.exit(f"it did not happen; the daemon says:\n{log.read_text(encoding='utf-8')[-4000:]}")
        time.sleep(_SECONDS_BETWEEN)


if __name__ == "__main__":
    main()
