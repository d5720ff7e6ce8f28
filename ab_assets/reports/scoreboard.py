"""The metric table as it stands in a letter: the first methods of it, each with its dot and interval drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from ab_assets.reports import wording
from ab_assets.reports.chance import chance
from ab_assets.reports.methods import GROUPS, describe, ordered
from ab_assets.reports.strips import strip_png
from ab_assets.reports.tables import differences
from ab_assets.reports.thumbnail import thumbnail_svg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ab_assets.reports.methods import Method

METRICS = ("ap", "mcc", "auroc")
MOST_METHODS = 40


@dataclass(frozen=True, slots=True)
class Line:
    """One method. `group`: its heading where it is the first of it; `cells`: (value, interval) of each metric."""

    label: str
    group: str
    is_control: bool
    cells: tuple[tuple[str, str], ...]
    picture: str


@dataclass(frozen=True, slots=True)
class Scoreboard:
    """`headings` of the metrics, `lines`, how many methods are `left_out`, `pictures` by name, and all as one SVG."""

    headings: tuple[str, ...]
    lines: tuple[Line, ...]
    left_out: int
    pictures: Mapping[str, bytes]
    drawing: str
    lead: str


def scoreboard(
    scores: pl.DataFrame, comparisons: pl.DataFrame | None, titles: Mapping[str, str], *, not_ranked: str = ""
) -> Scoreboard:
    """Return the first 40 methods, models before baselines before controls, the best of each first.

    `comparisons`: None where there are none yet. `not_ranked`: the model that is spoken of where none may be called
    the best, as in the report.
    """
    shown = scores.filter(pl.col("view") == "all")
    by_key = {(row["method"], row["metric"]): row for row in shown.iter_rows(named=True)}
    methods = ordered(shown, titles)
    level = chance(shown, METRICS[0])
    lines, pictures, before = [], {}, ""
    for place, method in enumerate(methods[:MOST_METHODS]):
        value, low, high = _numbers(by_key.get((method.name, METRICS[0])))
        name = f"strip-{place}"
        pictures[name] = strip_png(method, value, low, high, chance=level)
        heading = GROUPS[method.group]
        cells = tuple(_cell(*_numbers(by_key.get((method.name, metric)))) for metric in METRICS)
        group = heading if heading != before else ""
        lines.append(Line(method.label, group, method.group == "control", cells, name))
        before = heading
    return Scoreboard(
        headings=tuple(wording.METRICS[metric].short for metric in METRICS),
        lines=tuple(lines),
        left_out=max(len(methods) - MOST_METHODS, 0),
        pictures=pictures,
        drawing=thumbnail_svg(scores, titles),
        lead=_lead(by_key, comparisons, titles, _spoken_of(methods, not_ranked)),
    )


def certificate_words(certificate: Mapping[str, Any]) -> tuple[bool, str]:
    """Return whether the split was certified, and in one line what its certificate says."""
    maxima = ", ".join(f"{measure} {value:.2f}" for measure, value in sorted(certificate["maximum"].items()))
    certified = "certified: no test row reaches the bound" if certificate["passed"] else "LEAKS"
    verdict = certified if certificate["enforced"] else "waived: not certified"
    return bool(certificate["enforced"] and certificate["passed"]), f"{verdict} (highest train-test identity: {maxima})"


def _spoken_of(methods: Sequence[Method], not_ranked: str) -> list[str]:
    """Return the models' methods, that which the answer is about first."""
    models = [method for method in methods if method.group == "model"]
    if not_ranked:
        models.sort(key=lambda method: (method.model != not_ranked, method.arm != "fine-tuned"))
    return [method.name for method in models]


def _lead(
    by_key: Mapping[tuple[str, str], Mapping[str, Any]],
    comparisons: pl.DataFrame | None,
    titles: Mapping[str, str],
    models: Sequence[str],
) -> str:
    """Return the first scored model's score in a sentence, and what it is beside the baseline named beforehand."""
    best = next((name for name in models if _numbers(by_key.get((name, "ap")))[0] is not None), None)
    if best is None:
        return "No model has been scored."
    label = describe(best, titles).label
    value, interval = _cell(*_numbers(by_key[best, "ap"]))
    text = f"{label}: average precision {value} {interval}".rstrip()
    for found in differences(comparisons, titles, family="primary") if comparisons is not None else ():
        if found.method == label and found.metric == wording.METRICS["ap"].short:
            against = wording.in_sentence(found.reference)
            return f"{text}; {found.difference} {found.interval} against {against}: {found.verdict}."
    return f"{text}."


def _numbers(row: Mapping[str, Any] | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if row is None else (row["value"], row["low"], row["high"])


def _cell(value: float | None, low: float | None, high: float | None) -> tuple[str, str]:
    return wording.number(value), wording.interval(low, high, digits=2) if value is not None else ""
