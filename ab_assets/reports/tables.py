"""Scores as tables for a page and as markdown for the Dagster UI; an undefined number is a dash that says why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from ab_assets.reports import wording
from ab_assets.reports.methods import GROUPS, describe, grouped, ordered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MARKDOWN_METRICS = ("ap", "mcc", "auroc", "f1", "recall", "fpr")
MARKDOWN_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~<>$&])")


@dataclass(frozen=True, slots=True)
class Score:
    """One number with its interval, as text; `title` says why it is undefined, `order` is what sorting goes by."""

    value: str
    interval: str = ""
    title: str = ""
    order: float | None = None


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """The scores of one method, one per column of its table."""

    label: str
    name: str
    group: str
    scores: tuple[Score, ...]


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Columns (key, heading, explanation) and, per group of methods, its heading and rows."""

    columns: tuple[tuple[str, str, str], ...]
    groups: tuple[tuple[str, tuple[ScoreRow, ...]], ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One paired comparison in words."""

    method: str
    reference: str
    metric: str
    difference: str
    interval: str
    verdict: str


@dataclass(frozen=True, slots=True)
class DifferenceMatrix:
    """Comparisons with one reference: metric headings, and per method one comparison (or None) for each of them."""

    metrics: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Difference | None, ...]], ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """How much one method's lead metric varies between folds and between seeds (standard deviations)."""

    method: str
    fold: str
    seed: str


def score(row: Mapping[str, Any] | None) -> Score:
    """Return one SCORES row as text; no row at all reads "not computed"."""
    if row is None:
        return Score(wording.DASH, title="not computed")
    value, low, high = row["value"], row["low"], row["high"]
    reason = str(row["reason"] or "")
    if value is None:
        return Score(wording.DASH, title=reason or "undefined")
    shown = wording.interval(low, high)
    return Score(wording.number(value), shown, reason or ("" if shown else "no interval"), value)


def score_table(scores: pl.DataFrame, titles: Mapping[str, str], *, view: str = "all") -> ScoreTable:
    """Return every method with every metric of one view."""
    of_view = scores.filter(pl.col("view") == view)
    present = set(of_view["metric"].unique().to_list())
    metrics = [metric for metric in wording.METRICS.values() if metric.key in present]
    by_key = {(row["method"], row["metric"]): row for row in of_view.iter_rows(named=True)}
    columns = tuple((metric.key, metric.short, metric.title) for metric in metrics)
    return ScoreTable(columns, _groups(scores, titles, by_key, [metric.key for metric in metrics], controls=True))


def view_table(scores: pl.DataFrame, titles: Mapping[str, str], *, views: Mapping[str, str], metric: str) -> ScoreTable:
    """Return one metric in several views (`views`: view -> heading) for every method but the controls."""
    of_metric = scores.filter((pl.col("metric") == metric) & pl.col("view").is_in(list(views)))
    by_key = {(row["method"], row["view"]): row for row in of_metric.iter_rows(named=True)}
    columns = tuple((view, heading, heading) for view, heading in views.items())
    return ScoreTable(columns, _groups(scores, titles, by_key, list(views), controls=False))


def _groups(
    scores: pl.DataFrame,
    titles: Mapping[str, str],
    by_key: Mapping[tuple[str, str], Mapping[str, Any]],
    columns: Sequence[str],
    *,
    controls: bool,
) -> tuple[tuple[str, tuple[ScoreRow, ...]], ...]:
    return tuple(
        (
            GROUPS[group],
            tuple(
                ScoreRow(m.label, m.name, group, tuple(score(by_key.get((m.name, column))) for column in columns))
                for m in members
            ),
        )
        for group, members in grouped(ordered(scores, titles)).items()
        if controls or group != "control"
    )


def differences(comparisons: pl.DataFrame, titles: Mapping[str, str], *, family: str) -> tuple[Difference, ...]:
    """Return the comparisons of a family, metrics in the usual order, the largest difference first."""
    rank = {metric: place for place, metric in enumerate(wording.METRICS)}
    rows = [row for row in comparisons.iter_rows(named=True) if row["family"] == family]
    rows.sort(key=lambda r: (rank.get(r["metric"], len(rank)), -(r["difference"] or 0.0), r["method"], r["reference"]))
    return tuple(
        Difference(
            method=describe(row["method"], titles).label,
            reference=describe(row["reference"], titles).label,
            metric=wording.METRICS[row["metric"]].short if row["metric"] in wording.METRICS else row["metric"],
            difference=wording.number(row["difference"], signed=True),
            interval=wording.interval(row["low"], row["high"], signed=True),
            verdict=wording.verdict(row["low"], row["high"], metric=row["metric"]),
        )
        for row in rows
    )


def difference_matrix(comparisons: pl.DataFrame, titles: Mapping[str, str]) -> DifferenceMatrix:
    """Return the primary family with one row per method, in the order of the first metric."""
    found = differences(comparisons, titles, family="primary")
    metrics = tuple(dict.fromkeys(d.metric for d in found))
    by_key = {(d.method, d.metric): d for d in found}
    methods = dict.fromkeys(d.method for d in found)
    return DifferenceMatrix(metrics, tuple((m, tuple(by_key.get((m, metric)) for metric in metrics)) for m in methods))


def spreads(scores: pl.DataFrame, titles: Mapping[str, str], *, metric: str = "ap") -> tuple[Spread, ...]:
    """Return the spread of one metric between folds and between seeds for every method where either is known."""
    rows = {
        row["method"]: row
        for row in scores.iter_rows(named=True)
        if row["view"] == "all" and row["metric"] == metric and (row["fold_spread"], row["seed_spread"]) != (None, None)
    }
    return tuple(
        Spread(
            method.label,
            wording.number(rows[method.name]["fold_spread"]),
            wording.number(rows[method.name]["seed_spread"]),
        )
        for method in ordered(scores, titles)
        if method.name in rows
    )


def escape_markdown(text: str) -> str:
    """Return text from data such that markdown and HTML show it as it is, on one line."""
    return MARKDOWN_SPECIAL.sub(r"\\\1", " ".join(text.split()))


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a markdown table, text left and everything after the first column right; cells are escaped."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)]]
    body = [[escape_markdown(cell) for cell in row] for row in rows]
    escaped = [[escape_markdown(heading) for heading in headings], lines[1], *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def scores_markdown(scores: pl.DataFrame, titles: Mapping[str, str] | None = None) -> str:
    """Return the main metrics of every method with intervals as a markdown table, controls last."""
    present = set(scores["metric"].unique().to_list())
    metrics = [metric for metric in MARKDOWN_METRICS if metric in present]
    table = score_table(scores.filter(pl.col("metric").is_in(metrics)), titles or {})
    rows = [
        [row.label, *[f"{item.value} {item.interval}".strip() for item in row.scores]]
        for _, members in table.groups
        for row in members
    ]
    return markdown(["method", *[heading for _, heading, _ in table.columns]], rows)


def comparisons_markdown(comparisons: pl.DataFrame, titles: Mapping[str, str] | None = None) -> str:
    """Return the primary family of comparisons as a markdown table."""
    found = differences(comparisons, titles or {}, family="primary")
    rows = [[d.method, d.reference, d.metric, f"{d.difference} {d.interval}".strip(), d.verdict] for d in found]
    return markdown(["method", "against", "metric", "difference", "shown"], rows)
