"""Where on the antibody residues are found: scores by IMGT region, and predicted against observed by position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ab_assets.datasets.imgt import sort_key
from ab_assets.reports import wording
from ab_assets.reports.chance import prevalence
from ab_assets.reports.diagnostics import region_ticks, shade_cdrs
from ab_assets.reports.figures import hover
from ab_assets.reports.palette import BLUE, MUTED, ORANGE, PURPLE, VERMILION, canvas, mark, safe, styled

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go

    from ab_assets.reports.methods import Method

MOST_METHODS = 6  # more cannot be told apart within one region
SPREAD = 0.7  # share of a region's width over which its methods are laid out
FEWEST_AT_POSITION = 5  # positions seen in fewer test antibodies say nothing


def regions_in(scores: pl.DataFrame) -> list[str]:
    """Return the IMGT regions that the scores tell apart, FR1 to FR4."""
    views = set(scores["view"].unique().to_list())
    return [region for region in wording.REGION_NAMES if f"region:{region}" in views]


def region_figure(scores: pl.DataFrame, methods: Sequence[Method], *, metric: str = "ap") -> go.Figure | None:
    """Return one metric within each IMGT region for a few methods, with the region's share of paratope residues."""
    regions = regions_in(scores)
    if not regions:
        return None
    by_key = {(r["method"], r["view"]): r for r in scores.filter(pl.col("metric") == metric).iter_rows(named=True)}
    shown = list(methods)[:MOST_METHODS]
    colours = _colours(shown)
    figure = canvas()
    for index, method in enumerate(shown):
        shift = (index - (len(shown) - 1) / 2) * SPREAD / len(shown)
        rows = [(place + shift, by_key.get((method.name, f"region:{region}"))) for place, region in enumerate(regions)]
        points = [(x, row) for x, row in rows if row is not None and row["value"] is not None]
        _add_method(figure, method, points, metric=metric, colour=colours[method.name])
    shares = [prevalence(scores, f"region:{region}") for region in regions]
    for place, share in enumerate(shares):
        if share is not None and metric == "ap":
            line = {"color": MUTED, "dash": "dot", "width": 1.2}
            figure.add_shape(type="line", x0=place - 0.42, x1=place + 0.42, y0=share, y1=share, line=line)
    styled(figure, height=360, legend=True)
    names = [
        f"<b>{wording.REGION_NAMES[region]}</b><br>{wording.percent(share)}"
        for region, share in zip(regions, shares, strict=True)
    ]
    figure.update_xaxes(tickvals=list(range(len(regions))), ticktext=names, showgrid=False, ticks="")
    figure.update_yaxes(title_text=wording.METRICS[metric].short, dtick=0.2, rangemode="tozero")
    return figure


def _colours(methods: Sequence[Method]) -> dict[str, str]:
    """Return the colour of each method's kind, and further colours where several baselines stand beside each other."""
    baselines = [method.name for method in methods if method.group == "baseline"]
    return {m.name: mark(m).colour for m in methods} | dict(zip(baselines, (VERMILION, ORANGE, PURPLE), strict=False))


def _add_method(
    figure: go.Figure, method: Method, points: list[tuple[float, dict[str, float]]], *, metric: str, colour: str
) -> None:
    values = [row["value"] for _, row in points]
    figure.add_scatter(
        x=[x for x, _ in points],
        y=values,
        mode="markers",
        marker={"color": colour, "symbol": mark(method).symbol, "size": 9},
        name=safe(method.label),
        hovertemplate=[hover(method, metric, row["value"], row["low"], row["high"]) for _, row in points],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [0 if row["high"] is None else row["high"] - row["value"] for _, row in points],
            "arrayminus": [0 if row["low"] is None else row["value"] - row["low"] for _, row in points],
            "color": colour,
            "thickness": 1.6,
            "width": 0,
        },
    )


def position_figure(predictions: pl.DataFrame, method: Method) -> go.Figure | None:
    """Return, per chain, the observed share of paratope residues and the mean score at each IMGT position."""
    by_position = (
        predictions.filter(
            (pl.col("method") == method.name)
            & (pl.col("role") == "test")
            & pl.col("position").is_not_null()
            & pl.col("score").is_not_null()
        )
        .group_by("chain", "position")
        .agg(
            observed=pl.col("label").cast(pl.Float64).mean(),
            score=pl.col("score").mean(),
            seen=pl.col("row_id").n_unique(),
        )
        .filter(pl.col("seen") >= FEWEST_AT_POSITION)
    )
    chains = [chain for chain in wording.CHAIN_NAMES if chain in by_position["chain"].unique().to_list()]
    if not chains:
        return None
    figure = canvas([wording.CHAIN_NAMES[chain].capitalize() for chain in chains], vertical_spacing=0.2)
    for row, chain in enumerate(chains, start=1):
        found = {item["position"]: item for item in by_position.filter(pl.col("chain") == chain).iter_rows(named=True)}
        positions = sorted(found, key=sort_key)
        common = {
            "x": list(range(len(positions))),
            "customdata": [safe(position) for position in positions],
            "hovertemplate": "IMGT %{customdata}: %{y:.2f}",
            "showlegend": row == 1,
            "row": row,
            "col": 1,
        }
        observed = [round(found[position]["observed"], 4) for position in positions]
        score = [round(found[position]["score"], 4) for position in positions]
        figure.add_bar(y=observed, name="observed", legendgroup="o", marker={"color": "#b9c2ca"}, **common)
        figure.add_scatter(
            y=score, name="mean score", legendgroup="s", mode="lines", line={"color": BLUE, "width": 2}, **common
        )
        ticks, names = region_ticks(positions)
        shade_cdrs(figure, positions, row=row)
        figure.update_xaxes(
            tickvals=ticks, ticktext=names, range=[-0.5, len(positions) - 0.5], showgrid=False, row=row, col=1
        )
    styled(figure, height=80 + 210 * len(chains), legend=True)
    figure.update_yaxes(range=[0, 1], dtick=0.25, title_text="share in paratope")
    return figure
