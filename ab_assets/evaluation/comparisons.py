"""Paired differences between methods on the same resamples, with intervals that hold for a whole family at once."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ab_assets.errors import CorruptArtifactError, UnknownNameError
from ab_assets.evaluation.bootstrap import CONFIDENCE, interval
from ab_assets.tables import COMPARISONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Values = Mapping[tuple[str, str], Floats]
    Pair = tuple[str, str]

# Average precision leads.
COMPARED = ("ap", "mcc", "auroc")

SHUFFLED = "-shuffled"


def compare(
    resampled: pl.DataFrame, scores: pl.DataFrame, *, methods: Sequence[str], primary_baseline: str
) -> pl.DataFrame:
    """Return COMPARISONS from the RESAMPLED values and SCORES of all methods, joined into one table each.

    The primary family is every one of `methods` (the models' methods; controls are passed over) against
    `primary_baseline`; for each metric its intervals hold simultaneously. Exploratory, each interval on its own: all
    other pairs of methods that are no controls, and each method against its own control. A difference is null where a
    metric is undefined for either method.

    Raises UnknownNameError when the baseline or a method has no scores, CorruptArtifactError when methods were
    resampled differently.
    """
    known = scores["method"].unique(maintain_order=True).to_list()
    _require_known([primary_baseline, *methods], known)
    _require_paired(resampled)
    values = {
        (method, metric): drawn.to_numpy()
        for method, metric, drawn in zip(resampled["method"], resampled["metric"], resampled["values"], strict=True)
    }
    points = {
        (method, metric): value
        for method, metric, value in scores.filter(pl.col("view") == "all").select("method", "metric", "value").rows()
    }
    primary = [(method, primary_baseline) for method in methods if not _is_control(method)]
    others = _exploratory(known, methods, primary_baseline)
    rows = [
        row
        for metric in COMPARED
        for row in (
            *_family(primary, metric, values, points),
            *(_pointwise(pair, metric, values, points) for pair in others),
        )
    ]
    return pl.DataFrame(rows, schema=COMPARISONS, orient="row")


def simultaneous(differences: Floats, resampled: Floats) -> list[tuple[float, float]]:
    """Return intervals that contain all (method,) differences together in 95 % of resamples: max-T.

    resampled: (method, resample). Each interval is the difference plus or minus the same multiple of its own standard
    error; the multiple is the 95 % quantile of the largest standardised deviation (Romano & Wolf 2005, Econometrica
    73:1237-1282). Resamples in which any difference is undefined are left out.
    """
    complete = resampled[:, np.isfinite(resampled).all(axis=0)]
    if complete.shape[1] < 2:
        return []
    errors = complete.std(axis=1, ddof=1)
    deviations = np.abs(complete - differences[:, None])
    scaled = np.divide(deviations, errors[:, None], out=np.zeros_like(deviations), where=errors[:, None] > 0)
    multiple = float(np.quantile(scaled.max(axis=0), CONFIDENCE))
    return [(float(d - multiple * e), float(d + multiple * e)) for d, e in zip(differences, errors, strict=True)]


def _family(
    pairs: Sequence[Pair], metric: str, values: Values, points: Mapping[Pair, float | None]
) -> list[tuple[str, str, str, float | None, float | None, float | None, str]]:
    defined = [pair for pair in pairs if _difference(pair, metric, points) is not None]
    ends: dict[Pair, tuple[float, float]] = {}
    if defined:
        differences = np.array([_difference(pair, metric, points) for pair in defined], dtype=np.float64)
        resampled = np.stack([values[a, metric] - values[b, metric] for a, b in defined])
        ends = dict(zip(defined, simultaneous(differences, resampled), strict=False))
    return [
        (*pair, metric, _difference(pair, metric, points), *ends.get(pair, (None, None)), "primary") for pair in pairs
    ]


def _pointwise(
    pair: Pair, metric: str, values: Values, points: Mapping[Pair, float | None]
) -> tuple[str, str, str, float | None, float | None, float | None, str]:
    difference = _difference(pair, metric, points)
    ends = None if difference is None else interval(values[pair[0], metric] - values[pair[1], metric])
    return (*pair, metric, difference, *(ends or (None, None)), "exploratory")


def _difference(pair: Pair, metric: str, points: Mapping[Pair, float | None]) -> float | None:
    one, other = (points[method, metric] for method in pair)
    return None if one is None or other is None else one - other


def _exploratory(known: Sequence[str], methods: Sequence[str], primary_baseline: str) -> list[Pair]:
    first = [*methods, *(method for method in known if method not in methods)]
    plain = [method for method in first if not _is_control(method)]
    primary = {frozenset((method, primary_baseline)) for method in methods}
    pairs = [pair for pair in combinations(plain, 2) if frozenset(pair) not in primary]
    return [*pairs, *((method, method + SHUFFLED) for method in plain if method + SHUFFLED in known)]


def _is_control(method: str) -> bool:
    return method.endswith(SHUFFLED)


def _require_known(named: Sequence[str], known: Sequence[str]) -> None:
    for method in named:
        if method not in known:
            raise UnknownNameError(
                what=f"method {method!r} has no scores", found=", ".join(known), hint="Score it before comparing."
            )


def _require_paired(resampled: pl.DataFrame) -> None:
    different = resampled.group_by("draws").agg(pl.col("method").unique().sort()).sort("draws")
    lengths = resampled["values"].list.len().n_unique()
    if different.height > 1 or lengths > 1:
        raise CorruptArtifactError(
            what="methods were resampled differently and cannot be compared in pairs",
            where="metric_table",
            found="; ".join(", ".join(methods) for methods in different["method"]),
            hint="Materialize model_metrics of these models again.",
        )
