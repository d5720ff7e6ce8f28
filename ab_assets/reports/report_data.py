"""Everything a report says, as plain tables and mappings that stored artifacts hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from ab_assets import tables
from ab_assets.reports.inputs import SIZES
from ab_assets.reports.methods import Method, ordered
from ab_assets.reports.wording import titles_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ab_assets.benchmarks.schema import Benchmark

CONFORMING = {
    "scores": tables.SCORES,
    "comparisons": tables.COMPARISONS,
    "nearest": tables.NEAREST,
    "ladder": tables.LADDER,
    "rungs": tables.RUNGS,
    "removed": tables.REMOVED,
    "predictions": tables.PREDICTIONS,
    "sizes": SIZES,
}


@dataclass(frozen=True, slots=True)
class ReportData:
    """What one report is made from.

    Methods in `scores`, `comparisons` and `predictions` are named "<model> fine-tuned", "<model> frozen-probe", the
    same with "-shuffled", or as the baselines are.

    Attributes:
        benchmark: the question.
        scores: SCORES of all models and baselines.
        comparisons: COMPARISONS.
        curation: the counts of the curated dataset: "source_rows", "kept_source_rows", "rejected" (reason -> source
            rows), "rows" (antibodies), "merged_duplicates".
        used: how many distinct antibodies have a role in any fit.
        removed: REMOVED, antibodies that take part in no fit.
        sizes: inputs.SIZES (`inputs.split_sizes`).
        split_summary: facts about the split, name -> text or number, shown as they are.
        certificate: "policy", "bounds" (measure -> bound or None), "enforced", "passed", "maxima" (a list of mappings
            with "fit", "by", "identity" and, where told apart, "role").
        nearest: NEAREST.
        ladder, rungs: LADDER and RUNGS; `left_out`: rung -> why it is not there.
        predictions: PREDICTIONS; only test rows are read.
        histories: one mapping per epoch: "model", "fit", "seed", "arm", "epoch", "train_loss", "validation_loss".
        models: one mapping per model: "name", "title", "parameters", "licence", "revision".
        provenance: heading -> (name -> value), or heading -> value.
        residues: residue_map.RESIDUES (`inputs.residues_to_show`) for paratopes, and the method they are shown for.
        attention: model name -> ATTENTION.
        missing: what is not in the table and why, one sentence each.
        not_ranked: why methods are not ranked, one sentence each; empty when they are.
        warnings: what else must be known before the numbers are read, one sentence each.
    """

    benchmark: Benchmark
    scores: pl.DataFrame
    comparisons: pl.DataFrame
    curation: Mapping[str, Any]
    used: int
    removed: pl.DataFrame
    sizes: pl.DataFrame
    split_summary: Mapping[str, object]
    certificate: Mapping[str, object]
    nearest: pl.DataFrame
    predictions: pl.DataFrame
    histories: Sequence[Mapping[str, object]]
    models: Sequence[Mapping[str, object]]
    provenance: Mapping[str, object]
    residues: pl.DataFrame | None = None
    residues_method: str = ""
    attention: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    ladder: pl.DataFrame = field(default_factory=tables.LADDER.to_frame)
    rungs: pl.DataFrame = field(default_factory=tables.RUNGS.to_frame)
    left_out: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[str] = ()
    not_ranked: Sequence[str] = ()
    warnings: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Raises CorruptArtifactError when a table has a column that its schema does not know."""
        for name, schema in CONFORMING.items():
            object.__setattr__(self, name, tables.conform(getattr(self, name), schema))

    @property
    def titles(self) -> dict[str, str]:
        """Model name -> title."""
        return titles_of(self.models)

    @property
    def methods(self) -> list[Method]:
        """Every scored method: models, baselines, controls, each by falling average precision."""
        return ordered(self.scores, self.titles)

    @property
    def waived(self) -> bool:
        """Whether the split was accepted without an enforced bound."""
        return not self.certificate.get("enforced", False)

    @property
    def bounds(self) -> dict[str, float | None]:
        """Measure -> declared identity bound."""
        bounds = self.certificate.get("bounds")
        if not isinstance(bounds, Mapping):
            return {}
        return {str(measure): None if bound is None else float(bound) for measure, bound in bounds.items()}

    def score(self, method: str, metric: str, *, view: str = "all") -> dict[str, Any] | None:
        """Return the SCORES row of one method, metric and view, or None."""
        found = self.scores.filter(
            (pl.col("method") == method) & (pl.col("metric") == metric) & (pl.col("view") == view)
        )
        return found.row(0, named=True) if found.height else None
