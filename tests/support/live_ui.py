"""The Dagster UI as a person uses it: through GraphQL, of `ab-assets ui` on this machine or of any webserver."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

LAUNCH = """
mutation($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
RELAUNCH = """
mutation($params: ReexecutionParams!) {
  launchRunReexecution(reexecutionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
TERMINATE = """
mutation($id: String!) {
  terminateRun(runId: $id, terminatePolicy: SAFE_TERMINATE) {
    __typename
    ... on TerminateRunFailure { message }
    ... on PythonError { message }
  }
}
"""
RUN = """
query($id: ID!) {
  runOrError(runId: $id) {
    ... on Run { status stepStats { stepKey } assetMaterializations { assetKey { path } metadataEntries { label
      ... on BoolMetadataEntry { boolValue } ... on MarkdownMetadataEntry { mdStr } } } }
  }
}
"""
RUNS = """
{ runsOrError { ... on Runs { results { runId jobName status tags { key value } } } } }
"""
EVENTS = """
query($id: ID!, $after: String) {
  logsForRun(runId: $id, afterCursor: $after) {
    ... on EventConnection { cursor hasMore events { __typename ... on MessageEvent { message }
      ... on ExecutionStepFailureEvent { error { message stack causes { message stack } } } } }
  }
}
"""
BACKFILL = """
mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
BACKFILL_STATUS = """
query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status
  runs(limit: 20) { runId status tags { key value } } } } }
"""
SELECTOR = {"repositoryName": "__repository__", "repositoryLocationName": "ab_assets"}
ENDED = ("SUCCESS", "FAILURE", "CANCELED")


class Ui:
    """A webserver."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, query: str, **variables: object) -> dict:
        """Return the answer, which has to be one."""
        answer = requests.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def start(self, job: str, assets: list[str], tags: dict[str, str], config: dict) -> str:
        """Launch a run of some assets of a job and return its id."""
        params = {
            "selector": SELECTOR | {"pipelineName": job, "assetSelection": [{"path": [name]} for name in assets]},
            "runConfigData": json.dumps(config),
            "mode": "default",
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        launched = self.ask(LAUNCH, params=params)["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return launched["run"]["runId"]

    def start_again(self, run_id: str) -> str:
        """Re-execute all of a run and return the new one's id."""
        params = {"parentRunId": run_id, "strategy": "ALL_STEPS"}
        launched = self.ask(RELAUNCH, params=params)["launchRunReexecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return launched["run"]["runId"]

    def cancel(self, run_id: str) -> None:
        """Cancel a run as the UI does when its box "force" is not ticked."""
        answer = self.ask(TERMINATE, id=run_id)["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer

    def launch(self, job: str, assets: list[str], tags: dict[str, str], config: dict) -> dict:
        """Launch a run and return it when it has ended."""
        run_id = self.start(job, assets, tags, config)
        return until(lambda: self.ended(run_id))

    def ended(self, run_id: str) -> dict | None:
        """Return the run if it has ended."""
        run = self.ask(RUN, id=run_id)["runOrError"]
        return run if run["status"] in ENDED else None

    def status(self, run_id: str) -> str:
        """Return the status of a run."""
        return self.ask(RUN, id=run_id)["runOrError"]["status"]

    def runs(self) -> list[dict]:
        """Return all runs, newest first, with their tags."""
        found = self.ask(RUNS)["runsOrError"]["results"]
        return [run | {"tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found]

    def said(self, run_id: str) -> str:
        """Return what the run's page shows of its events: messages, and errors with their tracebacks."""
        lines, after, more = [], None, True
        while more:
            found = self.ask(EVENTS, id=run_id, after=after)["logsForRun"]
            after, more = found["cursor"], found["hasMore"]
            for event in found["events"]:
                lines.append(event.get("message", ""))
                if error := event.get("error"):
                    for one in (error, *error["causes"]):
                        lines += [one["message"], *one["stack"]]
        return "\n".join(lines)

    def backfill(self, job: str, partitions: list[str]) -> str:
        """Launch a backfill of a job and return its id."""
        params = {
            "selector": {"partitionSetName": f"{job}_partition_set", "repositorySelector": SELECTOR},
            "partitionNames": partitions,
        }
        launched = self.ask(BACKFILL, params=params)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return launched["backfillId"]

    def backfilled(self, backfill_id: str) -> dict | None:
        """Return the backfill if it has ended."""
        found = self.ask(BACKFILL_STATUS, id=backfill_id)["partitionBackfillOrError"]
        return found if found["status"].startswith("COMPLETED") or found["status"] == "FAILED" else None

    def answers(self) -> Ui | None:
        """Return this when it shows the code location."""
        try:
            found = self.ask("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")
        except requests.ConnectionError:
            return None
        return self if found["repositoriesOrError"].get("nodes") else None


def until(check, *, attempts: int = 240):
    """Return the first answer that is not None; a bounded number of looks."""
    for _ in range(attempts):
        if (answer := check()) is not None:
            return answer
        time.sleep(0.5)
    pytest.fail("it did not happen")
    return None


@contextmanager
def served(home: Path, log: Path | None = None, **environment: str) -> Iterator[Ui]:
    """Yield `ab-assets ui` of a home, without automation unless `environment` says otherwise."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Path(log or os.devnull).open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "ab_assets.cli", "ui", "--port", str(port)],
            env=os.environ | {"AB_ASSETS_HOME": str(home), "AB_ASSETS_AUTOMATION": "off"} | environment,
            stdout=stream,
            stderr=stream,
        )
        try:
            yield until(Ui(f"http://127.0.0.1:{port}").answers)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
