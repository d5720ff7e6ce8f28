"""The answer in one sentence, and what must be read beside it: leakage, missing results, controls that fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from ab_assets.reports import wording
from ab_assets.reports.chance import prevalence
from ab_assets.reports.methods import describe
from ab_assets.splits.certificate import NEARLY_SEEN

if TYPE_CHECKING:
    from ab_assets.reports.methods import Method
    from ab_assets.reports.report_data import ReportData

NARROW = 0.02  # intervals narrower than this need a third decimal


@dataclass(frozen=True, slots=True)
class Banner:
    """A line above the results. kind: "good" (green), "bad" (red) or "mind" (amber)."""

    kind: Literal["good", "bad", "mind"]
    lead: str
    text: str
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Closeness:
    """How near the test rows come to training rows by one measure; numbers as text."""

    measure: str
    gated: bool
    bound: str
    maximum: str
    median: str
    over: str


def _scored(methods: list[Method], data: ReportData) -> list[Method]:
    return [m for m in methods if (row := data.score(m.name, "ap")) is not None and row["value"] is not None]


def leading(data: ReportData) -> Method | None:
    """Return the method the answer is about: the best model, or the first model listed where none may be ranked."""
    models = _scored([method for method in data.methods if method.group == "model"], data)
    if not models:
        return None
    if data.not_ranked:
        first = [m for name in data.benchmark.models for m in models if m.model == name and m.arm == "fine-tuned"]
        return (first or models)[0]
    return models[0]


def answer(data: ReportData) -> str:
    """Return the result in one sentence: average precision with its interval and the difference to the baseline."""
    best = leading(data)
    if best is None:
        baselines = _scored([method for method in data.methods if method.group == "baseline"], data)
        if not baselines:
            return "No method has been scored yet."
        best_baseline = f"{wording.in_sentence(baselines[0].label)}: {_ap(baselines[0], data)}"
        return f"No language model has been scored yet; the best baseline is {best_baseline}."
    others = len({method.model for method in data.methods if method.group == "model"})
    place = ""
    if data.not_ranked:
        place = " (not ranked)"
    elif others > 1:
        place = f", the highest of {others} models"
    return f"{best.label}{place}: {_ap(best, data)}; {_against(best, data)}."


def _digits(low: object, high: object) -> int:
    narrow = isinstance(low, float) and isinstance(high, float) and high - low < NARROW
    return 3 if narrow else 2


def _ap(method: Method, data: ReportData) -> str:
    row = data.score(method.name, "ap") or {}
    value, low, high = row.get("value"), row.get("low"), row.get("high")
    digits = _digits(low, high)
    shown = wording.number(value, digits=digits)
    return f"AP {shown} {wording.interval(low, high, digits=digits)}".rstrip()


def _against(method: Method, data: ReportData) -> str:
    baseline = data.benchmark.primary_baseline
    name = describe(baseline, {}).label
    found = data.comparisons.filter(
        pl.col("method") == method.name,
        pl.col("reference") == baseline,
        pl.col("metric") == "ap",
        pl.col("family") == "primary",
        pl.col("difference").is_not_null(),
    )
    if found.is_empty():
        return f"not compared with {wording.in_sentence(name)}"
    row = found.row(0, named=True)
    digits = _digits(row["low"], row["high"])
    difference = wording.number(row["difference"], digits=digits, signed=True)
    ends = wording.interval(row["low"], row["high"], digits=digits)
    shown = wording.verdict(row["low"], row["high"])
    return f"against the {wording.in_sentence(name)}: {difference} {ends}: {shown}"


def closeness(data: ReportData) -> tuple[Closeness, ...]:
    """Return how near test rows come to training rows, one entry per measure."""
    tested = data.nearest.filter(pl.col("role") == "test")
    found = []
    for measure, name in wording.MEASURES.items():
        identity = tested.filter(pl.col("by") == measure)["identity"].drop_nulls().to_numpy()
        if not identity.size:
            continue
        bound = data.bounds.get(measure)
        number = int((identity >= (NEARLY_SEEN if bound is None else bound) - 1e-9).sum())
        over = f"{wording.count(number)} of {wording.count(len(identity))} ({wording.percent(number / len(identity))})"
        if bound is None:
            over += f" at {wording.number(NEARLY_SEEN, digits=2)}"
        found.append(
            Closeness(
                measure=name,
                gated=bound is not None,
                bound="reported only" if bound is None else wording.number(bound, digits=2),
                maximum=wording.number(float(identity.max())),
                median=wording.number(float(np.median(identity))),
                over=over,
            )
        )
    return tuple(found)


def over_any_bound(data: ReportData) -> float | None:
    """Return the share of test rows (per fit) at or above any declared bound; None when nothing was measured."""
    bounds = {measure: bound for measure, bound in data.bounds.items() if bound is not None}
    tested = data.nearest.filter((pl.col("role") == "test") & pl.col("by").is_in(list(bounds)))
    if tested.is_empty():
        return None
    over = tested["identity"] >= tested["by"].replace_strict(bounds, return_dtype=pl.Float64) - 1e-9
    rows = tested.with_columns(over=over).group_by("fit", "row_id").agg(pl.col("over").any())
    return float(rows["over"].to_numpy().mean())


def certificate_banner(data: ReportData) -> Banner:
    """Return the red banner of a waived or failed certificate, or the green line of a certified split."""
    near = closeness(data)
    gated = [f"{c.measure} {c.maximum}" for c in near if c.gated]
    free = [f"{c.measure} {c.maximum}" for c in near if not c.gated]
    maxima = wording.listing(gated) + (f" (not gated: {wording.listing(free)})" if free else "")
    bounds = wording.listing(
        [
            f"{wording.MEASURES.get(m, m)} {wording.number(b, digits=2)}"
            for m, b in data.bounds.items()
            if b is not None
        ],
        last="or",
    )
    share = over_any_bound(data)
    policy = str(data.certificate.get("policy", data.benchmark.split.policy))
    if data.waived:
        measured = (
            f"Highest identity of a test row to a training row: {maxima}. " if near else "Identity was not measured. "
        )
        counted = "" if share is None else f"{wording.percent(share)} of test rows reach the bound ({bounds}). "
        meaning = (
            "Scores on new antibodies that resemble none of the training rows may be lower than what is shown here."
            if share is None or share > 0
            else "No test row reaches it, but nothing would have stopped one."
        )
        return Banner("bad", f"Leakage certificate waived (policy: {policy})", f"{measured}{counted}{meaning}")
    if not data.certificate.get("passed", False):
        return Banner("bad", "Leakage certificate failed", f"Highest identities: {maxima}; bounds: {bounds}.")
    if policy in {"group", "time"} and not bounds:
        return Banner("good", "Certified", f"No group stands on both sides of a split. Highest identity: {maxima}.")
    return Banner(
        "good", "Certified", f"no test row reaches {bounds} identity to a training row of its fit; highest: {maxima}."
    )


def banners(data: ReportData) -> tuple[Banner, ...]:
    """Return everything that must be read before the numbers, the certificate first."""
    shown = [certificate_banner(data)]
    if data.not_ranked:
        shown.append(Banner("mind", "Methods are not ranked", "", tuple(data.not_ranked)))
    if data.warnings:
        shown.append(Banner("mind", "To keep in mind", "", tuple(data.warnings)))
    if data.missing:
        shown.append(Banner("mind", "Not in this report", "", tuple(data.missing)))
    failing = failing_controls(data)
    if failing:
        text = (
            "They were trained on labels that carry no information. Among several, one may stand out by chance; where "
            "the excess is large, read the other results against it and not against 0.5."
        )
        shown.append(Banner("mind", "Controls above chance", text, failing))
    return tuple(shown)


def failing_controls(data: ReportData) -> tuple[str, ...]:
    """Return the controls whose AUROC interval lies above 0.5."""
    found = []
    for method in data.methods:
        row = data.score(method.name, "auroc") if method.group == "control" else None
        if row is not None and isinstance(row["low"], float) and row["low"] > 0.5:
            numbers = f"{wording.number(row['value'])} {wording.interval(row['low'], row['high'])}"
            found.append(f"{method.label}: AUROC {numbers}")
    return tuple(found)


def facts(data: ReportData) -> tuple[tuple[str, str], ...]:
    """Return what a reader must know to place the numbers: task, chains, split, sizes."""
    benchmark = data.benchmark
    unit = "of residues" if benchmark.task == "paratope" else "positive"
    split = benchmark.split
    share = prevalence(data.scores)
    clusters = data.scores["clusters"].max()
    chains = {"H": "heavy", "L": "light", "HL": "heavy and light"}[benchmark.chains]
    fits, seeds = wording.plural(data.sizes["fit"].n_unique(), "fit"), wording.plural(len(split.seeds), "seed")
    entries = [
        ("Task", benchmark.task.replace("-", " ")),
        ("Chains", chains),
        ("Antibodies", wording.count(data.used)),
        ("Test prevalence", f"{wording.percent(share, digits=1)} {unit}" if share is not None else wording.DASH),
        ("Split", f"{split.policy}, {fits} \N{MULTIPLICATION SIGN} {seeds}"),
        ("Clusters resampled", wording.count(int(str(clusters))) if clusters is not None else wording.DASH),
    ]
    return tuple(entries)
