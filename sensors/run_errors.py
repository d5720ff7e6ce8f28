"""The error that ended a run, as Dagster's event log has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagster import DagsterEventType, DagsterInstance

from ab_assets.errors import InfeasibleSplitError, InvalidBenchmarkError, LeakageError, UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster_shared.error import SerializableErrorInfo

_REFUSALS = frozenset(
    kind.__name__ for kind in (InvalidBenchmarkError, UnreadableFileError, LeakageError, InfeasibleSplitError)
)


@dataclass(frozen=True, slots=True)
class RunError:
    """Why a run failed in its own words; `is_refusal`: its input is at fault, so that every other try fails, too."""

    words: str = ""
    is_refusal: bool = False


def run_error(instance: DagsterInstance, run_id: str) -> RunError:
    """Return the error that ended a run, without Dagster's own around it."""
    for entry in instance.all_logs(run_id, of_type=DagsterEventType.STEP_FAILURE):
        data = entry.get_dagster_event().step_failure_data
        said = data.user_failure_data.description if data.user_failure_data is not None else None
        if words := said or _in_words(data.error):
            return RunError(words, _is_refusal(data.error))
    for entry in instance.all_logs(run_id, of_type=DagsterEventType.PIPELINE_FAILURE):
        event = entry.get_dagster_event()
        error = getattr(event.event_specific_data, "error", None)  # a run that is ended from outside has none
        return RunError(_in_words(error) or str(event.message or ""))
    return RunError()


def _in_words(error: SerializableErrorInfo | None) -> str:
    chain = list(_chain(error))
    if not chain:
        return ""
    own = next((one for one in chain if not (one.cls_name or "").startswith("Dagster")), chain[-1])
    name, _, message = own.message.partition(": ")
    return message.strip() if name.startswith("ab_assets.") else own.message.strip()


def _is_refusal(error: SerializableErrorInfo | None) -> bool:
    return any(one.cls_name in _REFUSALS for one in _chain(error))


def _chain(error: SerializableErrorInfo | None) -> Iterator[SerializableErrorInfo]:
    while error is not None:
        yield error
        error = error.cause
