"""The evaluate job with the same assets and partitions, in which every asset publishes one line of JSON."""

from collections.abc import Iterator, Sequence

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    AssetSelection,
    Definitions,
    MaterializeResult,
    define_asset_job,
    in_process_executor,
    multi_asset,
)

from ab_assets.artifacts.fingerprint import Question
from ab_assets.artifacts.publication import publish_once
from ab_assets.artifacts.store import Draft, Ref
from ab_assets.graph import NODES, PRODUCTS
from ab_assets.partitions import BENCHMARKS_BY_MODEL, grid_of
from resources.home import HomeResource, Making, materialized
from resources.specs import asset_spec

EVALUATE = [node.name for node in NODES.values() if node.job == "evaluate"]


def _stub(step: str, names: Sequence[str]) -> AssetsDefinition:
    @multi_asset(
        name=step,
        specs=[asset_spec(name, skippable=len(names) > 1) for name in names],
        partitions_def=BENCHMARKS_BY_MODEL,
        can_subset=len(names) > 1,
    )
    def made(context: AssetExecutionContext, config: Making, home: HomeResource):  # type: ignore[no-untyped-def] # noqa: ANN202
        yield from _published(context, config, home, names)

    return made


def _published(
    context: AssetExecutionContext, config: Making, home: HomeResource, names: Sequence[str]
) -> Iterator[MaterializeResult]:  # type: ignore[type-arg]
    benchmark, model = grid_of(context)
    for name in names:
        ref, question = Ref(name, benchmark, model), Question(name, {}, {"benchmark": benchmark, "model": model})

        def build(draft: Draft, name: str = name) -> None:
            draft.document("content", {"asset": name, "benchmark": benchmark, "model": model})

        yield materialized(publish_once(home.home.store, ref, question, build, force=config.force))


defs = Definitions(
    assets=[
        _stub("model_products", PRODUCTS),
        *(_stub(name, [name]) for name in EVALUATE if name not in PRODUCTS),
    ],
    jobs=[
        define_asset_job("evaluate", AssetSelection.assets(*EVALUATE), executor_def=in_process_executor),
    ],
    resources={"home": HomeResource()},
    executor=in_process_executor,
)
