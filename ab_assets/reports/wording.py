"""Numbers and names as a reader sees them; an undefined number is a dash, never 0."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
NBSP = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's key, its column heading, its full name, and whether more of it is better."""

    key: str
    short: str
    title: str
    higher_is_better: bool = True


METRICS = {
    metric.key: metric
    for metric in (
        Metric("ap", "AP", "average precision"),
        Metric("mcc", "MCC", "Matthews correlation coefficient"),
        Metric("auroc", "AUROC", "area under the ROC curve"),
        Metric("f1", "F1", "F1 score"),
        Metric("precision", "Precision", "precision (positive predictive value)"),
        Metric("recall", "Recall", "recall (sensitivity)"),
        Metric("specificity", "Spec.", "specificity"),
        Metric("fpr", "FPR", "false positive rate", higher_is_better=False),
        Metric("balanced_accuracy", "Bal. acc.", "balanced accuracy"),
        Metric("brier", "Brier", "Brier score", higher_is_better=False),
        Metric("ece", "ECE", "expected calibration error", higher_is_better=False),
    )
}

MEASURES = {"vh": "VH", "cdrh3": "CDR-H3", "vl": "VL"}

REGION_NAMES = {
    "fwr1": "FR1",
    "cdr1": "CDR1",
    "fwr2": "FR2",
    "cdr2": "CDR2",
    "fwr3": "FR3",
    "cdr3": "CDR3",
    "fwr4": "FR4",
}

CHAIN_NAMES = {"vh": "heavy chain", "vl": "light chain"}

REASONS = {
    "no-vh": "no heavy chain",
    "no-vl": "no light chain",
    "unlabelled": "no label",
    "duplicate-chains": "same sequence as another row on the chains used",
    "conflicting-labels": "same sequence, contradicting labels",
    "removed_to_separate": "removed to separate the folds",
    "no-sequence": "no sequence",
    "no-cdrh3": "no CDR-H3",
    "cdrh3-mismatch": "the given CDR-H3 is not in the sequence",
    "undeclared-label": "a label that was not declared",
    "undeclared-part": "a part that was not declared",
    "illegal-residue": "letters that are no amino acids",
    "illegal-position": "positions that are not IMGT",
    "illegal-paratope": "paratope labels that cannot be read",
    "length": "too short or too long for a variable domain",
    "length-mismatch": "labels or positions that do not fit the sequence",
    "unknown-chain": "neither heavy nor light chain",
    "duplicate-id": "an identifier that was used before",
    "guard-band": "guard band: too similar to a test row to stay in training",
}


def number(value: float | None, *, digits: int = 3, signed: bool = False) -> str:
    """Return `value` with `digits` decimals and a true minus sign, or a dash when it is undefined."""
    if value is None or math.isnan(value):
        return DASH
    rounded = round(value, digits)
    text = f"{abs(rounded):.{digits}f}"
    if rounded < 0:
        return MINUS + text
    return f"+{text}" if signed and rounded > 0 else text


def interval(low: float | None, high: float | None, *, digits: int = 3, signed: bool = False) -> str:
    """Return "[low, high]", or nothing when either end is undefined."""
    if low is None or high is None:
        return ""
    return f"[{number(low, digits=digits, signed=signed)}, {number(high, digits=digits, signed=signed)}]"


def count(value: float) -> str:
    """Return a whole number with thousands separated by commas."""
    return f"{round(value):,}"


def plural(amount: int, noun: str, nouns: str = "") -> str:
    """Return "1 row", "2 rows"; `nouns` is the plural where adding an s does not make it."""
    return f"{count(amount)} {noun if amount == 1 else nouns or noun + 's'}"


def percent(share: float | None, *, digits: int = 0) -> str:
    """Return a fraction in percent; a share that is not 0 but would round to it is less than 1."""
    if share is None:
        return DASH
    if 0 < share * 100 < 0.5 and digits == 0:
        return f"<{NBSP}1{NBSP}%"
    return f"{share * 100:.{digits}f}{NBSP}%"


def listing(items: list[str], *, last: str = "and") -> str:
    """Return "a", "a and b" or "a, b and c"; `last` is the word before the last."""
    if len(items) < 2:
        return items[0] if items else "nothing"
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def reason(key: str) -> str:
    """Return the words for why a row was left out."""
    return REASONS.get(key, key.replace("-", " ").replace("_", " "))


def verdict(low: float | None, high: float | None, *, metric: str = "ap") -> str:
    """Return what an interval of differences shows: "better", "worse" or "no difference shown"."""
    if low is None or high is None:
        return "not determined"
    if low <= 0 <= high:
        return "no difference shown"
    higher_is_better = METRICS[metric].higher_is_better if metric in METRICS else True
    return "better" if (low > 0) == higher_is_better else "worse"


def in_sentence(name: str) -> str:
    """Return a method's label as it is written inside a sentence: "k-mer ...", "windowed ...", "ESM-2 ..."."""
    keeps_capital = any(letter.isupper() for letter in name[1:]) or name[1:2] == " "
    return name if keeps_capital else name[:1].lower() + name[1:]


def titles_of(models: Sequence[Mapping[str, object]]) -> dict[str, str]:
    """Return model name -> title from the list of models."""
    return {str(model["name"]): str(model.get("title") or model["name"]) for model in models}
