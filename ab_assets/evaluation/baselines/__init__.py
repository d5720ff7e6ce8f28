"""What methods without a language model predict for the same rows: the least a model has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ab_assets.errors import BadInputError, FitFailedError
from ab_assets.evaluation.baselines.fitting import Baseline, FitItems, antibody_items, relabelled, residue_items
from ab_assets.progress import Progress, silent
from ab_assets.tables import PREDICTIONS, conform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ab_assets.benchmarks.schema import Benchmark, Task

SHUFFLED = "-shuffled"

METHODS: Mapping[Task, tuple[str, ...]] = {
    "antigen-specificity": ("majority", "kmer-logistic", "nearest-neighbour"),
    "paratope": ("majority", "position-frequency", "windowed-forest"),
}


def baseline_predictions(
    rows: pl.DataFrame,
    roles: pl.DataFrame,
    benchmark: Benchmark,
    shuffled_labels: pl.DataFrame,
    *,
    seed: int,
    workers: int = 1,
    progress: Progress = silent,
) -> pl.DataFrame:
    """Return PREDICTIONS of every baseline of the task for validation and test rows, sorted.

    `rows`: CURATED, selected and labelled. `roles`: ROLES. Each baseline is fitted on the training rows of each fit,
    and what it can choose is chosen on the validation rows. The primary baseline is also trained and tuned on
    `shuffled_labels` (SHUFFLED_LABELS), as "<baseline>-shuffled". `seed` decides what is random and is the seed that
    the table names; `workers` threads change nothing but the time.

    Raises BadInputError when the primary baseline is none of the task's, FitFailedError when a fit has no training,
    validation or test row, or trains on one class.
    """
    names = METHODS[benchmark.task]
    primary = benchmark.primary_baseline
    if primary not in names:
        raise BadInputError(
            what="the primary baseline does not belong to this task",
            where=f"{benchmark.name}/benchmark.toml: evaluation.primary_baseline",
            found=primary,
            expected=" or ".join(names),
        )
    items_of = residue_items if benchmark.task == "paratope" else antibody_items
    true_items = items_of(rows, benchmark.chain_names)
    fits = sorted(roles["fit"].unique().to_list())
    parts: list[pl.DataFrame] = []
    total = len(fits) * (len(names) + 1)
    for fit in fits:
        shuffled = relabelled(rows, shuffled_labels.filter(pl.col("fit") == fit))
        true = _fit_items(true_items, roles, fit, benchmark.chain_names)
        control = _fit_items(items_of(shuffled, benchmark.chain_names), roles, fit, benchmark.chain_names)
        for method, items in (*((name, true) for name in names), (primary + SHUFFLED, control)):
            progress(f"{method}, fit {fit}", len(parts) // 2, total)
            scores = _baseline(method.removesuffix(SHUFFLED))(items, seed=seed, workers=workers)
            parts += [
                true_part.with_columns(
                    pl.Series("score", values, dtype=pl.Float64), method=pl.lit(method), fit=fit, role=pl.lit(role)
                )
                for role, true_part, values in zip(("validation", "test"), (true.validation, true.test), scores, strict=True)
            ]
    progress("baselines", total, total)
    return _table(parts, seed)
