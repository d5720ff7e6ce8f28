"""Dagster's catalogue, made again from the store: what every partition shows is known as if its run had just ended."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetKey,
    AssetMaterialization,
    AssetRecordsFilter,
    DagsterEventType,
    MaterializeResult,
    MultiPartitionKey,
)
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.definitions.partitions.utils import get_tags_from_multi_partition_key

import ab_assets.datasets.assets
import ab_assets.evaluation.assets
import ab_assets.reports.assets
import ab_assets.splits.assets
from ab_assets.artifacts.publication import Outcome
from ab_assets.errors import AbAssetsError
from ab_assets.graph import NODES
from ab_assets.partitions import MODELS
from ab_assets.plan import input_name, upstream_refs
from jobs.launching import register
from jobs.versions import Told, partition_key, version_tags
from resources.home import materialized

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dagster import AssetCheckResult, DagsterInstance, EventLogRecord

    from ab_assets.artifacts.store import Artifact, Ref
    from ab_assets.benchmarks.schema import Benchmark
    from ab_assets.home import Home
    from ab_assets.progress import Progress
    from resources.home import Metadata

RESTORED = "ab_assets/restored"
"""A tag: this materialization was taken from the store, no run made it."""

_PAGE = 500

_SHOWN: Mapping[str, Callable[[Artifact], Metadata]] = (
    ab_assets.datasets.assets.SHOWN
    | ab_assets.splits.assets.SHOWN
    | ab_assets.evaluation.assets.SHOWN
    | ab_assets.reports.assets.SHOWN
)
_CHECKED: Mapping[str, Callable[[Artifact], AssetCheckResult]] = (
    ab_assets.datasets.assets.CHECKED | ab_assets.splits.assets.CHECKED
)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was done: partitions reported to Dagster, those it knew already, and what could not be; `damaged` of these
    for files that are not what was published."""

    restored: tuple[Ref, ...] = ()
    known: int = 0
    left_out: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()


def rebuild_catalogue(home: Home, instance: DagsterInstance, progress: Progress) -> Rebuilt:
    """Report what every partition of the store shows, upstream first, unless Dagster shows that very content already.

    Nothing is computed. Every event has the content digest as data version, the code version it was made by, and which
    versions and events of its inputs it read; so Dagster calls stale what was stale, and nothing else. A run that is
    interrupted is gone on with by the next.
    """
    refs, left_out = _known_names(home.store.partitions())
    register(instance, _benchmarks(home, refs))
    by_asset: dict[str, list[Ref]] = defaultdict(list)
    for ref in refs:
        by_asset[ref.asset].append(ref)
    reporting = _Reporting(home, instance)
    done = 0
    for name in (node for node in NODES if node in by_asset):
        for ref in by_asset[name]:
            reporting.report(ref)
            done += 1
            progress("restoring", done, len(refs))
        reporting.close(name)
    return Rebuilt(tuple(reporting.restored), reporting.known, tuple(left_out), tuple(reporting.damaged))


def _known_names(partitions: list[Ref]) -> tuple[list[Ref], list[str]]:
    """Return the partitions of today's graph, and why others are none."""
    models = set(MODELS.get_partition_keys())
    refs, left_out = [], []
    for ref in partitions:
        node = NODES.get(ref.asset)
        if node is None:
            left_out.append(f"{ref}: there is no asset of this name")
        elif node.per_model != (ref.model is not None):
            left_out.append(f"{ref}: this asset has other partitions")
        elif ref.model is not None and ref.model not in models:
            left_out.append(f"{ref}: there is no model {ref.model!r} in the catalogue")
        else:
            refs.append(ref)
    return refs, left_out


def _benchmarks(home: Home, refs: list[Ref]) -> list[str]:
    """Return the names to register: those of the home, and those with results; not those that are retired."""
    names = {ref.benchmark for ref in refs} | {benchmark.name for benchmark in home.benchmarks()}
    return sorted(name for name in names if (found := _benchmark(home, name)) is None or not found.retired)


def _benchmark(home: Home, name: str) -> Benchmark | None:
    try:
        return home.benchmark(name)
    except AbAssetsError:
        return None


