"""How much models may compute by themselves: `automation.toml` in the home."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ab_assets.settings import problems_in, read_toml, refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ab_assets.home import Home
    from sensors.due import Request

FILE_NAME = "automation.toml"


class Budget(BaseModel):
    """What `refresh` may ask of models. Runs that only score what was computed, or report it, are not counted.

    `model_runs_at_once` and `model_runs_per_day` (24 hours back): of those in which a model computes; None: no limit.
    `code_changes`: "auto" computes again when nothing but code has changed, "ask" leaves that to a person.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_runs_at_once: Annotated[int, Field(ge=0)] | None = None
    model_runs_per_day: Annotated[int, Field(ge=0)] | None = None
    code_changes: Literal["auto", "ask"] = "ask"


def read_budget(home: Home) -> Budget:
    """Return the budget of this home, by default no limit. Raises BadInputError with every problem of the file."""
    path = home.root / FILE_NAME
    try:
        return Budget.model_validate(read_toml(path))
    except ValidationError as error:
        raise refused(path, problems_in(error, Budget), what="the settings of the automation") from error


def within(budget: Budget, requests: Sequence[Request], *, at_work: int, of_the_day: int) -> tuple[list[Request], str]:
    """Return the requests that the budget allows, in their order, and what is said of the others, "" when none waits.

    `at_work`: runs that are not over in which models compute. `of_the_day`: those asked for in the last 24 hours.
    """
    left, why = _left(budget, at_work, of_the_day)
    allowed: list[Request] = []
    waiting = 0
    for request in requests:
        if request.computes and left <= 0:
            waiting += 1
            continue
        left -= request.computes
        allowed.append(request)
    return allowed, f"{waiting} runs of models wait: {why}" if waiting else ""


def _left(budget: Budget, at_work: int, of_the_day: int) -> tuple[float, str]:
    limits: list[tuple[float, str]] = [(float("inf"), "")]
    if budget.model_runs_at_once is not None:
        limits.append((budget.model_runs_at_once - at_work, f"model_runs_at_once = {budget.model_runs_at_once}"))
    if budget.model_runs_per_day is not None:
        limits.append((budget.model_runs_per_day - of_the_day, f"model_runs_per_day = {budget.model_runs_per_day}"))
    return min(limits)
