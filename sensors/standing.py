"""How one benchmark stands: what is asked of it, what there is, what is missing and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ab_assets.artifacts.fingerprint import digest_of
from ab_assets.artifacts.store import Ref
from ab_assets.errors import AbAssetsError
from ab_assets.graph import NODES, loaded_code
from ab_assets.plan import question_for
from sensors.due import Target
from sensors.refresh import DIGESTS, planned
from sensors.rounds import Standing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster import DagsterInstance

    from ab_assets.benchmarks.schema import Benchmark
    from ab_assets.graph import Code
    from ab_assets.home import Home
    from ab_assets.models.catalogue import ModelSpec
    from ab_assets.plan import Step
    from sensors.due import Due
    from sensors.refresh import Models


@dataclass(frozen=True, slots=True)
class Found:
    """One benchmark at one look: how it stands, what is due, what is running."""

    benchmark: Benchmark
    standing: Standing
    steps: tuple[Step, ...]
    due: Due
    running: frozenset[Target]

    def is_current(self, asset: str, model: str | None = None) -> bool:
        """Tell whether what this partition shows answers what is asked now; earlier content may still be shown.

        Of the table and the report that holds, too, when they were made without models that are missing still.
        """
        steps = {step.ref: step for step in self.steps}
        step = steps.get(Ref(asset, self.benchmark.name, model))
        if step is None or NODES[asset].job != "report":
            return step is not None and not step.reasons
        prepared = not any(one.reasons for one in self.steps if NODES[one.ref.asset].job == "prepare")
        ours = [one for one in self.steps if NODES[one.ref.asset].job == "report"]
        return prepared and all(one.answered for one in ours[: ours.index(step) + 1])

    @property
    def targets(self) -> tuple[Target, ...]:
        """All partitions of jobs that it consists of."""
        name, models = self.benchmark.name, self.benchmark.models
        each = (Target("evaluate", name, model) for model in models)
        return (Target("prepare", name), *each, Target("report", name))


def found(
    instance: DagsterInstance,
    home: Home,
    models: Models,
    name: str,
    running: frozenset[Target],
    *,
    held: bool = False,
    code: Code = loaded_code,
) -> Found | None:
    """Return how a benchmark stands; None when it is retired or cannot be read.

    `held`: a command works on it. `code`: which code runs that start now would load.
    """
    try:
        benchmark = home.benchmark(name)
        if benchmark.retired:
            return None
        report = home.store.current(Ref("report", name))
    except (AbAssetsError, OSError):
        return None
    steps, due = planned(instance, home, models, name, running, code=code)
    try:
        asked = _asked(home, benchmark, models.catalogue, code)
    except AbAssetsError as error:  # it cannot be planned, as `due` says; what it asks is that
        asked = digest_of(str(error))
    except OSError:
        return None
    names = sorted(text.partition(": ")[0] for text in due.left_out)
    outcome = digest_of({"report": report.digest if report else "", "left_out": names})
    is_open = bool(due.requests or due.later or running or held)
    return Found(benchmark, Standing(asked, outcome, is_open), tuple(steps), due, running)


def _asked(home: Home, benchmark: Benchmark, catalogue: Mapping[str, ModelSpec], code: Code) -> str:
    """Return the digest of all questions without what earlier stages answered: it stays as the work goes on."""
    questions, folder = {}, home.folder(benchmark.name)
    for node in NODES.values():
        for model in benchmark.models if node.per_model else (None,):
            ref = Ref(node.name, benchmark.name, model)
            if model is not None and model not in catalogue:
                questions[str(ref)] = "no such model"
                continue
            question = question_for(ref, benchmark, folder, {}, catalogue, digest=DIGESTS.digest, code=code)
            questions[str(ref)] = question.fingerprint
    return digest_of(questions)
