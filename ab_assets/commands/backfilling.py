"""Backfills from the command line: asked for, watched, asked again; the daemon runs them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from ab_assets.commands.console import complain, say, say_json
from ab_assets.errors import BadInputError
from jobs.backfills import launch, missing_daemons, progressed, retry, targeted, unprepared
from jobs.launching import open_instance

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from ab_assets.graph import Job
    from ab_assets.home import Home

JOBS: tuple[Job, ...] = ("prepare", "evaluate", "report")
_SHOWN = 20


def start(
    home: Home,
    *,
    job: str,
    model: str | None,
    benchmark: str | None,
    priority: int,
    force: bool,
    dry_run: bool,
) -> None:
    """Ask for a backfill and say its id; with `dry_run` only say of what."""
    if model is None and benchmark is None:
        raise BadInputError(what="a backfill of what?", hint="Say --model X, --benchmark Y, or both.")
    asked = next((name for name in JOBS if name == job), None)
    if asked is None:
        raise BadInputError(what="there is no such job", found=repr(job), expected=", ".join(JOBS))
    keys = targeted(home, asked, model=model, benchmark=benchmark)
    if asked == "evaluate" and (missing := unprepared(home, keys)):
        complain(f"  not prepared yet, their runs will say so: {', '.join(missing)} (--job prepare comes first)")
    for key in keys if dry_run else ():
        say(f"  {asked} {key}")
    if dry_run:
        say(f"{len(keys)} partitions; nothing was asked for.")
        return
    with open_instance(home) as instance:
        backfill_id = launch(instance, asked, keys, priority=priority, force=force)
        _say_started(instance, backfill_id, f"{asked} of {len(keys)} partitions")


def again(home: Home, backfill_id: str) -> None:
    """Ask again for what failed in a backfill and say the new id."""
    with open_instance(home) as instance:
        new, keys = retry(instance, backfill_id)
        _say_started(instance, new, f"again {', '.join(keys[:_SHOWN])}{' ...' if len(keys) > _SHOWN else ''}")


def watch(home: Home, backfill_id: str, *, as_json: bool) -> int:
    """Say how far a backfill is; return 1 when it is over and something of it failed, else 0."""
    with open_instance(home) as instance:
        found = progressed(instance, backfill_id)
        if as_json:
            say_json(asdict(found) | {"counts": found.counts()})
        else:
            counts = ", ".join(f"{count} {state}" for state, count in sorted(found.counts().items()))
            say(f"backfill {backfill_id}, {found.job}: {found.status}; {counts}")
            for partition in found.partitions:
                if partition.state in {"failed", "canceled"}:
                    say(f"  {partition.key} {partition.state}: {partition.why or '-'} (run {partition.run_id})")
            if found.error:
                complain(f"  {found.error}")
            _say_daemons(instance)
    failed = {"failed", "canceled", "waiting"} & set(found.counts())
    if found.over and failed and not as_json:
        say(f"Again, these alone: ab-assets backfill --retry {backfill_id}")
    return 1 if found.over and failed else 0


def _say_started(instance: DagsterInstance, backfill_id: str, of: str) -> None:
    say(f"Backfill {backfill_id}: {of}.")
    say(f"Watch it: ab-assets backfill --status {backfill_id}   or in the UI: Runs, Backfills")
    _say_daemons(instance)


def _say_daemons(instance: DagsterInstance) -> None:
    if missing := missing_daemons(instance):
        complain(f"No daemon is alive ({', '.join(missing)}): it waits until one is. Start it: ab-assets ui")
