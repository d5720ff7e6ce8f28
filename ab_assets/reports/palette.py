"""One look for every figure: colours that colour-blind readers can tell apart, one font, no decoration."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go

    from ab_assets.reports.methods import Method

# Okabe and Ito, "Color Universal Design" (2008), without yellow, which is too light on white.
BLUE, GREEN, VERMILION, SKY, ORANGE, PURPLE = "#0072B2", "#009E73", "#D55E00", "#56B4E9", "#E69F00", "#CC79A7"
INK, MUTED, RULE, BAND = "#1c2733", "#667380", "#dfe4e8", "#f4f5f6"
SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
BASELINE_SERIES = (INK, MUTED, "#a3adb5")
DASHES = ("solid", "dash", "dot", "dashdot")
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class Mark:
    """How the point of a method is drawn; a hollow point has a white inside."""

    colour: str
    symbol: str
    hollow: bool


def mark(method: Method) -> Mark:
    """Return the mark of a method: kind by colour and by shape, controls hollow and grey."""
    if method.group == "control":
        return Mark(MUTED, "circle", hollow=True)
    if method.group == "baseline":
        return Mark(VERMILION, "square", hollow=False)
    return Mark(BLUE, "circle", hollow=False) if method.arm == "fine-tuned" else Mark(GREEN, "diamond", hollow=False)


def marker(method: Method, *, size: int = 9) -> dict[str, object]:
    """Return the plotly marker of a method."""
    chosen = mark(method)
    inside = "#ffffff" if chosen.hollow else chosen.colour
    return {"color": inside, "symbol": chosen.symbol, "size": size, "line": {"color": chosen.colour, "width": 1.6}}


def safe(text: str) -> str:
    """Return text from data such that plotly, which reads a subset of HTML, shows it as it is."""
    return html.escape(text, quote=True)


def canvas(titles: Sequence[str] = ("",), *, columns: int = 1, **layout: object) -> go.Figure:
    """Return an empty figure with one panel per title, `columns` in a row; titles may be text from data.

    `layout` goes to plotly's make_subplots: spacing, widths, shared axes.
    """
    from plotly.subplots import make_subplots  # noqa: PLC0415 - loaded by who draws, not by who imports

    bold = [f"<b>{safe(title)}</b>" if title else "" for title in titles]
    return make_subplots(rows=-(-len(titles) // columns), cols=columns, subplot_titles=bold, **layout)


def styled(figure: go.Figure, *, height: int, legend: bool = False, left: int = 60) -> go.Figure:
    """Give a figure the look of the report and return it; `height` and `left` margin in pixels."""
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": left, "r": 16, "t": 34, "b": 46},
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor="#ffffff",
        plot_bgcolor="#ffffff",
        showlegend=legend,
        legend={"orientation": "v", "x": 1.01, "y": 1, "font": {"size": 12}, "tracegroupgap": 0},
        hoverlabel={"font": {"family": FONT, "size": 12}},
        barmode="overlay",
    )
    axis = {
        "gridcolor": RULE,
        "linecolor": MUTED,
        "tickcolor": MUTED,
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 4,
        "showline": True,
        "tickfont": {"size": 12},
        "title": {"font": {"size": 12.5}},
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    figure.update_annotations(font={"size": 13, "color": INK})
    return figure
