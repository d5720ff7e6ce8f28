"""Runs that fail with a given error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import job, op

if TYPE_CHECKING:
    from dagster import DagsterInstance


def failing(
    instance: DagsterInstance, error: Exception, name: str = "prepare", tags: dict[str, str] | None = None
) -> str:
    """Return the id of a run of a job that has failed with the error; by default it is of the partition `tiny`."""

    @op
    def step() -> None:
        raise error

    @job(name=name)
    def made() -> None:
        step()

    tags = {"dagster/partition": "tiny"}
    return made.execute_in_process(instance=instance, raise_on_error=False, tags=tags).run_id
