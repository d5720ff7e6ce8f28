"""What methods without a language model predict for the same rows: the least a model has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ab_assets.evaluation.baselines.fitting import fit_items, relabelled
from ab_assets.evaluation.baselines.majority import majority
from ab_assets.evaluation.baselines.position_frequency import position_frequency
from ab_assets.progress import Progress, silent
from ab_assets.tables import PREDICTIONS, conform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ab_assets.benchmarks.schema import Benchmark, Task
    from ab_assets.evaluation.baselines.fitting import Baseline, FitItems, Scores

SHUFFLED = "-shuffled"
ITEM = ("row_id", "chain", "residue", "position", "label")

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
    """Return PREDICTIONS of every baseline of the task for the validation and test rows of each fit.

    `rows`: CURATED, selected and labelled. `roles`: ROLES. Each baseline is fitted on the training rows of each fit,
    and what it can choose is chosen on the validation rows. The primary baseline is also trained and tuned on
    `shuffled_labels` (SHUFFLED_LABELS), as "<baseline>-shuffled". `seed` decides what is random and is the seed that
    the table names; `workers` threads change nothing but the time.

    Raises FitFailedError when a fit has no training, validation or test item, or trains on one class.
    """
    methods = METHODS[benchmark.task]
    control = benchmark.primary_baseline + SHUFFLED
    fits = roles["fit"].unique().sort().to_list()
    steps = len(fits) * (len(methods) + 1)
    parts: list[pl.DataFrame] = []
    for fit in fits:
        chosen = roles.filter(pl.col("fit") == fit)
        true = fit_items(rows, chosen, benchmark, seed=seed, workers=workers)
        permuted = relabelled(rows, shuffled_labels.filter(pl.col("fit") == fit))
        shuffled = fit_items(permuted, chosen, benchmark, seed=seed, workers=workers)
        for method, items in (*((method, true) for method in methods), (control, shuffled)):
            progress(f"{method}, fit {fit}", len(parts), steps)
            scores = _baseline(method.removesuffix(SHUFFLED))(items)
            parts.append(_part(true, scores, method=method, fit=fit, seed=seed))
    progress("baselines", steps, steps)
    return pl.concat(parts)


def _baseline(method: str) -> Baseline:
    # scikit-learn and rapidfuzz load only where a baseline is fitted
    if method == "kmer-logistic":
        from ab_assets.evaluation.baselines.kmer_logistic import kmer_logistic  # noqa: PLC0415

        return kmer_logistic
    if method == "nearest-neighbour":
        from ab_assets.evaluation.baselines.nearest_neighbour import nearest_neighbour  # noqa: PLC0415

        return nearest_neighbour
    if method == "windowed-forest":
        from ab_assets.evaluation.baselines.windowed_forest import windowed_forest  # noqa: PLC0415

        return windowed_forest
    return position_frequency if method == "position-frequency" else majority


def _part(true: FitItems, scores: Scores, *, method: str, fit: int, seed: int) -> pl.DataFrame:
    """Return PREDICTIONS of one method and fit; the labels are the true ones, whatever it was trained on."""
    scored = [
        conform(
            part.select(item for item in ITEM if item in part.columns).with_columns(
                pl.Series("score", values, dtype=pl.Float64),
                method=pl.lit(method),
                fit=pl.lit(fit),
                seed=pl.lit(seed),
                role=pl.lit(role),
            ),
            PREDICTIONS,
        )
        for role, part, values in zip(("validation", "test"), (true.validation, true.test), scores, strict=True)
    ]
    return pl.concat(scored)
