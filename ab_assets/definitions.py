"""The one Definitions object: assets, checks, jobs, sensors, resources."""

from __future__ import annotations

import warnings

from dagster import Definitions, PreviewWarning, in_process_executor, load_assets_from_modules

from resources.compute import LocalCompute, Reporting
from resources.home import HomeResource

# Checks follow the partitions of their asset; dagster 1.13 calls that a preview.
warnings.filterwarnings("ignore", category=PreviewWarning)

import ab_assets.datasets.assets
import ab_assets.evaluation.assets
import ab_assets.reports.assets
import ab_assets.splits.assets
import ab_assets.training.assets
from jobs import asset_jobs
from sensors import all_sensors

defs = Definitions(
    assets=load_assets_from_modules(
        [
            ab_assets.datasets.assets,
            ab_assets.splits.assets,
            ab_assets.training.assets,
            ab_assets.evaluation.assets,
            ab_assets.reports.assets,
        ]
    ),
    jobs=asset_jobs(),
    sensors=all_sensors(),
    resources={"home": HomeResource(), "compute": LocalCompute(), "reporting": Reporting()},
    executor=in_process_executor,
)
