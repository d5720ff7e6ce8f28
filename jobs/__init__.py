"""Three jobs: prepare a benchmark, evaluate a model on it, report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import AssetSelection, define_asset_job, in_process_executor

from ab_assets.graph import NODES

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

_DESCRIPTIONS = {
    "prepare": "From the source files to a certified split and the baselines' predictions. One partition: a benchmark.",
    "evaluate": "Fine-tune, predict and score one model on one benchmark. One partition: (benchmark, model).",
    "report": "The metric table and the report of a benchmark. One partition: a benchmark.",
}


def asset_jobs() -> list[UnresolvedAssetJobDefinition]:
    """Return the three jobs; one- and two-dimensional partitions cannot share one."""
    return [
        define_asset_job(
            name,
            selection=AssetSelection.assets(*(node.name for node in NODES.values() if node.job == name)),
            description=description,
            executor_def=in_process_executor,
        )
        for name, description in _DESCRIPTIONS.items()
    ]
