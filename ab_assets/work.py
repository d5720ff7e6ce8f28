"""The work of one (benchmark, model), in this process or in a pod: one load of the weights for all that is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ab_assets.artifacts.code_version import changed_since_loaded
from ab_assets.artifacts.publication import Outcome, known_answer, publish_once
from ab_assets.artifacts.store import Ref
from ab_assets.candidates import draw_up_candidates
from ab_assets.errors import AbAssetsError, MissingArtifactError
from ab_assets.graph import CANDIDATES, COMPUTED, NODES
from ab_assets.plan import question_now
from ab_assets.products import products_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ab_assets.artifacts.costs import Meter
    from ab_assets.home import Home
    from ab_assets.progress import Progress

# What computes is imported with this module, some time after its digests were taken for the questions.
_CHANGED = changed_since_loaded(sorted({name for asset in COMPUTED for name in NODES[asset].code}))


@dataclass(frozen=True, slots=True)
class Work:
    """What is wanted of one model on one benchmark. `force`: make it again even when it is there."""

    benchmark: str
    model: str
    wanted: frozenset[str]
    force: bool = False

    def refs(self) -> list[Ref]:
        """Return the wanted partitions, upstream first."""
        return [Ref(asset, self.benchmark, self.model) for asset in COMPUTED if asset in self.wanted]


def run_work(home: Home, work: Work, progress: Progress, meter: Meter | None = None) -> Iterator[Outcome]:
    """Yield what each wanted partition shows, upstream first; what was answered before is reused.

    Raises AbAssetsError when this process may have loaded other code than its questions name.
    """
    if _CHANGED:
        what = f"the code changed while this process was starting: {', '.join(_CHANGED)}"
        raise AbAssetsError(what=what, hint="Run it again.")
    benchmark = home.benchmark(work.benchmark)
    products = products_for(home, benchmark, work.model, progress, meter)
    for ref in work.refs():
        question = question_now(home, ref)
        if ref.asset == CANDIDATES:
            yield publish_once(
                products.store, ref, question, lambda draft: draw_up_candidates(home, products, draft), force=work.force
            )
        else:
            yield products.publish(ref.asset, question, force=work.force)


def answered(home: Home, work: Work) -> list[Outcome]:
    """Return the first of the wanted partitions whose questions were answered before; all of them, or there is work."""
    outcomes: list[Outcome] = []
    for ref in () if work.force else work.refs():
        try:
            known = known_answer(home.store, ref, question_now(home, ref))
            if known is None:
                break
            home.store.point(ref, known)
        except MissingArtifactError:
            break
        outcomes.append(Outcome(ref, known, reused=True))
    return outcomes
