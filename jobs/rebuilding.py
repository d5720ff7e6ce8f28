"""Dagster's catalogue, made again from the store: what every partition shows is known as if its run had just ended."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    NULL_EVENT_POINTER,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from dagster._core.definitions.partitions.utils import get_tags_from_multi_partition_key

import ab_assets.datasets.assets
import ab_assets.evaluation.assets
import ab_assets.reports.assets
import ab_assets.splits.assets
from ab_assets.artifacts.fingerprint import digest_of
from ab_assets.artifacts.publication import Outcome
from ab_assets.errors import AbAssetsError
from ab_assets.graph import NODES
from ab_assets.partitions import MODELS, grid_key
from ab_assets.plan import input_name, upstream_refs
from jobs.launching import register
from resources.home import materialized

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dagster import AssetCheckResult, DagsterInstance

    from ab_assets.artifacts.store import Artifact, Ref
    from ab_assets.benchmarks.schema import Benchmark
    from ab_assets.home import Home
    from ab_assets.progress import Progress
    from resources.home import Metadata

RESTORED = "ab_assets/restored"
"""A tag: this materialization was taken from the store, no run made it."""

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
        self._versions: dict[str, Mapping[str, str]] = {}
        self._digests: dict[Ref, str] = {}
        self._events: dict[Ref, int] = {}
        self._open: list[Ref] = []
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
            if self._version_of(ref) == artifact.digest:
                self.known += 1
            else:
                self._restore(ref, artifact)
        except AbAssetsError as error:
            self.damaged.append(f"{ref}: {error}")
            return
        self._open.append(ref)
        self._digests[ref] = artifact.digest

    def close(self, asset: str) -> None:
        """Look up the events of an asset whose partitions were all reported, and add what its checks found."""
        found = self._instance.event_log_storage.get_latest_storage_id_by_partition(
            AssetKey(asset), DagsterEventType.ASSET_MATERIALIZATION
        )
        self._events |= {ref: found[_key(ref)] for ref in self._open}
        if asset in _CHECKED:
            self._report_checks(asset)
        self._open = []

    def _version_of(self, ref: Ref) -> str | None:
        if ref.asset not in self._versions:
            tags = self._instance.event_log_storage.get_latest_tags_by_partition(
                AssetKey(ref.asset), DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG]
            )
            self._versions[ref.asset] = {
                key: tag[DATA_VERSION_TAG] for key, tag in tags.items() if DATA_VERSION_TAG in tag
            }
        return self._versions[ref.asset].get(_key(ref))

    def _restore(self, ref: Ref, artifact: Artifact) -> None:
        show = _SHOWN.get(ref.asset)
        result: MaterializeResult[Any] = materialized(
            Outcome(ref, artifact, reused=True), show(artifact) if show else {}
        )
        key = _key(ref)
        own = get_tags_from_multi_partition_key(key) if isinstance(key, MultiPartitionKey) else {}
        self._instance.report_runless_asset_event(
            AssetMaterialization(
                asset_key=ref.asset,
                partition=key,
                metadata=result.metadata,
                tags={**self._version_tags(ref, artifact), **own, RESTORED: "true"},
            )
        )
        self.restored.append(ref)

    def _version_tags(self, ref: Ref, artifact: Artifact) -> dict[str, str]:
        """Return the tags that a run would have written: versions of the code, of the content and of what was read."""
        tags = {
            CODE_VERSION_TAG: digest_of(artifact.question["code"])[:16],
            DATA_VERSION_TAG: artifact.digest,
            DATA_VERSION_IS_USER_PROVIDED_TAG: "true",
        }
        read = artifact.question["inputs"]
        for name in NODES[ref.asset].inputs:
            sources = [source for source in self._sources(ref, artifact) if source.asset == name]
            named = {_key(source): input_name(source, NODES[ref.asset]) for source in sources}
            versions = [read[named[key]] for key in sorted(named) if named[key] in read]
            key = AssetKey(name)
            tags[get_input_data_version_tag(key)] = _together(versions)
            tags[get_input_event_pointer_tag(key)] = self._pointer(ref, sources, read)
        return tags

    def _pointer(self, ref: Ref, sources: list[Ref], read: Mapping[str, str]) -> str:
        """Return up to which event of an input this partition knew it: not that of a version it did not read."""
        known = [source for source in sources if source in self._events]
        other = [
            self._events[source]
            for source in known
            if read.get(input_name(source, NODES[ref.asset])) != self._digests[source]
        ]
        if other:
            return str(min(other) - 1 or -1)  # Dagster takes 0 for "not known"
        return str(max(self._events[source] for source in known)) if known else NULL_EVENT_POINTER

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
            for source in self._digests
            if source.benchmark == ref.benchmark
            and source.asset in node.inputs
            and (source.model is None or ref.model in {None, source.model})
            and input_name(source, node) in artifact.question["inputs"]
        ]

    def _report_checks(self, asset: str) -> None:
        """Add what the asset's check found of each partition that has had no check since its materialization."""
        for ref in self._open:
            result = _CHECKED[asset](self._home.store.require(ref))
            key = AssetCheckKey(AssetKey(asset), str(result.check_name))
            if asset not in self._checked:
                infos = self._instance.event_log_storage.get_asset_check_partition_info([key])
                self._checked[asset] = {str(info.partition_key): info.latest_check_event_storage_id for info in infos}
            if self._checked[asset].get(_key(ref), 0) > self._events[ref]:
                continue
            filters = AssetRecordsFilter(key.asset_key, storage_ids=[self._events[ref]])
            [record] = self._instance.fetch_materializations(filters, limit=1).records
            self._instance.report_runless_asset_event(
                AssetCheckEvaluation(
                    asset_key=key.asset_key,
                    check_name=key.name,
                    passed=bool(result.passed),
                    metadata=result.metadata,
                    partition=_key(ref),
                    target_materialization_data=AssetCheckEvaluationTargetMaterializationData(
                        storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
                    ),
                )
            )


def _together(versions: list[str]) -> str:
    """Return what Dagster writes down of an input's partitions: the digest of their versions, by partition."""
    return hashlib.sha256("".join(versions).encode()).hexdigest()


def _key(ref: Ref) -> str:
    return ref.benchmark if ref.model is None else grid_key(ref.benchmark, ref.model)
