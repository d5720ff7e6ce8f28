"""One step that loads a model once and makes whichever of its results are asked for; and the scoring of candidates."""

from collections.abc import Iterator

from dagster import AssetExecutionContext, MaterializeResult, ResourceParam, multi_asset

from ab_assets.graph import PRODUCTS
from ab_assets.partitions import BENCHMARKS_BY_MODEL, grid_of
from ab_assets.work import Work
from resources.compute import Compute, Reporting
from resources.home import HomeResource, Making, materialized, not_compared
from resources.specs import asset_spec


@multi_asset(
    name="model_products",
    specs=[asset_spec(name, skippable=True) for name in PRODUCTS],
    partitions_def=BENCHMARKS_BY_MODEL,
    can_subset=True,
)
def model_products(
    context: AssetExecutionContext,
    config: Making,
    home: HomeResource,
    compute: ResourceParam[Compute],
    reporting: Reporting,
) -> Iterator[MaterializeResult]:
    """One load of the weights for all selected outputs of one (benchmark, model)."""
    benchmark, model = grid_of(context)
    wanted = frozenset(key.to_user_string() for key in context.selected_asset_keys)
    if model not in home.home.benchmark(benchmark).models:
        for asset in PRODUCTS:
            if asset in wanted:
                yield not_compared(asset, f"{benchmark} does not list {model}")
        return
    work = Work(benchmark, model, wanted, force=config.force)
    for outcome in compute.run(context, home.home, work, reporting.progress(context.log)):
        yield materialized(outcome)
