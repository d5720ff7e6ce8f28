"""When a round of a benchmark is over, and whether anyone has been told: decided look after look, with a clock.

Nothing here knows Dagster, reads a disk or sends anything. A round is what was asked of a benchmark: its content, code,
parameters and models. It is completed when nothing of it is due or running any more, models that failed for good
included, and expired when the deadline passes before that. One letter tells of each, whichever comes first.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import time, tzinfo

Ending = Literal["completed", "expired"]

_FIELDS: Mapping[str, tuple[type, ...]] = {
    "asked": (str,),
    "since": (int, float, type(None)),
    "told": (str,),
    "expired": (bool,),
    "letters": (int,),
}


@dataclass(frozen=True, slots=True)
class Standing:
    """A benchmark at one moment. `asked`: the digest of what is asked of it; `outcome`: of what there is and is not.

    `is_open`: something is due or running.
    """

    asked: str
    outcome: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class Round:
    """What is remembered of a benchmark.

    `since`: when this round was first seen open, None when it is over. `told`: what the last letter was about.
    `expired`: the letter of this round went out at the deadline. `letters`: how many there were.
    """

    asked: str
    since: float | None
    told: str = ""
    expired: bool = False
    letters: int = 0


def looked(
    standing: Standing,
    before: Round | None,
    now: float,
    deadline: Callable[[float], float],
    *,
    first: bool = False,
) -> tuple[Round, Ending | None]:
    """Return what to remember, and how the round ended if a letter is owed; it is owed until `told` is remembered.

    `deadline`: (when a round began) -> when it expires. `first`: nobody has looked here before, so that what is over
    already is no news. A round whose letter went out at the deadline gets no second one when the rest has come.
    """
    about = _about(standing)
    if before is None:
        before = Round(standing.asked, now, about if first and not standing.is_open else "")
    elif before.asked != standing.asked:
        before = Round(standing.asked, now, before.told, letters=before.letters)
    since = now if before.since is None else min(before.since, now)  # a clock may be set back
    if standing.is_open:
        here = dataclasses.replace(before, since=since)
        return here, "expired" if not here.expired and now >= deadline(since) else None
    if before.told == about or before.expired:
        return dataclasses.replace(before, since=None, told=about, expired=False), None
    return dataclasses.replace(before, since=since), "completed"


def told(standing: Standing, here: Round, ending: Ending) -> Round:
    """Return what to remember once the letter has been taken by the server."""
    expired = ending == "expired"
    since = here.since if expired else None
    return Round(here.asked, since, _about(standing), expired=expired, letters=here.letters + 1)


def next_time(after: float, at: time | None, zone: tzinfo | None) -> float:
    """Return when the clock next shows `at`, later than `after`; never without an `at`.

    `zone`: None is the machine's. In the night in which the clock skips that time it is up to an hour off.
    """
    if at is None:
        return float("inf")
    start = datetime.fromtimestamp(after, zone)
    days = (start + timedelta(days=day) for day in range(-1, 3))  # a skipped time may lie on either side
    moments = (datetime.combine(day.date(), at, zone).timestamp() for day in days)
    return min(moment for moment in moments if moment > after)


def as_json(rounds: Mapping[str, Round]) -> dict[str, Any]:
    """Return what is remembered as plain JSON values."""
    return {name: dataclasses.asdict(one) for name, one in sorted(rounds.items())}


def from_json(value: object) -> dict[str, Round]:
    """Return what `as_json` wrote; an entry that is not of its shape is forgotten."""
    entries = value.items() if isinstance(value, dict) else ()
    return {name: Round(**one) for name, one in entries if _is_round(one)}


def _is_round(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == _FIELDS.keys()
        and all(isinstance(value[name], kind) for name, kind in _FIELDS.items())
    )


def _about(standing: Standing) -> str:
    return f"{standing.asked} {standing.outcome}"
