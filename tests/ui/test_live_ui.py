"""The UI as a person uses it, through GraphQL against a live webserver and daemon on loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import requests

pytestmark = [pytest.mark.ui, pytest.mark.xdist_group("ui")]

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
RUN = """
query($id: ID!) {
  runOrError(runId: $id) {
    ... on Run { status stepStats { stepKey } assetMaterializations { assetKey { path } metadataEntries { label
      ... on BoolMetadataEntry { boolValue } ... on MarkdownMetadataEntry { mdStr } } } }
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
  runs(limit: 20) { status tags { key value } } } } }
"""
SELECTOR = {"repositoryName": "__repository__", "repositoryLocationName": "ab_assets"}


class Ui:
    """A served home."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, query: str, **variables: object) -> dict:
        answer = requests.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def launch(self, job: str, assets: list[str], tags: dict[str, str], config: dict) -> dict:
        params = {
            "selector": SELECTOR | {"pipelineName": job, "assetSelection": [{"path": [name]} for name in assets]},
            "runConfigData": json.dumps(config),
            "mode": "default",
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        launched = self.ask(LAUNCH, params=params)["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return until(lambda: self._finished(launched["run"]["runId"]))

    def _finished(self, run_id: str) -> dict | None:
        run = self.ask(RUN, id=run_id)["runOrError"]
        return run if run["status"] in ("SUCCESS", "FAILURE", "CANCELED") else None


def until(check, *, attempts: int = 240):
    """Return the first answer that is not None; a bounded number of looks."""
    for _ in range(attempts):
        if (answer := check()) is not None:
            return answer
        time.sleep(0.5)
    pytest.fail("it did not happen")
    return None


@pytest.fixture(scope="module")
def ui(made):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "ab_assets.cli", "ui", "--port", str(port)],
        env=os.environ | {"AB_ASSETS_HOME": str(made.root), "AB_ASSETS_AUTOMATION": "off"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    served = Ui(port)

    def answers():
        try:
            found = served.ask("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")
        except requests.ConnectionError:
            return None
        return served if found["repositoriesOrError"].get("nodes") else None

    try:
        yield until(answers)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def reused(run: dict) -> dict[str, bool]:
    return {
        item["assetKey"]["path"][-1]: next(e["boolValue"] for e in item["metadataEntries"] if e["label"] == "reused")
        for item in run["assetMaterializations"]
    }


def test_assets_are_grouped_by_stage_with_descriptions(ui):
    nodes = ui.ask("{ assetNodes { assetKey { path } groupName description kinds } }")["assetNodes"]
    groups = {node["groupName"] for node in nodes}
    assert groups == {"datasets", "splits", "models", "evaluation", "reports"}
    assert all(node["description"] and node["kinds"] for node in nodes)


def test_what_the_command_line_made_shows_in_the_ui(ui):
    found = ui.ask(
        '{ assetOrError(assetKey: {path: ["report"]}) { ... on Asset { assetMaterializations { partition } } } }'
    )
    partitions = {item["partition"] for item in found["assetOrError"]["assetMaterializations"]}
    assert {"tiny-specificity", "tiny-paratope"} <= partitions


def test_materializing_a_made_partition_reuses_it(ui):
    run = ui.launch("prepare", ["split"], {"dagster/partition": "tiny-paratope"}, {})
    assert run["status"] == "SUCCESS"
    assert reused(run) == {"split": True}


def test_force_executes_exactly_that_step(ui):
    config = {"ops": {"split": {"config": {"force": True}}}}
    run = ui.launch("prepare", ["split"], {"dagster/partition": "tiny-paratope"}, config)
    assert run["status"] == "SUCCESS"
    assert reused(run) == {"split": False}
    assert [step["stepKey"] for step in run["stepStats"]] == ["split"]


def test_a_person_sees_tables_and_a_picture(ui):
    run = ui.launch("report", ["report", "metric_table"], {"dagster/partition": "tiny-paratope"}, {})
    entries = [entry for item in run["assetMaterializations"] for entry in item["metadataEntries"]]
    shown = {entry["label"]: entry.get("mdStr") for entry in entries}
    assert shown["metrics"].startswith("| method |")
    assert shown["picture"].startswith("![scores](data:image/svg+xml")


def test_one_model_is_backfilled_over_all_benchmarks(ui):
    params = {
        "selector": {"partitionSetName": "evaluate_partition_set", "repositorySelector": SELECTOR},
        "partitionNames": ["tiny-paratope|twin-esm", "tiny-specificity|twin-esm"],
    }
    launched = ui.ask(BACKFILL, params=params)["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched

    def done():
        found = ui.ask(BACKFILL_STATUS, id=launched["backfillId"])["partitionBackfillOrError"]
        return found if found["status"].startswith("COMPLETED") or found["status"] == "FAILED" else None

    backfill = until(done)
    assert [run["status"] for run in backfill["runs"]] == ["SUCCESS", "SUCCESS"]
    keys = {tag["value"] for run in backfill["runs"] for tag in run["tags"] if tag["key"] == "dagster/partition"}
    assert keys == {"tiny-paratope|twin-esm", "tiny-specificity|twin-esm"}
