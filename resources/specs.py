"""What Dagster is told about each node of the graph."""

from __future__ import annotations

import warnings
from typing import Any

from dagster import AssetCheckSpec, AssetSpec, PreviewWarning

from ab_assets.graph import NODES
from ab_assets.partitions import BENCHMARKS, BENCHMARKS_BY_MODEL


def asset_arguments(name: str) -> dict[str, Any]:
    """Return the arguments of `@asset` for one node."""
    node = NODES[name]
    return {
        "name": name,
        "group_name": node.group,
        "description": node.description,
        "kinds": set(node.kinds),
        "code_version": node.code_version,
        "deps": list(node.inputs),
        "partitions_def": BENCHMARKS_BY_MODEL if node.per_model else BENCHMARKS,
        "output_required": True,
    }


def asset_spec(name: str, *, skippable: bool = False) -> AssetSpec:
    """Return the spec of one output of a multi-asset; `skippable` where outputs may be selected one by one."""
    node = NODES[name]
    return AssetSpec(
        key=name,
        group_name=node.group,
        description=node.description,
        kinds=set(node.kinds),
        code_version=node.code_version,
        deps=list(node.inputs),
        partitions_def=BENCHMARKS_BY_MODEL if node.per_model else BENCHMARKS,
        skippable=skippable,
    )


def check_spec(name: str, asset: str, description: str) -> AssetCheckSpec:
    """Return the spec of a check that follows the partitions of its asset."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PreviewWarning)  # dagster 1.13 calls partitioned checks a preview
        return AssetCheckSpec(name, asset=asset, description=description, partitions_def=BENCHMARKS)
