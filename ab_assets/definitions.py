"""The one Definitions object: assets, checks, jobs, sensors, resources."""

from __future__ import annotations

from dagster import Definitions, in_process_executor, load_assets_from_modules

import ab_assets.datasets.assets
import ab_assets.evaluation.assets
import ab_assets.reports.assets
import ab_assets.splits.assets
import ab_assets.training.assets
from jobs import asset_jobs
from resources.compute import Reporting, compute_here
from resources.home import HomeResource
from sensors import all_sensors

_jobs = asset_jobs()

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
    jobs=_jobs,
    sensors=all_sensors(_jobs),
    resources={"home": HomeResource(), "compute": compute_here(), "reporting": Reporting()},
    executor=in_process_executor,
)