class _Reporting:
    """Reports partitions one asset after the other, and remembers what each showed under which event."""

    def __init__(self, home: Home, instance: DagsterInstance) -> None:
        self._home = home
        self._instance = instance
        self._before: dict[str, Mapping[str, tuple[str | None, object]]] = {}
        self._told: dict[Ref, Told] = {}
        self._open: dict[Ref, str] = {}
        self._checked: dict[str, dict[str, int]] = {}
        self._benchmarks: dict[str, Benchmark | None] = {}
        self.restored: list[Ref] = []
        self.known = 0
        self.damaged: list[str] = []

    def report(self, ref: Ref) -> None:
        """Tell Dagster what a partition shows, unless it knows."""
        try:
            artifact = self._home.store.current(ref)
            if artifact is None:
                return
            if self._known(ref) == (artifact.digest, artifact.fingerprint):
                self.known += 1
            else:
                self._restore(ref, artifact)
        except AbAssetsError as error:
            self.damaged.append(f"{ref}: {error}")
            return
        self._open[ref] = artifact.digest

    def close(self, asset: str) -> None:
        """Look up the events of an asset whose partitions were all reported, and add what its checks found."""
        found = self._latest(asset)
        self._told |= {ref: Told(found[partition_key(ref)], digest) for ref, digest in self._open.items()}
        if asset in _CHECKED:
            self._report_checks(asset)
        self._open = {}

    def _known(self, ref: Ref) -> tuple[str | None, object] | None:
        """Return (content digest, fingerprint) of what Dagster shows of a partition."""
        if ref.asset not in self._before:
            self._before[ref.asset] = {
                str(record.partition_key): (found.tags.get(DATA_VERSION_TAG), found.metadata["fingerprint"].value)
                for record in self._records(ref.asset, list(self._latest(ref.asset).values()))
                if (found := record.asset_materialization) is not None
                and found.tags
                and "fingerprint" in found.metadata
            }
        return self._before[ref.asset].get(partition_key(ref))

    def _latest(self, asset: str) -> Mapping[str, int]:
        """Return {partition: the event of its last materialization}."""
        storage = self._instance.event_log_storage
        return storage.get_latest_storage_id_by_partition(AssetKey(asset), DagsterEventType.ASSET_MATERIALIZATION)

    def _records(self, asset: str, events: list[int]) -> Iterator[EventLogRecord]:
        for first in range(0, len(events), _PAGE):
            filters = AssetRecordsFilter(AssetKey(asset), storage_ids=events[first : first + _PAGE])
            yield from self._instance.fetch_materializations(filters, limit=_PAGE).records

    def _restore(self, ref: Ref, artifact: Artifact) -> None:
        result: MaterializeResult[Any] = materialized(Outcome(ref, artifact, reused=True), _extra(ref, artifact))
        versions = version_tags(ref, artifact, self._sources(ref, artifact), self._told)
        key = partition_key(ref)
        own = get_tags_from_multi_partition_key(key) if isinstance(key, MultiPartitionKey) else {}
        self._instance.report_runless_asset_event(
            AssetMaterialization(
                asset_key=ref.asset,
                partition=key,
                metadata=result.metadata,
                tags={**versions, **own, RESTORED: "true"},
            )
        )
        self.restored.append(ref)

    def _sources(self, ref: Ref, artifact: Artifact) -> list[Ref]:
        """Return the partitions this one reads: as its benchmark says now, else as its question says."""
        node = NODES[ref.asset]
        if ref.benchmark not in self._benchmarks:
            self._benchmarks[ref.benchmark] = _benchmark(self._home, ref.benchmark)
        benchmark = self._benchmarks[ref.benchmark]
        if benchmark is not None:
            return upstream_refs(node, ref, benchmark)
        return [
            source
            for source in self._told
            if source.benchmark == ref.benchmark
            and source.asset in node.inputs
            and (source.model is None or ref.model in {None, source.model})
            and input_name(source, node) in artifact.question["inputs"]
        ]

    def _report_checks(self, asset: str) -> None:
        """Add what the asset's check found of each partition that has had no check since its materialization."""
        for ref in self._open:
            if (result := _verdict(ref.asset, self._home.store.require(ref))) is None:
                continue
            key, event = AssetCheckKey(AssetKey(asset), str(result.check_name)), self._told[ref].event
            if asset not in self._checked:
                infos = self._instance.event_log_storage.get_asset_check_partition_info([key])
                self._checked[asset] = {str(info.partition_key): info.latest_check_event_storage_id for info in infos}
            if self._checked[asset].get(partition_key(ref), 0) > event:
                continue
            [record] = self._records(asset, [event])
            self._instance.report_runless_asset_event(
                AssetCheckEvaluation(
                    asset_key=key.asset_key,
                    check_name=key.name,
                    passed=bool(result.passed),
                    metadata=result.metadata,
                    partition=partition_key(ref),
                    target_materialization_data=AssetCheckEvaluationTargetMaterializationData(
                        storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
                    ),
                )
            )


def _extra(ref: Ref, artifact: Artifact) -> Metadata:
    """Return what the asset shows besides; nothing of an artifact that earlier code made with other columns."""
    with suppress(KeyError, pl.exceptions.PolarsError):
        return _SHOWN[ref.asset](artifact)
    return {}


def _verdict(asset: str, artifact: Artifact) -> AssetCheckResult | None:
    """Return what the asset's check says; None of an artifact that earlier code made otherwise."""
    with suppress(KeyError, pl.exceptions.PolarsError):
        return _CHECKED[asset](artifact)
    return None
