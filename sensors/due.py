"""What to ask for now, of one benchmark: decided from its plan, the runs under way, and how earlier ones ended.

Nothing here knows Dagster or reads a disk. Nothing is remembered between two looks: what failed is counted from the
runs themselves, so that content going A, B, A is asked for again, and a question that keeps failing is not.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from ab_assets.artifacts.fingerprint import digest_of
from ab_assets.graph import COMPUTED, NODES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from ab_assets.graph import Job
    from ab_assets.plan import Step

How: TypeAlias = Literal["succeeded", "failed", "refused", "canceled"]
"""`refused`: it failed for its input, which no other try changes."""

TRIES = 3

# Seconds from one failure to the next try, for each failure before: what is broken for minutes uses up no tries.
PAUSES = (60.0, 300.0)
# How `plan` words that a module changed, and that something upstream did.
CODE = "code of "
FOLLOWS = ("] is stale", "] is not made yet")
_REASONS_SHOWN = 3
_LONGEST_WHY = 300  # it becomes a tag


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """One partition of one job."""

    job: Job
    benchmark: str
    model: str | None = None

    def __str__(self) -> str:
        return f"{self.job}[{self.benchmark}{f'|{self.model}' if self.model else ''}]"


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that this sensor had asked for and that is over: which question, how it ended, how many seconds ago."""

    asked_for: str
    how: How
    ago: float = math.inf


@dataclass(frozen=True, slots=True)
class Request:
    """A run to ask for. `asked_for` is the digest of the question, `why` a few words for a person.

    `content`: the fingerprint of the source files that are meant, so that the run makes these or nothing. `computes`:
    the model itself has work, on GPUs where it needs them.
    """

    target: Target
    asked_for: str
    why: str
    content: str = ""
    computes: bool = False


@dataclass(frozen=True, slots=True)
class Due:
    """What to ask for now; what failed and is asked for later; what is left out for good, and why.

    `later` and `left_out` name a job and its partition, or a model.
    """

    requests: tuple[Request, ...] = ()
    later: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def due(
    steps: Sequence[Step],
    running: Collection[Target],
    past: Callable[[Target], Sequence[Ended]],
    cannot: Mapping[str, str],
    *,
    tries: int = TRIES,
    ask_for_code: bool = False,
) -> Due:
    """Return what one benchmark needs next, stage by stage: prepare, then each model, then the report.

    `steps`: its plan. `running`: targets with a run that is not over. `past`: the ended runs of a target that were
    asked for from here, newest first. `cannot`: {model: why} of models that cannot be run here.
    `ask_for_code`: a person is to ask for a model's work that nothing but other code calls for.
    No stage starts while another that it reads, or that reads it, is under way.
    """
    stages: dict[Target, list[Step]] = defaultdict(list)
    for step in steps:
        stages[Target(NODES[step.ref.asset].job, step.ref.benchmark, step.ref.model)].append(step)
    busy = {target.job for target in running}
    for target in (one for one in stages if one.job == "prepare"):
        if any(step.reasons for step in stages[target]):
            return Due() if running else _asked([target], stages, past, tries)
    models = [one for one in stages if one.job == "evaluate" and any(step.reasons for step in stages[one])]
    left_out = [f"model {one.model}: {cannot[one.model]}" for one in models if one.model and one.model in cannot]
    held = [one for one in models if ask_for_code and one.model not in cannot and _is_code_alone(stages[one])]
    left_out += [f"{one}: only its code has changed, and code_changes = ask: run it from the UI" for one in held]
    models = [one for one in models if one not in held]
    asked = Due()
    if not busy & {"prepare", "report"}:
        asked = _asked([one for one in models if one.model not in cannot and one not in running], stages, past, tries)
    left_out += asked.left_out
    if not (asked.requests or asked.later or running or held):  # what a person is asked for is not given up
        reports = [one for one in stages if one.job == "report" and not all(step.answered for step in stages[one])]
        asked = _asked(reports, stages, past, tries)
        left_out += asked.left_out
    return Due(asked.requests, asked.later, tuple(left_out))


def _asked(
    targets: Sequence[Target],
    stages: Mapping[Target, Sequence[Step]],
    past: Callable[[Target], Sequence[Ended]],
    tries: int,
) -> Due:
    requests, later, left_out = [], [], []
    for target in targets:
        open_ = [step for step in stages[target] if step.reasons and not step.answered]
        asked_for = digest_of({str(step.ref): step.posed for step in stages[target]})
        streak = _streak(asked_for, past(target))
        if why_not := _given_up(streak, tries):
            left_out.append(f"{target}: {why_not}")
        elif streak and streak[0].ago < PAUSES[min(len(streak), len(PAUSES)) - 1]:
            later.append(f"{target} {streak[0].how} and is asked for again soon")
        else:
            content = next((step.asked for step in stages[target] if step.ref.asset == "raw_dataset"), "")
            computes = any(step.ref.asset in COMPUTED for step in open_)
            requests.append(Request(target, asked_for, _why(open_), content, computes))
    return Due(tuple(requests), tuple(later), tuple(left_out))


def _is_code_alone(steps: Sequence[Step]) -> bool:
    """Tell whether models would compute again for other code and for nothing else."""
    reasons = [reason for step in steps if step.ref.asset in COMPUTED for reason in step.reasons]
    own = [reason for reason in reasons if not reason.endswith(FOLLOWS)]
    return bool(own) and all(reason.startswith(CODE) for reason in own)


def _streak(asked_for: str, past: Sequence[Ended]) -> list[Ended]:
    """Return the runs that asked the question since another one was asked, newest first."""
    return list(itertools.takewhile(lambda run: run.asked_for == asked_for, past))


def _given_up(streak: Sequence[Ended], tries: int) -> str:
    """Return why a question is not asked again after the runs that asked it last, newest first; else ""."""
    if streak and streak[0].how == "canceled":
        return "someone canceled its run; run it from the UI, or change what it reads"
    if streak and streak[0].how == "refused":
        return "what it reads is refused, as its run says; it is asked for again when that has changed"
    if len(streak) < tries:
        return ""
    if streak[0].how == "succeeded":
        return f"{len(streak)} runs did not make it; reload the code location if its code has changed"
    return f"failed {len(streak)} times; its runs say why; run it from the UI when that is mended"


def _why(steps: Sequence[Step]) -> str:
    """Return the reasons of the first stale partition: those after it follow from it."""
    first = steps[0]
    more = len(first.reasons) - _REASONS_SHOWN
    reasons = "; ".join(first.reasons[:_REASONS_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"{first.ref.asset}: {reasons}"[:_LONGEST_WHY]
