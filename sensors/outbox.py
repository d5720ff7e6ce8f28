"""What has been told, kept in the home; and how letters go out: one after the other, each remembered once it is taken.

Between the server's word and the disk lies a moment. Whoever is killed in it sends that letter again, with the same
Message-ID: at least once, at worst twice.
"""

from __future__ import annotations

import dataclasses
import json
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ab_assets.artifacts.durable import make_folder, write_atomically
from ab_assets.artifacts.fingerprint import digest_of
from ab_assets.errors import AbAssetsError
from resources.smtp import UnsentError, send
from sensors.rounds import Round, as_json, from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from ab_assets.home import Home
    from ab_assets.reports.letter import Letter
    from resources.mail import Mail

# Seconds to the next try after one, two, ... failures; the last one from then on.
PAUSES = (60.0, 300.0, 900.0, 3600.0)
TRIES_OF_A_LETTER = 5


@dataclass(frozen=True, slots=True)
class Pause:
    """Something was refused: how often in a row, when it is tried again, why."""

    failures: int = 0
    again: float = 0.0
    why: str = ""

    def longer(self, now: float, why: str) -> Pause:
        """Return the pause after one more failure."""
        seconds = PAUSES[min(self.failures, len(PAUSES) - 1)]
        return Pause(self.failures + 1, now + seconds, why)

    def holds(self, now: float) -> bool:
        """Tell whether it is too early to try again; a clock that was set back does not make it longer."""
        return now < self.again <= now + PAUSES[-1]


@dataclass(frozen=True, slots=True)
class Told:
    """All that is remembered. `new`: benchmarks that were there before anyone looked, and are not looked at yet.

    `invalid`: {folder: [how it looked, what was told of it]}; `silent`: {run: since when it is silent, as told};
    `letters`: how many went out about these two, `silent_at`: when the last about silent runs did.
    `server`, `refused`: what is tried again later, the server and single letters.
    """

    home: str
    new: tuple[str, ...] = ()
    rounds: Mapping[str, Round] = field(default_factory=dict)
    invalid: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    silent: Mapping[str, float] = field(default_factory=dict)
    silent_at: float = 0.0
    letters: int = 0
    server: Pause = Pause()
    refused: Mapping[str, Pause] = field(default_factory=dict)

    def with_round(self, name: str, one: Round) -> Told:
        """Return the same with what is remembered of one benchmark."""
        new = tuple(other for other in self.new if other != name)
        return dataclasses.replace(self, rounds={**self.rounds, name: one}, new=new)


@dataclass(frozen=True, slots=True)
class Owed:
    """A letter to be sent. `key`: the same for the same news; `taken`: what is remembered once it is out."""

    key: str
    what: str
    letter: Callable[[], Letter]
    taken: Callable[[Told], Told]


def read_told(home: Home, names: Iterable[str]) -> Told:
    """Return what is remembered; without a record, that all benchmarks of these names are new to whoever looks."""
    try:
        return _from_json(json.loads(_record(home).read_bytes()))
    except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return Told(uuid.uuid4().hex, tuple(sorted(names)))


def write_told(home: Home, told: Told) -> None:
    """Keep what is to be remembered; what is kept already is not written again."""
    record = _record(home)
    text = json.dumps(dataclasses.asdict(told) | {"rounds": as_json(told.rounds)}, indent=1) + "\n"
    if not record.is_file() or record.read_bytes() != text.encode():
        make_folder(record.parent)
        write_atomically(record, text)


def post(mail: Mail, told: Told, owed: Sequence[Owed], keep: Callable[[Told], None], until: float) -> list[str]:
    """Send what is owed, `keep` what is to be remembered after each, and return what happened in words.

    A server that fails is not asked again before its pause is over; a letter that it refuses stands in no other's way,
    and is given up after five refusals. No letter is begun after `until`, a time of the monotonic clock.
    """
    said: list[str] = []
    now = time.time()
    keys = {one.key for one in owed}
    told = dataclasses.replace(told, refused={key: pause for key, pause in told.refused.items() if key in keys})
    for one in owed:
        if told.server.holds(now):
            return [*said, _waits(told.server)]
        if time.monotonic() > until:
            return [*said, "further letters go out in the next looks"]
        pause = told.refused.get(one.key, Pause())
        if pause.holds(now):
            said.append(f"{one.what} waits: {pause.why}")
            continue
        others = {key: other for key, other in told.refused.items() if key != one.key}
        try:
            missed = send(mail, one.letter(), digest_of([told.home, one.key])[:32])
        except (UnsentError, AbAssetsError, OSError) as error:
            if isinstance(error, UnsentError) and error.because_of == "server":
                told = dataclasses.replace(told, server=told.server.longer(now, str(error)))
                keep(told)
                return [*said, _waits(told.server)]
            if pause.failures + 1 < TRIES_OF_A_LETTER:
                told = dataclasses.replace(told, refused={**others, one.key: pause.longer(now, str(error))})
                said.append(f"{one.what}: {error}")
            else:
                told = dataclasses.replace(one.taken(told), refused=others)
                said.append(f"{one.what} is given up: {error}")
        else:
            told = dataclasses.replace(one.taken(told), server=Pause(), refused=others)
            said.append(f"sent: {one.what}" + (f" (refused: {', '.join(missed)})" if missed else ""))
        keep(told)
    return said


def _waits(server: Pause) -> str:
    at = time.strftime("%H:%M", time.localtime(server.again))
    return f"letters wait until {at}: {server.why}"


def _record(home: Home) -> Path:
    return home.root / "mail" / "told.json"


def _from_json(values: dict[str, Any]) -> Told:
    return Told(
        home=str(values["home"]),
        new=tuple(map(str, values["new"])),
        rounds=from_json(values["rounds"]),
        invalid={name: (str(look), str(about)) for name, (look, about) in values["invalid"].items()},
        silent={run: float(since) for run, since in values["silent"].items()},
        silent_at=float(values["silent_at"]),
        letters=int(values["letters"]),
        server=_pause(values["server"]),
        refused={key: _pause(pause) for key, pause in values["refused"].items()},
    )


def _pause(values: dict[str, Any]) -> Pause:
    return Pause(int(values["failures"]), float(values["again"]), str(values["why"]))
