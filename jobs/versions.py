"""Which versions of code and inputs a result was made from, as the tags by which Dagster tells fresh from stale."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagster import AssetKey
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    NULL_EVENT_POINTER,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)

from ab_assets.artifacts.fingerprint import digest_of
from ab_assets.graph import NODES
from ab_assets.partitions import grid_key
from ab_assets.plan import input_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ab_assets.artifacts.store import Artifact, Ref


@dataclass(frozen=True, slots=True)
class Told:
    """What Dagster knows of a partition: the storage id of its last materialization, and which content that showed."""

    event: int
    digest: str


def version_tags(ref: Ref, artifact: Artifact, sources: Sequence[Ref], told: Mapping[Ref, Told]) -> dict[str, str]:
    """Return the tags that a run would have written: versions of the code, of the content and of what was read.

    `sources`: the partitions it reads. `told`: all that Dagster knows of partitions upstream.
    """
    tags = {
        CODE_VERSION_TAG: digest_of(artifact.question["code"])[:16],
        DATA_VERSION_TAG: artifact.digest,
        DATA_VERSION_IS_USER_PROVIDED_TAG: "true",
    }
    node, read = NODES[ref.asset], artifact.question["inputs"]
    for name in node.inputs:
        own = {partition_key(source): source for source in sources if source.asset == name}
        versions = [read[named] for key in sorted(own) if (named := input_name(own[key], node)) in read]
        asked = {source: read.get(input_name(source, node)) for source in own.values()}
        key = AssetKey(name)
        tags[get_input_data_version_tag(key)] = hashlib.sha256("".join(versions).encode()).hexdigest()
        tags[get_input_event_pointer_tag(key)] = _pointer(asked, told)
    return tags


def partition_key(ref: Ref) -> str:
    """Return the partition key of a partition of the store."""
    return ref.benchmark if ref.model is None else grid_key(ref.benchmark, ref.model)


def _pointer(asked: Mapping[Ref, str | None], told: Mapping[Ref, Told]) -> str:
    """Return up to which event of an input a partition knew it: before that of a version which it did not read."""
    known = {source: told[source] for source in asked if source in told}
    other = [one.event for source, one in known.items() if one.digest != asked[source]]
    if other:
        return str(min(other) - 1 or -1)  # Dagster takes 0 for "not known"
    return str(max(one.event for one in known.values())) if known else NULL_EVENT_POINTER
