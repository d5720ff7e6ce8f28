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
# Residues that all shuffles of a forest train on, at most: some ten seconds.
FOREST_RESIDUES = 100_000
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
    and what it can choose is chosen on the validation rows. The primary baseline is also trained and tuned on each of
    the `shuffled_labels` (SHUFFLED_LABELS) that it has the time for, as "<baseline>-shuffled": shuffle k under the seed
    `seed` + k. `seed` decides what is random and is the seed that the table names; `workers` threads change nothing but
    the time.

    Raises FitFailedError when a fit has no training, validation or test item, or trains on one class.
    """
    methods = methods_for(rows, benchmark)
    control = benchmark.primary_baseline + SHUFFLED
    fits = roles["fit"].unique().sort().to_list()
    parts: list[pl.DataFrame] = []
    steps = 0
    for fit in fits:
        chosen = roles.filter(pl.col("fit") == fit)
        labels = shuffled_labels.filter(pl.col("fit") == fit).partition_by("shuffle", maintain_order=True)
        true = fit_items(rows, chosen, benchmark, seed=seed, workers=workers)
        labels = labels[: _affordable(control, true)]
        per_fit = len(methods) + len(labels)
        steps += per_fit
        for method in methods:
            progress(f"{method}, fit {fit}", len(parts), len(fits) * per_fit)
            parts.append(predictions_of(true, baseline_of(method)(true), method=method, fit=fit, seed=seed))
        for shuffle, permuted in enumerate(labels):
            progress(f"{control} {shuffle}, fit {fit}", len(parts), len(fits) * per_fit)
            items = fit_items(relabelled(rows, permuted), chosen, benchmark, seed=seed, workers=workers)
            scores = baseline_of(control.removesuffix(SHUFFLED))(items)
            parts.append(predictions_of(true, scores, method=control, fit=fit, seed=seed + shuffle))
    progress("baselines", steps, steps)
    return pl.concat(parts)


def methods_for(rows: pl.DataFrame, benchmark: Benchmark) -> tuple[str, ...]:
    """Return the baselines that can be fitted on CURATED `rows`: V and J genes, of VH, where most rows have them."""
    if benchmark.task == "paratope" or "vh" not in benchmark.chain_names:
        return METHODS[benchmark.task]
    from ab_assets.evaluation.baselines.vj_genes import genes_are_given  # noqa: PLC0415 - scikit-learn

    return (*METHODS[benchmark.task], *(("vj-genes",) if genes_are_given(rows) else ()))


def _affordable(control: str, items: FitItems) -> int | None:
    """Return how many shuffles there is time for, None for all of them."""
    return max(1, FOREST_RESIDUES // items.train.height) if control.startswith("windowed-forest") else None


def baseline_of(method: str) -> Baseline:
    """Return the baseline of this name; scikit-learn and rapidfuzz load only where one is fitted."""
    if method == "kmer-logistic":
        from ab_assets.evaluation.baselines.kmer_logistic import kmer_logistic  # noqa: PLC0415

        return kmer_logistic
    if method == "vj-genes":
        from ab_assets.evaluation.baselines.vj_genes import vj_genes  # noqa: PLC0415

        return vj_genes
    if method == "nearest-neighbour":
        from ab_assets.evaluation.baselines.nearest_neighbour import nearest_neighbour  # noqa: PLC0415

        return nearest_neighbour
    if method == "windowed-forest":
        from ab_assets.evaluation.baselines.windowed_forest import windowed_forest  # noqa: PLC0415

        return windowed_forest
    return position_frequency if method == "position-frequency" else majority


def predictions_of(true: FitItems, scores: Scores, *, method: str, fit: int, seed: int) -> pl.DataFrame:
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
