"""Figures that let a reader doubt: nearest training identity of test rows, training curves, attention."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import polars as pl

from ab_assets.datasets.imgt import region_of, sort_key
from ab_assets.reports import wording
from ab_assets.reports.palette import BAND, BLUE, INK, MUTED, VERMILION, canvas, safe, styled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import plotly.graph_objects as go

BIN = 0.02  # identity, as a fraction
PANELS_PER_ROW = 3
CDRS = ("cdr1", "cdr2", "cdr3")


def leakage_figure(nearest: pl.DataFrame, bounds: Mapping[str, float | None]) -> go.Figure | None:
    """Return, per measure, the identity of test rows to their nearest training row; bars over the bound are orange."""
    tested = nearest.filter(pl.col("role") == "test")
    measures = [measure for measure in wording.MEASURES if measure in tested["by"].unique().to_list()]
    if not measures:
        return None
    figure = canvas([wording.MEASURES[measure] for measure in measures], columns=len(measures), horizontal_spacing=0.07)
    for column, measure in enumerate(measures, start=1):
        identity = tested.filter(pl.col("by") == measure)["identity"].drop_nulls()
        bound = bounds.get(measure)
        starts, numbers = _histogram(identity)
        figure.add_bar(
            x=[start + BIN / 2 for start in starts],
            y=numbers,
            width=BIN * 0.92,
            marker={"color": [VERMILION if bound and start >= bound - 1e-9 else BLUE for start in starts]},
            customdata=[f"{start:.2f} to {start + BIN:.2f}" for start in starts],
            hovertemplate="identity %{customdata}: %{y:,} test rows<extra></extra>",
            row=1,
            col=column,
        )
        if bound:
            figure.add_vline(x=bound, line={"color": INK, "dash": "dash", "width": 1.4}, row=1, col=column)
    styled(figure, height=300)
    figure.update_xaxes(title_text="identity to the nearest training row", range=[0, 1.01], dtick=0.2)
    figure.update_yaxes(title_text="test rows", col=1)
    figure.update_yaxes(rangemode="tozero")
    return figure


def _histogram(identity: pl.Series) -> tuple[list[float], list[int]]:
    """Return the lower edge and the number of rows of each bin; identity 1.0 counts in the last bin."""
    last = round(1 / BIN) - 1
    numbers = [0] * (last + 1)
    for value in identity:
        numbers[min(math.floor(value / BIN + 1e-9), last)] += 1
    return [round(place * BIN, 4) for place in range(last + 1)], numbers


def training_figure(histories: Sequence[Mapping[str, object]], titles: Mapping[str, str]) -> go.Figure | None:
    """Return loss by epoch, one panel per model: training thin, validation bold, shuffled-label fits grey."""
    models = list(dict.fromkeys(str(step["model"]) for step in histories))
    if not models:
        return None
    columns = min(PANELS_PER_ROW, len(models))
    rows = math.ceil(len(models) / columns)
    figure = canvas(
        [titles.get(model, model) for model in models],
        columns=columns,
        horizontal_spacing=0.07,
        vertical_spacing=0.28 / rows if rows > 1 else 0.0,
    )
    legend: set[str] = set()
    for place, model in enumerate(models):
        for steps in _runs([step for step in histories if step["model"] == model]):
            _loss_lines(figure, steps, row=place // columns + 1, column=place % columns + 1, legend=legend)
    styled(figure, height=90 + 230 * rows, legend=True)
    epochs = max(int(str(step["epoch"])) for step in histories)
    figure.update_xaxes(title_text="epoch", rangemode="tozero", tickformat="d", dtick=max(1, math.ceil(epochs / 10)))
    figure.update_yaxes(title_text="loss", col=1)
    return figure


def _runs(steps: Sequence[Mapping[str, object]]) -> list[list[Mapping[str, object]]]:
    """Return the steps of each (fit, seed, arm) apart, in the order in which they were given."""
    runs: dict[tuple[object, object, object], list[Mapping[str, object]]] = {}
    for step in steps:
        runs.setdefault((step["fit"], step["seed"], step["arm"]), []).append(step)
    return list(runs.values())


def _loss_lines(
    figure: go.Figure, steps: Sequence[Mapping[str, object]], *, row: int, column: int, legend: set[str]
) -> None:
    shuffled = str(steps[0]["arm"]).endswith("shuffled")
    colour = MUTED if shuffled else BLUE
    for key, part, dash, width in (
        ("train_loss", "training", "dot", 1.2),
        ("validation_loss", "validation", "solid", 2),
    ):
        name = f"{part}, shuffled labels" if shuffled else part
        figure.add_scatter(
            x=[step["epoch"] for step in steps],
            y=[step[key] for step in steps],
            mode="lines",
            line={"color": colour, "dash": dash, "width": width},
            name=name,
            legendgroup=name,
            showlegend=name not in legend,
            hovertemplate=f"fit {steps[0]['fit']}, seed {steps[0]['seed']}, epoch %{{x}}: %{{y:.4f}}",
            row=row,
            col=column,
        )
        legend.add(name)


def region_ticks(positions: Sequence[str]) -> tuple[list[int], list[str]]:
    """Return where each IMGT region begins among sorted positions, and its name, for an axis of places."""
    regions = [region_of(position) for position in positions]
    present = [region for region in wording.REGION_NAMES if region in regions]
    return [regions.index(region) for region in present], [wording.REGION_NAMES[region] for region in present]


def shade_cdrs(figure: go.Figure, positions: Sequence[str], *, row: int, column: int = 1) -> None:
    """Shade the CDRs behind an axis of places among sorted IMGT positions."""
    for region in CDRS:
        inside = [place for place, position in enumerate(positions) if region_of(position) == region]
        if inside:
            figure.add_vrect(
                x0=inside[0] - 0.5,
                x1=inside[-1] + 0.5,
                fillcolor=BAND,
                line_width=0,
                layer="below",
                row=row,
                col=column,
            )


def attention_figure(attention: pl.DataFrame) -> go.Figure | None:
    """Return the attention each IMGT position receives in the last layer, before and after fine-tuning, per chain."""
    last = attention.filter(pl.col("position").is_not_null(), pl.col("layer") == pl.col("layer").max())
    chains = [chain for chain in wording.CHAIN_NAMES if chain in last["chain"].unique().to_list()]
    if not chains:
        return None
    figure = canvas([wording.CHAIN_NAMES[chain].capitalize() for chain in chains], vertical_spacing=0.2)
    styles = {"pre-trained": {"color": MUTED, "dash": "dot", "width": 1.8}, "fine-tuned": {"color": BLUE, "width": 2}}
    for row, chain in enumerate(chains, start=1):
        rows = last.filter(pl.col("chain") == chain)
        positions = sorted(rows["position"].unique().to_list(), key=sort_key)
        places = {position: place for place, position in enumerate(positions)}
        for state, line in styles.items():
            of_state = sorted(
                rows.filter(pl.col("model_state") == state).iter_rows(named=True), key=lambda r: sort_key(r["position"])
            )
            figure.add_scatter(
                x=[places[item["position"]] for item in of_state],
                y=[round(item["attention"], 6) for item in of_state],
                customdata=[safe(item["position"]) for item in of_state],
                mode="lines",
                line=line,
                name=state,
                legendgroup=state,
                showlegend=row == 1,
                hovertemplate="IMGT %{customdata}: %{y:.4f}",
                row=row,
                col=1,
            )
        ticks, names = region_ticks(positions)
        shade_cdrs(figure, positions, row=row)
        figure.update_xaxes(tickvals=ticks, ticktext=names, range=[-0.5, len(positions) - 0.5], showgrid=False, row=row)
    styled(figure, height=70 + 220 * len(chains), legend=True)
    figure.update_yaxes(title_text="attention received", rangemode="tozero")
    return figure
