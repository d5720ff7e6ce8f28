"""What making a partition will take, from what its nearest relations took: seconds and GPU-seconds, and whose."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ab_assets.graph import NODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ab_assets.artifacts.store import Artifact, Ref
    from ab_assets.models.specification import ModelSpec
    from ab_assets.plan import Step

_ROWS_OF = "curated_dataset"


@dataclass(frozen=True, slots=True)
class Estimate:
    """seconds None: nothing like it was ever made. gpu_seconds None: nobody measured. `basis`: whose time it is.

    `reused`: the question was answered before, so there is nothing to make.
    """

    seconds: float | None
    gpu_seconds: float | None
    basis: str
    reused: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """What one published result took. `rows`: antibodies that it was made from, None where that is not known."""

    benchmark: str
    model: str | None
    rows: int | None
    seconds: float
    gpu_seconds: float | None
    at: str
    at_ns: int


class Past:
    """What everything in a store took; its manifests are read once."""

    def __init__(
        self, made: Mapping[str, list[Made]], answers: Mapping[str, Artifact], rows: Mapping[str, int]
    ) -> None:
        self._made = made
        self._answers = answers
        self._rows = rows

    @classmethod
    def of(cls, objects: Iterable[Artifact]) -> Self:
        """Return what these objects took."""
        kept = list(objects)
        curated = [item for item in kept if item.question["asset"] == _ROWS_OF]
        rows = {item.digest: item.metadata["rows"] for item in curated if "rows" in item.metadata}
        made: defaultdict[str, list[Made]] = defaultdict(list)
        for item in kept:
            made[str(item.question["asset"])].append(_made(item, rows))
        return cls(made, {item.fingerprint: item for item in kept}, rows)

    def rows_of(self, digest: str | None) -> int | None:
        """Return how many antibodies curated data of this content have."""
        return self._rows.get(digest) if digest else None

    def estimate(self, step: Step, rows: int | None, catalogue: Mapping[str, ModelSpec]) -> Estimate:
        """Return what making this partition will take; `rows`: antibodies that it will be made from, if known.

        The nearest is the newest result of the same partition, else one of the same asset and model, else one of the
        same asset: of the model nearest in size, then of the nearest number of rows. Times are scaled by rows, in
        proportion, where both numbers are known.
        """
        ref = step.ref
        waits = set(step.reasons) - {str(change) for change in step.changes} - {"not made yet"}
        if not waits and step.asked in self._answers and self._answers[step.asked].is_whole():
            return Estimate(0.0, 0.0, f"answered {self._answers[step.asked].manifest['made']['at']}", reused=True)
        known = self._made.get(ref.asset, [])
        same = [one for one in known if (one.benchmark, one.model) == (ref.benchmark, ref.model)]
        if same:
            return _scaled(max(same, key=lambda one: one.at_ns), rows, "the same partition")
        alike = [one for one in known if one.model == ref.model]
        near = _nearest(alike or known, ref, rows, catalogue)
        if near is None:
            return Estimate(None, None, "nothing like it was made before")
        return _scaled(near, rows, near.benchmark if alike else f"{near.benchmark}, model {near.model}")


def total(estimates: Iterable[Estimate]) -> tuple[float, float, int, int]:
    """Return the sum of the known seconds and GPU-seconds, and of how many each is not known."""
    kept = list(estimates)
    seconds = sum(one.seconds or 0.0 for one in kept)
    gpu_seconds = sum(one.gpu_seconds or 0.0 for one in kept)
    return seconds, gpu_seconds, _unknown(kept, lambda e: e.seconds), _unknown(kept, lambda e: e.gpu_seconds)


def duration(seconds: float) -> str:
    """Return seconds as a person says them: "12 s", "3.5 min", "7.2 h"."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 1 or not seconds else f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _unknown(estimates: list[Estimate], part: Callable[[Estimate], float | None]) -> int:
    return sum(part(one) is None for one in estimates)


def _made(artifact: Artifact, rows: Mapping[str, int]) -> Made:
    manifest, inputs = artifact.manifest, artifact.question["inputs"]
    made, asset = manifest["made"], artifact.question["asset"]
    own = artifact.digest if asset == _ROWS_OF else inputs.get(_ROWS_OF, "")
    gpu = made.get("gpu_seconds_requested") or made.get("gpu_seconds_used")
    if gpu is None and ("gpu_seconds_requested" in made or not _runs_models(str(asset))):
        gpu = 0.0
    return Made(
        benchmark=manifest["benchmark"],
        model=manifest["partition_model"],
        rows=rows.get(own),
        seconds=made["seconds"],
        gpu_seconds=gpu,
        at=made["at"],
        at_ns=made["at_ns"],
    )


def _runs_models(asset: str) -> bool:
    return asset not in NODES or NODES[asset].group == "models"


def _nearest(known: list[Made], ref: Ref, rows: int | None, catalogue: Mapping[str, ModelSpec]) -> Made | None:
    def size(model: str | None) -> int | None:
        return catalogue[model].parameters if model is not None and model in catalogue else None

    def distance(one: Made) -> tuple[float, float, int]:
        return _apart(size(one.model), size(ref.model)), _apart(one.rows, rows), -one.at_ns

    return min(known, key=distance, default=None)


def _apart(left: int | None, right: int | None) -> float:
    return abs(math.log(left / right)) if left and right else math.inf if left or right else 0.0


def _scaled(near: Made, rows: int | None, whose: str) -> Estimate:
    share, by = 1.0, ""
    if rows and near.rows and rows != near.rows:
        share, by = rows / near.rows, f", scaled from {near.rows:,} to {rows:,} rows"
    gpu = near.gpu_seconds * share if near.gpu_seconds is not None else None
    return Estimate(near.seconds * share, gpu, f"{whose}, made {near.at}{by}")
