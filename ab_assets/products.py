"""A model on a benchmark of the home, its split behind the certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ab_assets.artifacts.store import Ref
from ab_assets.graph import recipe_of
from ab_assets.splits.certified import certified_roles
from ab_assets.training.products import ModelProducts

if TYPE_CHECKING:
    from pathlib import Path

    from ab_assets.artifacts.costs import Meter
    from ab_assets.benchmarks.schema import Benchmark
    from ab_assets.home import Home
    from ab_assets.progress import Progress


def products_for(
    home: Home,
    benchmark: Benchmark,
    model: str,
    progress: Progress,
    meter: Meter | None = None,
    *,
    cache: Path | None = None,
) -> ModelProducts:
    """Return one model on one benchmark, its weights not loaded yet; `cache`: by default the home's."""
    spec, store, split = home.model(model), home.metered_store(meter), Ref("split", benchmark.name)
    return ModelProducts(
        store,
        benchmark,
        spec,
        recipe_of(spec, benchmark),
        certified_roles=lambda rows: certified_roles(store.require(split), rows, benchmark),
        cache=cache or home.cache,
        progress=progress,
    )
