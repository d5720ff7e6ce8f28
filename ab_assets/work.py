"""The work of one (benchmark, model), in this process or in a pod: one load of the weights for all that is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ab_assets.artifacts.publication import Outcome, known_answer
from ab_assets.artifacts.store import Ref
from ab_assets.errors import MissingArtifactError
from ab_assets.graph import PRODUCTS, recipe_of
from ab_assets.plan import question_now
from ab_assets.splits.certified import certified_roles
from ab_assets.training.products import ModelProducts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ab_assets.artifacts.costs import Meter
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

    def refs(self) -> list[Ref]:
        """Return the wanted partitions, upstream first."""
        return [Ref(asset, self.benchmark, self.model) for asset in PRODUCTS if asset in self.wanted]


def run_work(home: Home, work: Work, progress: Progress, meter: Meter | None = None) -> Iterator[Outcome]:
    """Yield what each wanted partition shows, upstream first; what was answered before is reused."""
    products = products_for(home, home.benchmark(work.benchmark), work.model, progress, meter)
    for ref in work.refs():
        yield products.publish(ref.asset, question_now(home, ref), force=work.force)


def answered(home: Home, work: Work) -> list[Outcome]:
    """Return the first of the wanted partitions whose questions were answered before; all of them, or there is work."""
    outcomes: list[Outcome] = []
    for ref in () if work.force else work.refs():
        try:
            known = known_answer(home.store, ref, question_now(home, ref))
        except MissingArtifactError:
            break
        if known is None:
            break
        home.store.point(ref, known)
        outcomes.append(Outcome(ref, known, reused=True))
    return outcomes


def products_for(
    home: Home, benchmark: Benchmark, model: str, progress: Progress, meter: Meter | None = None
) -> ModelProducts:
    """Return one model on one benchmark, its weights not loaded yet and its split behind the certificate."""
    spec, store, split = home.model(model), home.metered_store(meter), Ref("split", benchmark.name)
    return ModelProducts(
        store,
        benchmark,
        spec,
        recipe_of(spec, benchmark),
        certified_roles=lambda rows: certified_roles(store.require(split), rows, benchmark),
        cache=home.cache,
        progress=progress,
    )
