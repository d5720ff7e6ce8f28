"""Precision-recall, ROC and calibration curves; ranking curves are averaged over fits, never pooled over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ab_assets.reports.palette import BASELINE_SERIES, DASHES, MUTED, SERIES, canvas, safe, styled

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go
    from numpy.typing import NDArray

    from ab_assets.reports.methods import Method

    Floats = NDArray[np.float64]

GRID = np.linspace(0.0, 1.0, 101)
BINS = 10
FEWEST_IN_BIN = 10  # an observed share of fewer rows than this is noise
SHOWN_AT_FIRST = 6


@dataclass(frozen=True, slots=True)
class Curves:
    """Averages over (fit, seed) on GRID: `sensitivity` at each false positive rate, `precision` at each recall."""

    sensitivity: Floats
    precision: Floats
    fits: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """Mean score, observed share of positives and number of rows of each equally wide bin that is filled."""

    score: Floats
    observed: Floats
    rows: NDArray[np.int64]


def test_rows(predictions: pl.DataFrame, method: str) -> pl.DataFrame:
    """Return the scored test rows of one method (fit, seed, label, score)."""
    scored = (pl.col("role") == "test") & pl.col("score").is_not_null() & pl.col("label").is_not_null()
    return predictions.filter((pl.col("method") == method) & scored).select("fit", "seed", "label", "score")


def curves(rows: pl.DataFrame) -> Curves | None:
    """Return the averaged curves of one method's test rows; None when no fit has both classes."""
    sensitivity, precision = [], []
    for _, fit in rows.group_by("fit", "seed", maintain_order=True):
        label = fit["label"].to_numpy().astype(bool)
        if not label.any() or label.all():
            continue
        hits, misses = _cumulative(label, fit["score"].to_numpy())
        sensitivity.append(np.interp(GRID, misses / misses[-1], hits / hits[-1]))
        precision.append(_precision_at(hits, misses))
    if not sensitivity:
        return None
    return Curves(np.mean(sensitivity, axis=0), np.mean(precision, axis=0), len(sensitivity))


def _cumulative(label: NDArray[np.bool_], score: Floats) -> tuple[Floats, Floats]:
    """Return true and false positives (threshold,) from the highest score down, equal scores taken together."""
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(label[order])[ends].astype(np.float64)
    return np.insert(hits, 0, 0.0), np.insert(ends + 1 - hits, 0, 0.0)


def _precision_at(hits: Floats, misses: Floats) -> Floats:
    """Return the precision at the first threshold that reaches each recall of GRID (a step, as AP is summed)."""
    first = np.searchsorted(hits, np.maximum(GRID * hits[-1], 1.0) - 1e-9)
    return np.asarray(hits[first] / (hits[first] + misses[first]), dtype=np.float64)


def calibration(rows: pl.DataFrame) -> Calibration:
    """Return how often rows scored p are positive, over all fits together, in BINS equally wide bins."""
    score, label = rows["score"].to_numpy(), rows["label"].to_numpy().astype(np.float64)
    place = np.digitize(score, np.linspace(0, 1, BINS + 1)[1:-1], right=True)
    number = np.bincount(place, minlength=BINS)
    filled = number >= FEWEST_IN_BIN
    divisor = np.maximum(number, 1)
    mean = np.bincount(place, weights=score, minlength=BINS) / divisor
    observed = np.bincount(place, weights=label, minlength=BINS) / divisor
    return Calibration(mean[filled], observed[filled], number[filled])


def _lines(methods: Sequence[Method]) -> dict[str, dict[str, object]]:
    """Return a line style per method: models in colours, baselines dashed in greys."""
    lines: dict[str, dict[str, object]] = {}
    models = [method.name for method in methods if method.group != "baseline"]
    for index, name in enumerate(models):
        dash = DASHES[(index // len(SERIES)) % len(DASHES)]
        lines[name] = {"color": SERIES[index % len(SERIES)], "dash": dash, "width": 2}
    for index, name in enumerate(method.name for method in methods if method.group == "baseline"):
        lines[name] = {"color": BASELINE_SERIES[index % len(BASELINE_SERIES)], "dash": "dash", "width": 2}
    return lines


def _shown_at_first(methods: Sequence[Method]) -> set[str]:
    """Return the names of the methods drawn without a click: the best baseline is always one of them."""
    baseline = [method.name for method in methods if method.group == "baseline"][:1]
    models = [method.name for method in methods if method.group != "baseline"]
    return {*models[: SHOWN_AT_FIRST - len(baseline)], *baseline}


def _axes(figure: go.Figure, column: int, x: str, y: str) -> None:
    figure.update_xaxes(title_text=x, range=[0, 1.005], dtick=0.2, row=1, col=column)
    figure.update_yaxes(title_text=y, range=[0, 1.01], dtick=0.2, row=1, col=column)


def curve_figure(predictions: pl.DataFrame, methods: Sequence[Method], *, prevalence: float | None) -> go.Figure | None:
    """Return precision-recall and ROC curves side by side; all but the first few methods wait in the legend."""
    figure = canvas(["Precision-recall", "ROC"], columns=2, horizontal_spacing=0.09)
    first, lines = _shown_at_first(methods), _lines(methods)
    for method in methods:
        averaged = curves(test_rows(predictions, method.name))
        if averaged is None:
            continue
        common = {
            "mode": "lines",
            "line": lines[method.name],
            "name": safe(method.label),
            "legendgroup": method.name,
            "visible": True if method.name in first else "legendonly",
        }
        grid = GRID.round(2).tolist()
        figure.add_scatter(x=grid, y=averaged.precision.round(4).tolist(), row=1, col=1, **common)
        figure.add_scatter(
            x=[0.0, *grid], y=[0.0, *averaged.sensitivity.round(4).tolist()], row=1, col=2, showlegend=False, **common
        )
    if not figure.data:
        return None
    chance = {"color": MUTED, "dash": "dot", "width": 1.2}
    if prevalence is not None:
        figure.add_hline(y=prevalence, line=chance, row=1, col=1)
    figure.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line=chance, row=1, col=2)
    styled(figure, height=430, legend=True)
    _axes(figure, 1, "recall", "precision")
    _axes(figure, 2, "false positive rate", "recall (true positive rate)")
    return figure


def calibration_figure(predictions: pl.DataFrame, methods: Sequence[Method]) -> go.Figure | None:
    """Return the observed share of positives against the score; a calibrated method lies on the diagonal."""
    figure = canvas()
    first, lines = _shown_at_first(methods), _lines(methods)
    for method in methods:
        bins = calibration(test_rows(predictions, method.name))
        if not len(bins.score):
            continue
        figure.add_scatter(
            x=bins.score.round(4).tolist(),
            y=bins.observed.round(4).tolist(),
            customdata=bins.rows.tolist(),
            mode="lines+markers",
            line=lines[method.name],
            marker={"size": 6},
            name=safe(method.label),
            hovertemplate="score %{x:.2f}, positive %{y:.2f}, %{customdata:,} rows",
            visible=True if method.name in first else "legendonly",
        )
    if not figure.data:
        return None
    figure.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line={"color": MUTED, "dash": "dot", "width": 1.2})
    styled(figure, height=400, legend=True)
    figure.update_xaxes(title_text="mean score in the bin", range=[0, 1.005], dtick=0.2)
    figure.update_yaxes(title_text="observed share of positives", range=[0, 1.01], dtick=0.2)
    return figure
