"""The main figure in a few hundred pixels: an SVG of dots and intervals that needs no browser to be made."""

from __future__ import annotations

import base64
import html
from typing import TYPE_CHECKING

import polars as pl

from ab_assets.reports import wording
from ab_assets.reports.chance import chance
from ab_assets.reports.methods import ordered
from ab_assets.reports.palette import BAND, FONT, INK, MUTED, RULE, mark

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ab_assets.reports.methods import Method

WIDTH, ROW, TOP, BOTTOM = 680, 20, 26, 22  # pixels
LEFT, RIGHT = 270, 520  # where 0 and 1 lie
LONGEST_LABEL = 42


def _x(value: float) -> float:
    return round(LEFT + (RIGHT - LEFT) * min(max(value, 0.0), 1.0), 1)


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = INK, weight: str = "normal") -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}">'
        f"{html.escape(text)}</text>"
    )


def _point(method: Method, x: float, y: float) -> str:
    drawn = mark(method)
    style = f'fill="{"#ffffff" if drawn.hollow else drawn.colour}" stroke="{drawn.colour}" stroke-width="1.5"'
    if drawn.symbol == "square":
        return f'<rect x="{x - 4}" y="{y - 4}" width="8" height="8" {style}/>'
    if drawn.symbol == "diamond":
        return f'<path d="M{x} {y - 5.5}L{x + 5.5} {y}L{x} {y + 5.5}L{x - 5.5} {y}Z" {style}/>'
    return f'<circle cx="{x}" cy="{y}" r="4.5" {style}/>'


def _row(method: Method, row: Mapping[str, float | None] | None, y: int) -> list[str]:
    label = (
        method.label
        if len(method.label) <= LONGEST_LABEL
        else method.label[: LONGEST_LABEL - 1] + "\N{HORIZONTAL ELLIPSIS}"
    )
    parts = [_text(LEFT - 12, y + 4, label, anchor="end", colour=MUTED if method.group == "control" else INK)]
    value, low, high = (None, None, None) if row is None else (row["value"], row["low"], row["high"])
    if value is None:
        return [*parts, _text(RIGHT + 14, y + 4, wording.DASH, colour=MUTED)]
    if low is not None and high is not None:
        colour = mark(method).colour
        parts.append(f'<path d="M{_x(low)} {y}H{_x(high)}" stroke="{colour}" stroke-width="2"/>')
    numbers = f"{wording.number(value, digits=2)} {wording.interval(low, high, digits=2)}".strip()
    return [*parts, _point(method, _x(value), y), _text(RIGHT + 14, y + 4, numbers)]


def thumbnail_svg(scores: pl.DataFrame, titles: Mapping[str, str] | None = None, *, metric: str = "ap") -> str:
    """Return an SVG with one row per method: dot, 95 % interval and the numbers; controls hollow on a grey band."""
    shown = scores.filter(pl.col("view") == "all")
    methods = ordered(shown, titles or {}, metric=metric)
    by_name = {row["method"]: row for row in shown.filter(pl.col("metric") == metric).iter_rows(named=True)}
    height = TOP + ROW * len(methods) + BOTTOM
    base = height - BOTTOM
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{html.escape(FONT)}" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(LEFT, 16, f"{wording.METRICS[metric].short} with 95 % interval", weight="bold"),
    ]
    controls = sum(method.group == "control" for method in methods)
    if controls:
        parts.append(f'<rect y="{base - ROW * controls}" width="{WIDTH}" height="{ROW * controls}" fill="{BAND}"/>')
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<path d="M{_x(tick)} {TOP}V{base}" stroke="{RULE}"/>')
        parts.append(_text(_x(tick), base + 15, f"{tick:g}", anchor="middle", colour=MUTED))
    line = chance(shown, metric)
    if line is not None:
        parts.append(f'<path d="M{_x(line)} {TOP}V{base}" stroke="{MUTED}" stroke-dasharray="2 3"/>')
    for place, method in enumerate(methods):
        parts += _row(method, by_name.get(method.name), TOP + ROW * place + ROW // 2)
    return "".join([*parts, "</svg>"])


def thumbnail_uri(scores: pl.DataFrame, titles: Mapping[str, str] | None = None, *, metric: str = "ap") -> str:
    """Return the SVG as a data URI, to stand in markdown as `![scores](uri)`."""
    svg = thumbnail_svg(scores, titles, metric=metric).encode()
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
