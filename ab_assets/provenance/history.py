"""The versions that a benchmark's data and results have had, newest first, from the store's manifests alone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from ab_assets.artifacts.store import Ref
from ab_assets.errors import BadInputError, CorruptArtifactError, UnknownNameError
from ab_assets.provenance.lineage import short

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ab_assets.artifacts.store import Artifact, ArtifactStore

RAW, DATA, TABLE, REPORT = "raw_dataset", "curated_dataset", "metric_table", "report"
HEADLINE = "ap"  # average precision leads
_LEAST_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Version:
    """One content that an asset of the benchmark has had. `made`: every object of this content, oldest first."""

    asset: str
    made: tuple[Artifact, ...]
    current: bool = False

    @property
    def artifact(self) -> Artifact:
        """The newest object of this content."""
        return self.made[-1]

    @property
    def digest(self) -> str:
        """The digest of the content, by which versions differ."""
        return self.artifact.digest

    @property
    def when(self) -> str:
        """When it was first made."""
        return str(self.made[0].manifest["made"]["at"])

    def read(self, asset: str) -> frozenset[str]:
        """Return the digests of the results of `asset` that it was made from."""
        inputs = (item.question["inputs"].get(asset) for item in self.made)
        return frozenset(digest for digest in inputs if digest)


@dataclass(frozen=True, slots=True)
class History:
    """The versions of a benchmark by asset, each list newest first (by when it was first made)."""

    benchmark: str
    versions: Mapping[str, tuple[Version, ...]]

    @property
    def data(self) -> tuple[Version, ...]:
        """The versions of the curated data: what `diff` compares."""
        return self.versions.get(DATA, ())

    def results_of(self, data: Version) -> Version | None:
        """Return the metric table over this version of the data: the one shown now, else the newest."""
        tables = [one for one in self.versions.get(TABLE, ()) if data.digest in one.read(DATA)]
        shown = [one for one in tables if one.current]
        return next(iter(shown or tables), None)

    def named(self, name: str) -> Version:
        """Return the version of the data with this number (1 is the newest) or these first digits of its digest.

        Raises UnknownNameError when there is none, BadInputError when the digits are those of several.
        """
        if name.isdecimal() and 1 <= int(name) <= len(self.data):
            return self.data[int(name) - 1]
        found = [one for one in self.data if len(name) >= _LEAST_DIGITS and one.digest.startswith(name.lower())]
        if len(found) > 1:
            several = ", ".join(short(one.digest) for one in found)
            raise BadInputError(what=f"several versions begin with {name}", found=several, hint="Give more digits.")
        if not found:
            raise UnknownNameError(
                what=f"{self.benchmark} has no version {name!r} of its data",
                expected=f"1 (newest) to {len(self.data)}, or {_LEAST_DIGITS} or more digits of a version",
                hint=f"They are listed by: ab-assets history {self.benchmark}",
            )
        return found[0]


def history_of(store: ArtifactStore, benchmark: str) -> History:
    """Return every version that the benchmark has had. The manifests of the four assets are read once.

    What another benchmark made first and this one reads is part of it. Raises MissingArtifactError when nothing was
    ever made for it.
    """
    objects = {asset: store.objects(asset) for asset in (RAW, DATA, TABLE, REPORT)}
    shown = {asset: _shown(store, Ref(asset, benchmark)) for asset in objects}
    own = {
        asset: {item.digest for item in kept if item.manifest["benchmark"] == benchmark} | shown[asset]
        for asset, kept in objects.items()
    }
    own[DATA] |= _read(objects[TABLE], own[TABLE], DATA)
    own[RAW] |= _read(objects[DATA], own[DATA], RAW)
    versions = {asset: _versions(asset, objects[asset], own[asset], shown[asset]) for asset in objects}
    if not any(versions.values()):
        store.require(Ref(RAW, benchmark))
    return History(benchmark, versions)


def headline(version: Version) -> list[dict[str, Any]]:
    """Return method, value, low, high of average precision, highest first, without controls; empty when unreadable."""
    try:
        scores = version.artifact.table("scores")
    except CorruptArtifactError:
        return []
    shown = scores.filter((pl.col("metric") == HEADLINE) & (pl.col("view") == "all"))
    shown = shown.filter(~pl.col("method").str.ends_with("-shuffled"))
    return shown.select("method", "value", "low", "high").sort("value", descending=True, nulls_last=True).to_dicts()


def _shown(store: ArtifactStore, ref: Ref) -> set[str]:
    try:
        artifact = store.current(ref)
    except CorruptArtifactError:
        return set()
    return {artifact.digest} if artifact else set()


def _read(readers: Iterable[Artifact], own: set[str], asset: str) -> set[str]:
    """Return the digests of `asset` that those of the readers with these digests were made from."""
    inputs = (item.question["inputs"].get(asset) for item in readers if item.digest in own)
    return {digest for digest in inputs if digest}


def _versions(asset: str, kept: Sequence[Artifact], own: set[str], shown: set[str]) -> tuple[Version, ...]:
    same: defaultdict[str, list[Artifact]] = defaultdict(list)
    for item in sorted(kept, key=_at):
        if item.digest in own:
            same[item.digest].append(item)
    found = [Version(asset, tuple(items), current=digest in shown) for digest, items in same.items()]
    return tuple(sorted(found, key=lambda one: _at(one.made[0]), reverse=True))


def _at(artifact: Artifact) -> int:
    return int(artifact.manifest["made"]["at_ns"])
