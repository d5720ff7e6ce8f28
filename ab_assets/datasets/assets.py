"""raw_dataset and curated_dataset."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from dagster import AssetCheckResult, AssetCheckSpec, AssetExecutionContext, MaterializeResult, asset

from ab_assets.artifacts.store import Ref
from ab_assets.datasets.curation import curate
from ab_assets.datasets.numbering import AnarciiNumbering
from ab_assets.datasets.readers import read_source
from ab_assets.datasets.validation import require_valid
from ab_assets.partitions import BENCHMARKS
from resources.compute import Reporting
from resources.home import HomeResource, Making, markdown
from resources.specs import asset_arguments

if TYPE_CHECKING:
    from ab_assets.artifacts.store import Artifact, Draft


@asset(**asset_arguments("raw_dataset"))
def raw_dataset(context: AssetExecutionContext, config: Making, home: HomeResource) -> MaterializeResult[Any]:
    ref = Ref("raw_dataset", context.partition_key)
    benchmark, folder = home.home.benchmark(ref.benchmark), home.home.folder(ref.benchmark)
    require_valid(benchmark, folder)

    def build(draft: Draft) -> None:
        for name in benchmark.source.files:
            shutil.copyfile(folder / name, draft.path(name))
        draft.metadata = {"files": len(benchmark.source.files), "licence": benchmark.source.licence}

    return home.make(ref, build, force=config.force)
