"""People are told by mail: of rounds that are over, of folders that cannot be taken, of runs that are silent."""

from __future__ import annotations

import dataclasses
import time
from functools import partial
from typing import TYPE_CHECKING

from dagster import DefaultSensorStatus, SensorEvaluationContext, SkipReason, sensor

from ab_assets.artifacts.durable import in_turn, make_folder
from ab_assets.artifacts.fingerprint import digest_of
from ab_assets.errors import AbAssetsError
from ab_assets.home import Home
from ab_assets.partitions import BENCHMARK
from ab_assets.reports.wording import plural
from resources.home import HomeResource
from resources.mail import FILE_NAME, MailSettings, read_mail
from sensors.arrivals import is_taken
from sensors.failures import silent_runs
from sensors.folders import look_at, read_seen
from sensors.latest_code import latest_code
from sensors.letters import Links, invalid_letter, round_letter, stuck_letter
from sensors.outbox import Owed, Told, post, read_told, write_told
from sensors.refresh import Models
from sensors.refusals import Refusal, refusals
from sensors.rounds import Ending, Round, looked, next_time, told
from sensors.runs import under_way
from sensors.saying import listed
from sensors.standing import Found, found
from sensors.switch import is_off, seconds_between

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dagster import DagsterInstance

_SECONDS = seconds_between(30)
# A sensor has 60 seconds; what is not looked at or sent in these has its turn in a later tick.
_SECONDS_OF_LOOKING = 20.0
_SECONDS_OF_SENDING = 30.0


@sensor(
    minimum_interval_seconds=_SECONDS,
    default_status=DefaultSensorStatus.RUNNING,
    description="Mails one letter for each round of a benchmark, when it is complete or at the deadline; and about "
    f"folders that cannot be taken and silent runs. {FILE_NAME} in the home says where to. It starts no runs.",
)
def notifications(context: SensorEvaluationContext, home: HomeResource) -> SkipReason:
    """Say what was sent, and what could not be."""
    here = home.home
    try:
        mail = read_mail(here)
        if mail is None:
            return SkipReason(f"no mail is sent: there is no {FILE_NAME} in {here.root}")
        names = here.names()
    except AbAssetsError as error:
        return SkipReason(f"no mail is sent: {error}")
    with in_turn(make_folder(here.root / "mail") / "lock"):
        end = time.monotonic() + _SECONDS_OF_LOOKING
        remembered, owed = look(context.instance, here, mail.settings, read_told(here, names), end)
        write_told(here, remembered)
        said = post(mail, remembered, owed, partial(write_told, here), end + _SECONDS_OF_SENDING - _SECONDS_OF_LOOKING)
    for text in said:
        context.log.info("%s", text)
    return SkipReason("; ".join(said) or "nothing to tell")


def look(
    instance: DagsterInstance, home: Home, settings: MailSettings, remembered: Told, end: float
) -> tuple[Told, list[Owed]]:
    """Return what to remember now, and the letters that are owed; nothing is sent."""
    links = Links.of(home, settings)
    owed: list[Owed] = []
    for name, here, one, ending in _rounds(instance, home, settings, remembered, end):
        remembered = remembered.with_round(name, here)
        if ending:
            owed.append(_of_round(instance, home, links, one, (here, ending)))
    kept, new = refusals(home, remembered.invalid)
    remembered = dataclasses.replace(remembered, invalid=kept)
    if new:
        owed.append(_of_folders(remembered, new))
    remembered, stuck = _of_silent(instance, settings, links, remembered)
    return remembered, [*owed, *stuck]


def _rounds(
    instance: DagsterInstance, home: Home, settings: MailSettings, remembered: Told, end: float
) -> Iterator[tuple[str, Round, Found, Ending | None]]:
    """Yield each benchmark that has arrived whole: its round, how it stands, and how the round ended if it did."""
    try:
        models, code = Models(home.catalogue()), latest_code()
    except AbAssetsError:  # the sensor `refresh` says why
        return
    now, moment = under_way(instance), time.time()
    registered, seen = set(instance.get_dynamic_partitions(BENCHMARK)), read_seen(home)
    names = [name for name in home.names() if name in registered]
    first = int(moment * 1000) % max(len(names), 1)  # another in each tick, whatever the time between two
    for name in names[first:] + names[:first]:
        if time.monotonic() > end:
            return
        if not is_taken(look_at(home.folder(name)), seen.get(name)):
            continue
        running = now.running.get(name, frozenset())
        one = found(instance, home, models, name, running, held=name in now.held, code=code)
        if one is None:
            continue
        idle = is_off() and not running  # nobody is at work who could be late
        at = None if idle else settings.deadline
        deadline = partial(next_time, at=at, zone=settings.zone)
        before = remembered.rounds.get(name)
        here, ending = looked(one.standing, before, moment, deadline, first=name in remembered.new)
        yield name, here, one, ending


def _of_round(instance: DagsterInstance, home: Home, links: Links, one: Found, over: tuple[Round, Ending]) -> Owed:
    here, ending = over
    name, after = one.benchmark.name, told(one.standing, here, ending)
    return Owed(
        key=digest_of(["round", name, after.told, after.letters]),
        what=f"{name} {ending}",
        letter=lambda: round_letter(instance, home, one, ending, links),
        taken=lambda kept: kept.with_round(name, after),
    )


def _of_folders(remembered: Told, new: Mapping[str, Refusal]) -> Owed:
    number = remembered.letters
    told_of = {name: (one.stamp, one.about) for name, one in new.items()}
    return Owed(
        key=digest_of(["folders", number, told_of]),
        what=f"{listed(sorted(new))} cannot be taken",
        letter=lambda: invalid_letter({one.folder: one.problems for one in new.values()}),
        taken=lambda kept: dataclasses.replace(kept, invalid={**kept.invalid, **told_of}, letters=number + 1),
    )


def _of_silent(
    instance: DagsterInstance, settings: MailSettings, links: Links, remembered: Told
) -> tuple[Told, list[Owed]]:
    """Return the letter about runs of whose silence nobody was told, at most one in the time that makes runs silent."""
    now, seconds = time.time(), settings.stuck_hours * 3600
    silent = silent_runs(instance, seconds, now)
    since = {one.run_id: one.since for one in silent}
    kept = {run: moment for run, moment in remembered.silent.items() if since.get(run) == moment}
    remembered = dataclasses.replace(remembered, silent=kept)
    if since == kept or 0 <= now - remembered.silent_at < seconds:
        return remembered, []
    number, new = remembered.letters, [one for one in silent if one.run_id not in kept]
    return remembered, [
        Owed(
            key=digest_of(["silent", number, since]),
            what=f"{plural(len(new), 'run')} stuck",
            letter=lambda: stuck_letter(new, settings.stuck_hours, links),
            taken=lambda told_: dataclasses.replace(told_, silent=since, silent_at=now, letters=number + 1),
        )
    ]
