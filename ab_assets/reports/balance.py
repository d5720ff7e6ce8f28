"""Where every source row went: totals that equal the sum of their parts, and say so when they do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from ab_assets.reports import wording

if TYPE_CHECKING:
    from ab_assets.reports.report_data import ReportData


@dataclass(frozen=True, slots=True)
class Account:
    """A total and its parts (number, words), the kept part first."""

    total: int
    of: str
    parts: tuple[tuple[int, str], ...]

    @property
    def balanced(self) -> bool:
        """Whether the parts add up to the total."""
        return self.total == sum(number for number, _ in self.parts)

    @property
    def sentence(self) -> str:
        """The account on one line."""
        parts = " + ".join(f"{wording.count(number)} {words}" for number, words in self.parts)
        return f"{wording.count(self.total)} {self.of} {'=' if self.balanced else 'are not'} {parts}"


@dataclass(frozen=True, slots=True)
class FitSizes:
    """One fit: for training, validation and test "antibodies (positives, share)" as text."""

    fit: int
    train: str
    validation: str
    test: str


def accounts(data: ReportData) -> tuple[Account, ...]:
    """Return the way from source rows to the antibodies of the split, as three accounts that balance."""
    counts = data.curation
    kept, antibodies, merged = counts["kept_source_rows"], counts["rows"], counts.get("merged_duplicates", 0)
    most_first = sorted(counts["rejected"].items(), key=lambda item: (-item[1], item[0]))
    rejected = [(number, f"rejected: {wording.reason(key)}") for key, number in most_first]
    by_reason = data.removed.group_by("reason").len().sort("len", "reason", descending=[True, False])
    removed = [(number, wording.reason(key)) for key, number in by_reason.iter_rows()]
    joined = [
        (merged, "merged into an antibody with the same sequences"),
        (kept - antibodies - merged, "joined to another chain of their antibody"),
    ]
    return (
        Account(counts["source_rows"], "source rows", ((kept, "kept"), *rejected)),
        Account(kept, "kept rows", ((antibodies, "antibodies"), *[part for part in joined if part[0]])),
        Account(antibodies, "antibodies", ((data.used, "in the split"), *removed)),
    )


def fit_sizes(data: ReportData) -> tuple[FitSizes, ...]:
    """Return the size and class counts of every role of every fit."""
    rows = []
    for fit in data.sizes["fit"].unique().sort():
        of_fit = data.sizes.filter(pl.col("fit") == fit)
        by_role = {row["role"]: _size(row) for row in of_fit.iter_rows(named=True)}
        rows.append(FitSizes(fit, *(by_role.get(role, wording.DASH) for role in ("train", "validation", "test"))))
    return tuple(rows)


def _size(row: dict[str, int]) -> str:
    total = row["positives"] + row["negatives"]
    share = wording.percent(row["positives"] / total, digits=1) if total else wording.DASH
    return f"{wording.count(row['antibodies'])} ({wording.count(row['positives'])} of {wording.count(total)}, {share})"
