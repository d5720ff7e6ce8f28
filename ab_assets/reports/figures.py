"""Figures of scores: dots with intervals for every method, and paired differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from ab_assets.reports import wording
from ab_assets.reports.chance import chance
from ab_assets.reports.methods import GROUPS, Method, describe, grouped, ordered
from ab_assets.reports.palette import BAND, INK, MUTED, canvas, mark, marker, safe, styled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import plotly.graph_objects as go

LEAD_METRICS = ("ap", "mcc", "auroc")
ROW_HEIGHT = 25  # pixels


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where each method stands on the vertical axis, top to bottom; headings take a row of their own."""

    places: dict[str, int]
    headings: dict[str, int]
    control_top: float | None
    total: int


def _rows(methods: list[Method]) -> _Rows:
    places: dict[str, int] = {}
    headings: dict[str, int] = {}
    control_top = None
    row = 0
    for group, members in grouped(methods).items():
        if group == "control":
            control_top = row - 0.5
        headings[GROUPS[group]] = row
        for offset, method in enumerate(members, start=1):
            places[method.name] = row + offset
        row += len(members) + 1
    return _Rows(places, headings, control_top, row)


def _label_axis(figure: go.Figure, rows: _Rows, methods: list[Method], panels: int) -> None:
    ticks = {row: f"<b>{safe(text)}</b>" for text, row in rows.headings.items()}
    ticks |= {rows.places[method.name]: safe(method.label) for method in methods}
    for column in range(1, panels + 1):
        figure.update_yaxes(
            tickmode="array",
            tickvals=list(ticks),
            ticktext=list(ticks.values()),
            showticklabels=column == 1,
            range=[rows.total - 0.4, -0.6],
            ticks="",
            showgrid=False,
            showline=False,
            row=1,
            col=column,
        )
    if rows.control_top is not None:
        for column in range(1, panels + 1):
            figure.add_hrect(
                y0=rows.control_top, y1=rows.total - 0.4, fillcolor=BAND, line_width=0, layer="below", row=1, col=column
            )


def hover(method: Method, metric: str, value: float | None, low: float | None, high: float | None) -> str:
    """Return what the pointer shows over one score."""
    numbers = f"{wording.number(value)} {wording.interval(low, high)}"
    return f"{safe(method.label)}<br>{wording.METRICS[metric].short} {numbers}<extra></extra>"


def _interval_trace(method: Method, place: float, row: Mapping[str, float | None], metric: str) -> dict[str, object]:
    value = row["value"]
    low, high = row["low"], row["high"]
    trace: dict[str, object] = {
        "x": [value],
        "y": [place],
        "mode": "markers",
        "marker": marker(method),
        "hovertemplate": hover(method, metric, value, low, high),
    }
    if value is not None and low is not None and high is not None:
        trace["error_x"] = {
            "type": "data",
            "symmetric": False,
            "array": [high - value],
            "arrayminus": [value - low],
            "color": mark(method).colour,
            "thickness": 1.8,
            "width": 0,
        }
    return trace


def score_figure(
    scores: pl.DataFrame, titles: Mapping[str, str], *, metrics: Sequence[str] = LEAD_METRICS, view: str = "all"
) -> go.Figure:
    """Return one panel per metric with a dot and a 95 % interval for every method; controls stand below, hollow."""
    shown = scores.filter(pl.col("view") == view)
    methods = ordered(shown, titles)
    rows = _rows(methods)
    by_key = {(row["method"], row["metric"]): row for row in shown.iter_rows(named=True)}
    figure = canvas(
        [wording.METRICS[metric].short for metric in metrics],
        columns=len(metrics),
        shared_yaxes=True,
        horizontal_spacing=0.025,
        column_widths=[1.3] + [1.0] * (len(metrics) - 1),
    )
    for column, metric in enumerate(metrics, start=1):
        for method in methods:
            row = by_key.get((method.name, metric))
            if row is not None and row["value"] is not None:
                trace = _interval_trace(method, rows.places[method.name], row, metric)
                figure.add_scatter(**trace, row=1, col=column)
        line = chance(shown, metric)
        if line is not None:
            figure.add_vline(x=line, line={"color": MUTED, "dash": "dot", "width": 1.2}, row=1, col=column)
    styled(figure, height=rows.total * ROW_HEIGHT + 84)
    _label_axis(figure, rows, methods, len(metrics))
    figure.update_yaxes(automargin=True, col=1)
    figure.update_xaxes(range=[0, 1.01], dtick=0.2)
    for column, metric in enumerate(metrics, start=1):
        if metric == "mcc":
            lows = shown.filter(pl.col("metric") == "mcc").select(pl.min_horizontal("value", "low").min()).item()
            figure.update_xaxes(range=[min(-0.05, (lows or 0.0) - 0.03), 1.01], row=1, col=column)
    return figure


def comparison_figure(
    comparisons: pl.DataFrame, titles: Mapping[str, str], *, metrics: Sequence[str] = LEAD_METRICS
) -> go.Figure | None:
    """Return the paired differences of the primary family, one panel per metric; None when there are none."""
    primary = comparisons.filter(pl.col("family") == "primary", pl.col("difference").is_not_null())
    present = [metric for metric in metrics if metric in primary["metric"].unique().to_list()]
    if not present:
        return None
    leading = primary.filter(pl.col("metric") == present[0]).sort("difference", "method", descending=[True, False])
    methods = [describe(name, titles) for name in leading["method"].unique(maintain_order=True)]
    figure = canvas(
        [f"Difference in {wording.METRICS[metric].short}" for metric in present],
        columns=len(present),
        shared_yaxes=True,
        horizontal_spacing=0.03,
    )
    for column, metric in enumerate(present, start=1):
        by_method = {row["method"]: row for row in primary.filter(pl.col("metric") == metric).iter_rows(named=True)}
        for place, method in enumerate(methods):
            row = by_method.get(method.name)
            if row is not None:
                numbers = {"value": row["difference"], "low": row["low"], "high": row["high"]}
                figure.add_scatter(**_interval_trace(method, place, numbers, metric), row=1, col=column)
        figure.add_vline(x=0, line={"color": INK, "width": 1}, row=1, col=column)
    styled(figure, height=len(methods) * ROW_HEIGHT + 84)
    for column in range(1, len(present) + 1):
        figure.update_yaxes(
            tickmode="array",
            tickvals=list(range(len(methods))),
            ticktext=[safe(method.label) for method in methods],
            range=[len(methods) - 0.4, -0.6],
            ticks="",
            showgrid=False,
            showline=False,
            row=1,
            col=column,
        )
    figure.update_yaxes(automargin=True, col=1)
    figure.update_xaxes(nticks=7)
    return figure
