"""The leak ladder for readers: scores by rung as a figure, a table, and the sentence that draws the conclusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from ab_assets.reports import wording
from ab_assets.reports.methods import describe
from ab_assets.reports.palette import BLUE, MUTED, VERMILION, canvas, styled

if TYPE_CHECKING:
    from collections.abc import Mapping

    import plotly.graph_objects as go

METRICS = ("ap", "auroc")
CERTIFIED = "certified"
STYLES = (("square", VERMILION), ("diamond", BLUE), ("circle", MUTED))
APART = 0.12  # of the distance between rungs


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung in words: largest identity and test rows over the bound by measure, AUROC and difference by method."""

    title: str
    trained: str
    identities: tuple[tuple[str, str], ...]
    scores: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True, slots=True)
class RungTable:
    """Headings of measures and methods, and the rungs."""

    measures: tuple[str, ...]
    methods: tuple[str, ...]
    rungs: tuple[Rung, ...]


def title_of(rung: str) -> str:
    """Return "Random", "Clusters at 80 %" or "Certified"."""
    kind, _, identity = rung.partition("-")
    return f"Clusters at {wording.percent(float(identity))}" if identity else kind.capitalize()


def ladder_figure(ladder: pl.DataFrame) -> go.Figure | None:
    """Return AP and AUROC of each method by rung, with intervals; None where there are fewer than two rungs."""
    rungs = ladder["rung"].unique(maintain_order=True).to_list()
    if len(rungs) < 2:
        return None
    figure = canvas(
        [wording.METRICS[metric].short for metric in METRICS], columns=len(METRICS), horizontal_spacing=0.08
    )
    methods = ladder["method"].unique(maintain_order=True).to_list()
    for column, metric in enumerate(METRICS, start=1):
        for place, method in enumerate(methods):
            symbol, colour = STYLES[place % len(STYLES)]
            rows = {r["rung"]: r for r in ladder.filter(method=method, metric=metric).iter_rows(named=True)}
            shown = [
                (x, rows[rung]) for x, rung in enumerate(rungs) if rung in rows and rows[rung]["value"] is not None
            ]
            label = describe(method, {}).label
            figure.add_scatter(
                x=[x + (place - (len(methods) - 1) / 2) * APART for x, _ in shown],
                y=[row["value"] for _, row in shown],
                error_y={
                    "type": "data",
                    "array": [_apart(row["value"], row["high"]) for _, row in shown],
                    "arrayminus": [_apart(row["low"], row["value"]) for _, row in shown],
                    "width": 0,
                    "thickness": 2,
                },
                customdata=[wording.interval(row["low"], row["high"]) for _, row in shown],
                mode="lines+markers",
                line={"color": colour, "width": 1.2, "dash": "dot"},
                marker={"symbol": symbol, "size": 9, "color": colour},
                name=label,
                legendgroup=method,
                showlegend=column == 1,
                hovertemplate=f"{label}: %{{y:.3f}} %{{customdata}}<extra></extra>",
                row=1,
                col=column,
            )
    styled(figure, height=320, legend=True)
    figure.update_xaxes(
        tickvals=list(range(len(rungs))),
        ticktext=[title_of(rung).removeprefix("Clusters at ") for rung in rungs],
        tickangle=0,
        title_text="rows divided at random, by clusters at this identity, or as certified",
        range=[-0.5, len(rungs) - 0.5],
        showgrid=False,
    )
    return figure


def ladder_table(ladder: pl.DataFrame, rungs: pl.DataFrame) -> RungTable:
    """Return the rungs with their measured identities, and AUROC of every method with its difference to certified."""
    measures = [by for by in wording.MEASURES if by in rungs.filter(pl.col("identity") > 0)["by"].unique().to_list()]
    methods = ladder["method"].unique(maintain_order=True).to_list()
    return RungTable(
        tuple(wording.MEASURES[by] for by in measures),
        tuple(describe(method, {}).label for method in methods),
        tuple(
            Rung(
                title_of(rung),
                wording.count(rungs.filter(rung=rung)["trained"][0]),
                tuple(_identity(rungs.filter(rung=rung, by=by).row(0, named=True)) for by in measures),
                tuple(_score(ladder.filter(rung=rung, method=method, metric="auroc")) for method in methods),
            )
            for rung in ladder["rung"].unique(maintain_order=True)
        ),
    )


def ladder_words(ladder: pl.DataFrame, left_out: Mapping[str, str]) -> tuple[str, ...]:
    """Return what the ladder shows, and which rungs are not there and why, one sentence each."""
    random = ladder.filter(pl.col("rung") == "random", pl.col("metric") == "auroc", pl.col("difference").is_not_null())
    said = [
        f"{describe(row['method'], {}).label}: a random division shows an AUROC "
        f"{wording.number(row['difference'], signed=True)} "
        f"{wording.interval(row['difference_low'], row['difference_high'], signed=True)} above the certified one."
        if row["difference"] > 0
        else f"{describe(row['method'], {}).label}: a random division shows no higher AUROC than the certified one "
        f"({wording.number(row['difference'], signed=True)} "
        f"{wording.interval(row['difference_low'], row['difference_high'], signed=True)})."
        for row in random.iter_rows(named=True)
    ]
    return (*said, *(f"{title_of(rung)}: left out, {reason}." for rung, reason in left_out.items()))


def _apart(low: float | None, high: float | None) -> float:
    return 0.0 if low is None or high is None else high - low


def _identity(row: Mapping[str, float | None]) -> tuple[str, str]:
    """Return the largest identity and how many test rows reach the bound, as text."""
    over = "" if row["over"] is None else f"{wording.count(row['over'])} of {wording.count(row['tested'] or 0)}"
    return wording.number(row["identity"]), over


def _score(found: pl.DataFrame) -> tuple[str, str, str, str]:
    """Return AUROC, its interval, the difference to the certified rung and its interval, as text."""
    if found.is_empty():
        return (wording.DASH, "", "", "")
    row = found.row(0, named=True)
    difference = "" if row["difference"] is None else wording.number(row["difference"], signed=True)
    ends = wording.interval(row["difference_low"], row["difference_high"], signed=True)
    return wording.number(row["value"]), wording.interval(row["low"], row["high"]), difference, ends
