"""What runs for one (benchmark, model), in this process or in a pod: one load of the weights for all that is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ab_assets.artifacts.store import Ref
from ab_assets.graph import PRODUCTS, recipe_of
from ab_assets.plan import question_now
from ab_assets.splits.certified import certified_roles
from ab_assets.training.products import ModelProducts

if TYPE_CHECKING:
    from ab_assets.artifacts.publication import Outcome
    from ab_assets.benchmarks.schema import Benchmark
    from ab_assets.home import Home
    from ab_assets.progress import Progress


@dataclass(frozen=True, slots=True)
class Work:
    """What is wanted of one model on one benchmark. `force`: make it again even when it is there."""

    benchmark: str
    model: str
    wanted: frozenset[str]
    force: bool = False


def run_work(home: Home, work: Work, progress: Progress) -> list[Outcome]:
    """Return what each wanted partition shows, upstream first; what was answered before is reused."""
    products = products_for(home, home.benchmark(work.benchmark), work.model, progress)
    outcomes = []
    for asset in PRODUCTS:
        if asset in work.wanted:
            question = question_now(home, Ref(asset, work.benchmark, work.model))
            outcomes.append(products.publish(asset, question, force=work.force))
    return outcomes


def products_for(home: Home, benchmark: Benchmark, model: str, progress: Progress) -> ModelProducts:
    """Return one model on one benchmark, its weights not loaded yet and its split behind the certificate."""
    spec, split = home.model(model), Ref("split", benchmark.name)
    return ModelProducts(
        home.store,
        benchmark,
        spec,
        recipe_of(spec, benchmark),
        certified_roles=lambda rows: certified_roles(home.store.require(split), rows, benchmark),
        cache=home.cache,
        progress=progress,
    )
