"""The test items of one method, fit and seed as arrays, checked: what metrics and resampling read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import polars as pl

from ab_assets.datasets import imgt
from ab_assets.errors import CorruptArtifactError
from ab_assets.evaluation.units import UNITS
from ab_assets.tables import conform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

_ITEM = ["row_id", "chain", "residue"]
_FITTED = ["method", "fit", "seed"]


@dataclass(frozen=True, slots=True)
class Sample:
    """Test items (antibodies or residues) of one fit and seed of a method; all arrays are (item,).

    units: index of the resampled unit. chains: index of the item's antibody chain. items: index of the item, the same
    in every method, fit and seed. views: name of a subset -> which items belong to it.
    """

    fit: int
    seed: int
    threshold: float
    labels: NDArray[np.bool_]
    scores: NDArray[np.float64]
    units: NDArray[np.int32]
    chains: NDArray[np.int32]
    items: NDArray[np.int64]
    views: Mapping[str, NDArray[np.bool_]]

    def of_view(self, view: str) -> Self:
        """Return the items of one view."""
        if view not in self.views:
            return self
        chosen = self.views[view]
        return type(self)(
            self.fit,
            self.seed,
            self.threshold,
            self.labels[chosen],
            self.scores[chosen],
            self.units[chosen],
            self.chains[chosen],
            self.items[chosen],
            {},
        )


@dataclass(frozen=True, slots=True)
class Samples:
    """All samples of a PREDICTIONS table and what they have in common.

    by_method: the samples of each method, by fit and seed.
    units: sorted names of the resampled units. unseen: method -> test items without a score. key: digest of the units
    and of the antibodies tested in each fit; results with the same key are paired.
    """

    by_method: Mapping[str, Sequence[Sample]]
    units: tuple[str, ...]
    views: tuple[str, ...]
    unseen: Mapping[str, int]
    key: str


def read_samples(predictions: pl.DataFrame, thresholds: pl.DataFrame, units: pl.DataFrame, *, views: bool) -> Samples:
    """Return the test items of PREDICTIONS with THRESHOLDS and UNITS; `views` adds chains and IMGT regions.

    Items without a label are left out, items without a score too, but counted.

    Raises CorruptArtifactError when an item occurs twice, a score is not a number, a fit has no threshold, a row has
    no unit, or methods were tested on different items.
    """
    test = predictions.filter(pl.col("role") == "test").drop_nulls("label")
    _check(test)
    units = conform(units, UNITS)
    names = units.join(test.select("row_id").unique(), on="row_id", how="semi")["unit"].unique().sort().to_list()
    unit_index = pl.DataFrame({"unit": names, "unit_index": range(len(names))}, schema_overrides={"unit": pl.String})
    items = test.select(_ITEM).unique().sort(_ITEM).with_row_index("item")
    joined = (
        test.join(units.join(unit_index, on="unit").select("row_id", "unit_index"), on="row_id", how="left")
        .join(items, on=_ITEM, how="left", nulls_equal=True)
        .join(thresholds.select(*_FITTED, "threshold"), on=_FITTED, how="left")
        .with_columns(
            chain_index=pl.struct("row_id", "chain").rank("dense") - 1,
            region=pl.col("position").replace_strict(_regions(test), default=None, return_dtype=pl.String),
        )
    )
    _require(joined, "unit_index", "has no cluster", hint="Materialize similarity_graph again.")
    _require(joined, "threshold", "has no threshold", hint="Make thresholds from the same predictions.")
    view_names = _views(joined) if views else ()
    samples: dict[str, list[Sample]] = {}
    for (method, fit, seed), part in sorted(joined.drop_nulls("score").partition_by(_FITTED, as_dict=True).items()):
        samples.setdefault(method, []).append(_sample(part, fit=fit, seed=seed, views=view_names))
    unseen = joined.filter(pl.col("score").is_null()).group_by("method").len().sort("method")
    return Samples(samples, tuple(names), view_names, dict(unseen.iter_rows()), _pairing_key(test, names))


def _sample(part: pl.DataFrame, *, fit: int, seed: int, views: Sequence[str]) -> Sample:
    place = {"chain": part["chain"], "region": part["region"]}
    return Sample(
        fit=fit,
        seed=seed,
        threshold=float(part["threshold"][0]),
        labels=part["label"].to_numpy(),
        scores=part["score"].to_numpy(),
        units=part["unit_index"].cast(pl.Int32).to_numpy(),
        chains=part["chain_index"].cast(pl.Int32).to_numpy(),
        items=part["item"].cast(pl.Int64).to_numpy(),
        views={
            view: (place[kind] == value).fill_null(value=False).to_numpy()
            for view in views
            for kind, _, value in [view.partition(":")]
        },
    )


def _regions(test: pl.DataFrame) -> dict[str, str]:
    return {position: imgt.region_of(position) for position in test["position"].drop_nulls().unique()}


def _views(joined: pl.DataFrame) -> tuple[str, ...]:
    chains = joined["chain"].drop_nulls().unique().sort().to_list()
    present = set(joined["region"].drop_nulls().unique())
    regions = [region for region in imgt.REGIONS if region in present]
    return (*(f"chain:{chain}" for chain in chains), *(f"region:{region}" for region in regions))


def _check(test: pl.DataFrame) -> None:
    wrong = test.filter(pl.col("score").is_nan() | pl.col("score").is_infinite())
    if wrong.height:
        raise CorruptArtifactError(
            what=f"{wrong.height} scores are not finite numbers",
            where=f"predictions of {wrong['method'][0]}",
            found=f"row {wrong['row_id'][0]}: {wrong['score'][0]}",
        )
    twice = test.filter(test.select(*_FITTED, *_ITEM).is_duplicated())
    if twice.height:
        raise CorruptArtifactError(
            what="test items are scored twice by one fit",
            where=f"predictions of {twice['method'][0]}",
            found=f"row {twice['row_id'][0]}",
        )
    item = pl.struct("row_id", "chain", "residue", "label").hash()
    seen = test.group_by(_FITTED).agg(items=pl.len(), digest=item.sum()).sort(_FITTED)
    kinds = seen.group_by("fit", maintain_order=True).agg(pl.struct("items", "digest").n_unique().alias("kinds"))
    different = kinds.filter(pl.col("kinds") > 1)
    if different.height:
        raise CorruptArtifactError(
            what=f"methods were tested on different items in fit {different['fit'][0]}",
            where="predictions",
            found="; ".join(f"{m}: {n}" for m, n in seen.select("method", "items").unique(maintain_order=True).rows()),
            expected="the same rows and labels for every method and seed",
        )


def _require(joined: pl.DataFrame, column: str, what: str, *, hint: str) -> None:
    lacking = joined.filter(pl.col(column).is_null())
    if lacking.height:
        method, fit, seed, row = lacking.select(*_FITTED, "row_id").row(0)
        raise CorruptArtifactError(
            what=f"a tested antibody {what}",
            where=f"predictions of {method}, fit {fit}, seed {seed}",
            found=row,
            hint=hint,
        )


def _pairing_key(test: pl.DataFrame, units: Sequence[str]) -> str:
    tested = test.select("fit", "row_id").unique().sort("fit", "row_id")
    parts = [*units, *(f"{fit} {row}" for fit, row in tested.iter_rows())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
