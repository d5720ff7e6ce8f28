"""Which benchmark folders have arrived whole: decided from what each looked like, look after look, and a clock.

Nothing here reads a disk or knows Dagster. A folder is taken as one version when it says itself that it is complete, or
when it has looked the same for a while, in both cases only if it can be read; each version is taken once.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_FIELDS: Mapping[str, tuple[type, ...]] = {
    "stamp": (str,),
    "since": (int, float),
    "taken": (str,),
    "refused": (str,),
}


@dataclass(frozen=True, slots=True)
class Look:
    """A folder at one moment. `stamp` changes with every write to it; `claims`: a marker or digests lie in it."""

    stamp: str
    claims: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What reading a folder found. `look`: how it looked afterwards.

    `vouched`: a marker or digests of all its files prove that it is complete; `problems`: why it cannot be taken.
    """

    look: Look
    problems: tuple[str, ...] = ()
    vouched: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What is remembered of a folder: its stamp and since when, the stamp last taken, the stamp last refused."""

    stamp: str
    since: float
    taken: str = ""
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """One tick. `taken`: new versions; `refused`: {folder: problems}, each version once; `seen`: for the next tick."""

    taken: tuple[str, ...] = ()
    refused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    arriving: tuple[str, ...] = ()
    seen: Mapping[str, Seen] = field(default_factory=dict)


def arrivals(
    looks: Mapping[str, Look],
    seen: Mapping[str, Seen],
    now: float,
    examine: Callable[[str], Finding],
    *,
    quiet: float,
    cap: int,
) -> Arrivals:
    """Return what has arrived. `quiet`: seconds for which a folder that proves nothing has to look the same.

    At most `cap` folders are examined, those that have waited longest first; the others get their turn in later ticks.
    A folder that is gone is forgotten: when it comes back it is taken again.
    """
    known = {name: _looked(look, seen.get(name), now) for name, look in looks.items()}
    open_ = [name for name, one in known.items() if one.stamp not in (one.taken, one.refused)]
    taken: list[str] = []
    refused: dict[str, tuple[str, ...]] = {}
    examined = 0
    for name in sorted(open_, key=lambda name: (known[name].since, name)):
        before, look = seen.get(name), looks[name]
        still = before is not None and before.stamp == look.stamp and now - known[name].since >= quiet
        if not (still or look.claims) or examined == cap:
            continue
        examined += 1
        finding = examine(name)
        if finding.look != look:
            known[name] = _looked(finding.look, known[name], now)
        elif not finding.problems and (still or finding.vouched):
            known[name] = dataclasses.replace(known[name], taken=look.stamp)
            taken.append(name)
        elif finding.problems and still:
            known[name] = dataclasses.replace(known[name], refused=look.stamp)
            refused[name] = finding.problems
    waiting = sorted(name for name, one in known.items() if one.stamp not in (one.taken, one.refused))
    return Arrivals(tuple(sorted(taken)), refused, tuple(waiting), known)


def is_taken(look: Look, seen: Seen | None) -> bool:
    """Tell whether the folder is now what was last taken: nothing has been written to it since."""
    return seen is not None and seen.taken == look.stamp


def as_json(seen: Mapping[str, Seen]) -> dict[str, Any]:
    """Return what is remembered as plain JSON values."""
    return {name: dataclasses.asdict(one) for name, one in sorted(seen.items())}


def from_json(value: object) -> dict[str, Seen]:
    """Return what `as_json` wrote; whatever is not of its shape is forgotten, which costs two more looks."""
    entries = value.items() if isinstance(value, dict) else ()
    return {name: Seen(**one) for name, one in entries if _is_seen(one)}


def _is_seen(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == _FIELDS.keys()
        and all(isinstance(value[name], kind) and not isinstance(value[name], bool) for name, kind in _FIELDS.items())
    )


def _looked(look: Look, before: Seen | None, now: float) -> Seen:
    if before is None:
        return Seen(look.stamp, now)
    if before.stamp != look.stamp or before.since > now:  # a clock that was set back starts the wait again
        return dataclasses.replace(before, stamp=look.stamp, since=now)
    return before
