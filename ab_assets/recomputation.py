"""A sample of what was kept, computed again: embeddings from the weights, predictions from the stored fits."""

from __future__ import annotations

import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import polars as pl

from ab_assets.errors import AbAssetsError, UnavailableError
from ab_assets.models.availability import require_available
from ab_assets.plan import plan
from ab_assets.products import products_for
from ab_assets.training.products import CHECKPOINTS, PROBES, fit_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ab_assets.artifacts.store import Artifact, Ref
    from ab_assets.home import Home
    from ab_assets.progress import Progress
    from ab_assets.training.products import ModelProducts

Item = TypeVar("Item")

_SHUFFLED = "-shuffled"
_WHERE = ["row_id", "chain", "residue"]

# In single precision on one kind of processor only the order of sums differs; a GPU, or half precision, rounds apart.
SAME, ROUNDED = 1e-5, 2e-2


@dataclass(slots=True)
class Recomputed:
    """How many texts and scores were computed again, what differs from what is stored, and what was not looked at."""

    texts: int = 0
    scores: int = 0
    differ: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def recompute(home: Home, share: float, seed: int, progress: Progress) -> Recomputed:
    """Compute this share of the texts and antibodies of every model again, at least one of each, and compare.

    `share`: in (0, 1]. `seed` draws them. Nothing that was kept between runs is read but weights, tables and fits. What
    is stale is left out, since its inputs, code or parameters are others now; so are models whose weights are not here.
    """
    done, rng = Recomputed(), random.Random(seed)  # noqa: S311 - a draw, no secret
    benchmarks = {item.name: item for item in home.benchmarks()}
    steps = plan([(item, home.folder(name)) for name, item in benchmarks.items()], home.catalogue(), home.store)
    fresh = {step.ref for step in steps if step.status == "fresh"}
    for step in steps:
        ref = step.ref
        if ref.asset not in {"embeddings", "predictions"} or ref.model is None or step.status == "new":
            continue
        if ref not in fresh:
            done.left_out.append(f"{ref}: stale: {step.reasons[0]}")
            continue
        try:
            require_available(home.model(ref.model))
            with tempfile.TemporaryDirectory() as empty:
                products = products_for(home, benchmarks[ref.benchmark], ref.model, progress, cache=Path(empty))
                shown = _Shown(ref, products, home.store.require(ref))
                if ref.asset == "embeddings":
                    _embeddings(shown, share, rng, done)
                else:
                    _predictions(shown, share, rng, done)
        except UnavailableError as error:
            done.left_out.append(f"{ref}: {error}")
        except AbAssetsError as error:
            done.differ.append(f"{ref}: {error}")
    return done


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a partition shows, and the model that can make it again."""

    ref: Ref
    products: ModelProducts
    artifact: Artifact

    @property
    def tolerance(self) -> float:
        """How far apart equal work may be."""
        made, here = self.artifact.manifest["made"], self.products.session.seeing()
        alike = not made.get("gpus") and "peak_gpu_memory_bytes" not in made and here["device"] == "cpu"
        return SAME if alike and here["precision"] == "fp32" else ROUNDED


def _embeddings(shown: _Shown, share: float, rng: random.Random, done: Recomputed) -> None:
    stored = shown.artifact.table("embeddings")
    rows = [stored.row(place, named=True) for place in _drawn(range(stored.height), share, rng)]
    vectors = shown.products.session.embed([tuple(row["chains"]) for row in rows])
    for row in rows:
        done.texts += 1
        text = tuple(row["chains"])
        apart = _apart(np.asarray(row["embedding"]), vectors[text])
        if not apart <= shown.tolerance:
            done.differ.append(f"{shown.ref}: the embedding of {text[0][:20]}... is {apart:.2g} apart")


def _predictions(shown: _Shown, share: float, rng: random.Random, done: Recomputed) -> None:
    stored = shown.artifact.table("predictions")
    chosen = _drawn(stored["row_id"].unique().sort().to_list(), share, rng)
    sampled = stored.filter(pl.col("row_id").is_in(chosen))
    for (method, fit, seed), kept in sampled.group_by("method", "fit", "seed", maintain_order=True):
        rows = shown.products.rows.filter(pl.col("row_id").is_in(kept["row_id"].unique().to_list()))
        again = _scored(shown, str(method), fit_folder(int(str(fit)), int(str(seed))), rows)
        both = kept.select(*_WHERE, "score").join(
            again.select(*_WHERE, again="score"), on=_WHERE, how="left", nulls_equal=True
        )
        done.scores += both.height
        # where a residue is not seen by the model, both say nothing
        apart = _apart(both["score"].fill_null(-1).to_numpy(), both["again"].fill_null(-1).to_numpy())
        if not apart <= shown.tolerance:
            done.differ.append(f"{shown.ref}: {method}, fit {fit}, seed {seed}: scores are {apart:.2g} apart")


def _scored(shown: _Shown, method: str, fit: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Return what the stored fit or probe of a method says of these rows."""
    name = method.removesuffix(_SHUFFLED)
    shuffled = name != method
    if name == "fine-tuned":
        checkpoint = shown.products.artifact(CHECKPOINTS["shuffled" if shuffled else "true"])
        return shown.products.session.predict_fit(checkpoint.subfolder(fit), rows)
    [kind] = [kind for kind, probe in PROBES.items() if probe == name]
    folder = shown.artifact.subfolder(f"probes/{kind}/{fit}{_SHUFFLED if shuffled else ''}")
    return shown.products.session.predict_probe(folder, rows)


def _drawn(items: Sequence[Item], share: float, rng: random.Random) -> list[Item]:
    count = min(len(items), max(1, round(share * len(items))))
    return rng.sample(items, count)


def _apart(kept: np.ndarray, again: np.ndarray) -> float:
    """Return the largest difference, relative where values are larger than one; infinite for another shape or NaN."""
    if kept.shape != again.shape:
        return float("inf")
    apart = np.abs(kept - again) / np.maximum(1.0, np.abs(kept))
    return float(np.max(apart, initial=0.0)) if np.isfinite(apart).all() else float("inf")
