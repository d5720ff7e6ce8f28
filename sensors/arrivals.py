"""Which benchmark folders have arrived whole, or are gone: decided from what each looked like, look after look, and a
clock.

Nothing here reads a disk or knows Dagster. A folder is taken as one version when it says itself that it is complete, or
when it has looked the same for a while, in both cases only if it can be read; each version is taken once.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

_FIELDS: Mapping[str, tuple[type, ...]] = {
    "stamp": (str,),
    "since": (int, float),
    "taken": (str,),
    "refused": (str,),
    "place": (str,),
    "gone": (int, float),
    "removed": (bool,),
}


@dataclass(frozen=True, slots=True)
class Look:
    """A folder at one moment. `stamp` changes with every write to it; `claims`: a marker or digests lie in it.

    `place`: the directory that it lies in.
    """

    stamp: str
    claims: bool = False
    place: str = ""


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
    """What is remembered of a folder: its stamp and since when, the stamp last taken, the stamp last refused.

    `place`: the directory that it lies in, "" when nobody has seen it. `gone`: since when it is not there, 0 while it
    is; `removed`: it stayed away, which retires the benchmark.
    """

    stamp: str
    since: float
    taken: str = ""
    refused: str = ""
    place: str = ""
    gone: float = 0.0
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Arrivals:
    """One tick. `taken`: new versions; `refused`: {folder: problems}, each version once; `seen`: for the next tick.

    `removed`: benchmarks whose folders stayed away; `returned`: removed ones whose folders are back. Each once.
    """

    taken: tuple[str, ...] = ()
    refused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    arriving: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()
    seen: Mapping[str, Seen] = field(default_factory=dict)


def arrivals(
    looks: Mapping[str, Look],
    seen: Mapping[str, Seen],
    now: float,
    examine: Callable[[str], Finding],
    *,
    quiet: float,
    cap: int,
    kept: Collection[str] = (),
    absent: Collection[str] = (),
) -> Arrivals:
    """Return what has arrived, and what is gone. `quiet`: seconds for which a folder that proves nothing has to look
    the same, or one that is gone has to stay away.

    `kept`: benchmarks of which something is kept; of others a folder that is gone is forgotten. `absent`: directories
    that cannot be looked into; what was seen in them stays as it is.
    At most `cap` folders are examined, those that have waited longest first; the others get their turn in later ticks.
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
    away = _away({*seen, *kept} - known.keys(), seen, now, quiet=quiet, kept=kept, absent=absent)
    removed = sorted(name for name, one in away.items() if one.removed and not (name in seen and seen[name].removed))
    returned = sorted(name for name in known if name in seen and seen[name].removed)
    return Arrivals(tuple(sorted(taken)), refused, tuple(waiting), tuple(removed), tuple(returned), {**known, **away})


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
        and all(type(value[name]) in kinds for name, kinds in _FIELDS.items())
    )


def _away(
    names: Collection[str],
    seen: Mapping[str, Seen],
    now: float,
    *,
    quiet: float,
    kept: Collection[str],
    absent: Collection[str],
) -> dict[str, Seen]:
    """Return what to remember of benchmarks that have no folder now."""
    away = {}
    for name in names:
        before = seen.get(name, Seen("", now))
        if before.removed and name in kept:
            away[name] = before
        elif before.place in absent or (absent and not before.place):
            away[name] = dataclasses.replace(before, gone=0.0)
        elif name in kept:
            gone = before.gone if 0 < before.gone <= now else now
            away[name] = dataclasses.replace(before, gone=gone, removed=bool(before.gone) and now - gone >= quiet)
    return away


def _looked(look: Look, before: Seen | None, now: float) -> Seen:
    if before is None:
        return Seen(look.stamp, now, place=look.place)
    # what was away, and a clock that was set back, start the wait again
    again = before.stamp != look.stamp or before.gone or before.since > now
    since = now if again else before.since
    return dataclasses.replace(before, stamp=look.stamp, since=since, place=look.place, gone=0.0, removed=False)
