"""What a method is called, which group it belongs to, and the order in which methods are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

Group = Literal["model", "baseline", "control"]

ARMS = {"fine-tuned": "fine-tuned", "frozen-probe": "frozen probe", "frozen-svm": "frozen SVM"}
SHUFFLED = "-shuffled"

BASELINES = {
    "majority": "Majority class",
    "kmer-logistic": "k-mer logistic regression",
    "nearest-neighbour": "Nearest neighbour",
    "position-frequency": "Position frequency",
    "windowed-forest": "Windowed random forest",
    "vj-genes": "V and J genes",
}

GROUPS: dict[Group, str] = {
    "model": "Language models",
    "baseline": "Baselines",
    "control": "Controls: trained on shuffled labels",
}


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the report. `name` is the key in the tables, `label` is what a reader sees, unescaped."""

    name: str
    label: str
    group: Group
    arm: str
    model: str


def describe(name: str, titles: Mapping[str, str]) -> Method:
    """Return what the method key `name` stands for; `titles` maps model names to their titles."""
    shuffled = name.endswith(SHUFFLED)
    plain = name.removesuffix(SHUFFLED)
    model, _, arm = plain.rpartition(" ")
    if arm in ARMS and model:
        label = f"{titles.get(model, model)} {ARMS[arm]}"
        group: Group = "control" if shuffled else "model"
        return Method(name, f"{label}, shuffled labels" if shuffled else label, group, arm, model)
    label = BASELINES.get(plain, plain)
    if shuffled:
        return Method(name, f"{label}, shuffled labels", "control", "baseline", "")
    return Method(name, label, "baseline", "baseline", "")


def ordered(scores: pl.DataFrame, titles: Mapping[str, str], *, metric: str = "ap") -> list[Method]:
    """Return every method of a SCORES table: models, baselines, controls, each by falling `metric`, undefined last."""
    lead = {
        row["method"]: row["value"]
        for row in scores.iter_rows(named=True)
        if row["metric"] == metric and row["view"] == "all" and row["value"] is not None
    }
    methods = [describe(name, titles) for name in scores["method"].unique().sort().to_list()]
    rank = {group: place for place, group in enumerate(GROUPS)}
    return sorted(methods, key=lambda m: (rank[m.group], m.name not in lead, -lead.get(m.name, 0.0), m.name))


def grouped(methods: list[Method]) -> dict[Group, list[Method]]:
    """Return the methods by group, in the order of GROUPS, leaving empty groups out."""
    by_group = {group: [method for method in methods if method.group == group] for group in GROUPS}
    return {group: members for group, members in by_group.items() if members}
