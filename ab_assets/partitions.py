"""The two keys of the graph: which benchmark (dynamic), which model (static), and both."""

from __future__ import annotations

from dagster import (
    AssetExecutionContext,
    DynamicPartitionsDefinition,
    MultiPartitionKey,
    MultiPartitionsDefinition,
    StaticPartitionsDefinition,
)

from ab_assets.errors import BadInputError
from ab_assets.home import Home
from ab_assets.keys import require_key

BENCHMARK = "benchmark"
MODEL = "model"

# A tag: the fingerprint of the source files that a run was asked for, and that it makes, or nothing.
CONTENT = "ab_assets/content"

BENCHMARKS = DynamicPartitionsDefinition(name=BENCHMARK)
MODELS = StaticPartitionsDefinition(sorted(Home.from_environment().catalogue()))
BENCHMARKS_BY_MODEL = MultiPartitionsDefinition({BENCHMARK: BENCHMARKS, MODEL: MODELS})


def grid_key(benchmark: str, model: str) -> MultiPartitionKey:
    """Return the key of one (benchmark, model) partition. Raises BadInputError for a key outside the grammar."""
    return MultiPartitionKey(
        {BENCHMARK: require_key(benchmark, kind="benchmark"), MODEL: require_key(model, kind="model")}
    )


def grid_of(context: AssetExecutionContext) -> tuple[str, str]:
    """Return (benchmark, model) of the partition that a run makes."""
    key = context.partition_key
    if not isinstance(key, MultiPartitionKey):
        raise BadInputError(
            what="this asset needs a benchmark and a model", found=repr(key), expected="benchmark|model"
        )
    parts = key.keys_by_dimension
    return require_key(parts[BENCHMARK], kind="benchmark"), require_key(parts[MODEL], kind="model")
