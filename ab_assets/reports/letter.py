"""A letter as plain text and as HTML: the same words in both, text from data shown as it is, of bounded size."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

from jinja2 import Environment, StrictUndefined

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ab_assets.reports.scoreboard import Line, Scoreboard

MOST_ITEMS = 20
_LONGEST = {"title": 120, "text": 300, "why": 700, "link": 500, "label": 48}
_WIDTH = 78


@dataclass(frozen=True, slots=True)
class Item:
    """One thing of a list: what, why, and where to see more: a web address, or a path, or nothing."""

    text: str
    why: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A list under its heading; only its first 20 items are shown, and how many there are."""

    heading: str
    items: tuple[Item, ...]
    kind: Literal["bad", "mind", "plain"] = "plain"


@dataclass(frozen=True, slots=True)
class Content:
    """What a letter says, from top to bottom. `facts`: short lines below the title; `links`: (words, where)."""

    subject: str
    title: str
    kicker: str
    lead: str = ""
    facts: tuple[tuple[bool, str], ...] = ()
    sections: tuple[Section, ...] = ()
    scores: Scoreboard | None = None
    links: tuple[tuple[str, str], ...] = ()
    foot: str = ""


@dataclass(frozen=True, slots=True)
class Letter:
    """What is sent. `pictures`: PNG by the names that the HTML shows them under; `drawings`: SVG files beside it."""

    subject: str
    text: str
    html: str
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    drawings: Mapping[str, str] = field(default_factory=dict)


def letter_of(content: Content) -> Letter:
    """Return the content as a letter."""
    scores = content.scores
    return Letter(
        subject=short(content.subject, "title"),
        text=_as_text(content),
        html=_as_html(content),
        pictures=scores.pictures if scores else {},
        drawings={"scores.svg": scores.drawing} if scores else {},
    )


def short(text: str, kind: str = "text") -> str:
    """Return text from data on one line, without characters that steer instead of show, cut where it is too long."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text[:20_000]).split())
    most = _LONGEST[kind]
    return line if len(line) <= most else f"{line[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def is_web(link: str) -> bool:
    """Tell whether a link is a web address; anything else is shown and not linked."""
    return link.startswith(("https://", "http://"))


def _as_html(content: Content) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["short"] = short
    environment.tests["web"] = is_web
    template = files("ab_assets.reports").joinpath("letter.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(content=content, most=MOST_ITEMS)


def _as_text(content: Content) -> str:
    title = short(content.title, "title")
    lines = [title, "=" * min(len(title), _WIDTH), *_wrapped(short(content.kicker))]
    lines += ["", *_wrapped(short(content.lead, "why"))] if content.lead else []
    lines += ["", *(line for _, fact in content.facts for line in _wrapped(short(fact)))] if content.facts else []
    for section in content.sections:
        lines += ["", *_wrapped(f"{short(section.heading)} ({len(section.items)})")]
        for item in section.items[:MOST_ITEMS]:
            lines += _wrapped(short(item.text), "  - ")
            lines += _wrapped(short(item.why, "why"), "    ") if item.why else []
            lines += [f"    {short(item.link, 'link')}"] if item.link else []
        if len(section.items) > MOST_ITEMS:
            lines.append(f"  and {len(section.items) - MOST_ITEMS} more")
    if content.scores:
        lines += ["", *_table(content.scores)]
    if content.links:
        lines += ["", *(f"{words}: {short(where, 'link')}" for words, where in content.links)]
    return "\n".join([*lines, "", "-- ", *_wrapped(short(content.foot)), ""])


def _wrapped(text: str, start: str = "") -> Iterable[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False)


def _table(scores: Scoreboard) -> list[str]:
    width = max((len(short(line.label, "label")) for line in scores.lines), default=6)
    lines = [f"{'method':<{width}}  " + "  ".join(f"{heading:<18}" for heading in scores.headings).rstrip()]
    for line in scores.lines:
        lines += [f"{line.group}:"] if line.group else []
        lines.append(f"{short(line.label, 'label'):<{width}}  {_cells(line)}".rstrip())
    return [*lines, *([f"and {scores.left_out} more in the report"] if scores.left_out else [])]


def _cells(line: Line) -> str:
    return "  ".join(f"{f'{value} {interval}':<18}" for value, interval in line.cells)
