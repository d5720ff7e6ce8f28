"""What a method reaches that knows nothing: the mark against which scores are read."""

from __future__ import annotations

import numpy as np
import polars as pl


def chance(scores: pl.DataFrame, metric: str) -> float | None:
    """Return what a method that knows nothing reaches: prevalence for AP, 0 for MCC, 0.5 for AUROC."""
    if metric != "ap":
        return {"mcc": 0.0, "auroc": 0.5, "balanced_accuracy": 0.5}.get(metric)
    return prevalence(scores)


def prevalence(scores: pl.DataFrame, view: str = "all") -> float | None:
    """Return the share of positives among the test rows of a view, or None when it was not stored."""
    stored = scores.filter((pl.col("metric") == "prevalence") & (pl.col("view") == view))["value"].drop_nulls()
    if len(stored):
        return float(np.median(stored.to_numpy()))
    counted = scores.filter((pl.col("view") == view) & (pl.col("positives") + pl.col("negatives") > 0))
    if counted.is_empty():
        return None
    row = counted.row(0, named=True)
    return float(row["positives"] / (row["positives"] + row["negatives"]))
