"""The UI as a person uses it, through GraphQL against a live webserver and daemon on loopback."""

from __future__ import annotations

import pytest
from live_ui import served, until

pytestmark = [pytest.mark.ui, pytest.mark.xdist_group("daemon")]


@pytest.fixture(scope="module")
def ui(made):
    with served(made.root) as found:
        yield found


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
    backfill_id = ui.backfill("evaluate", ["tiny-paratope|twin-esm", "tiny-specificity|twin-esm"])
    backfill = until(lambda: ui.backfilled(backfill_id))
    assert [run["status"] for run in backfill["runs"]] == ["SUCCESS", "SUCCESS"]
    keys = {tag["value"] for run in backfill["runs"] for tag in run["tags"] if tag["key"] == "dagster/partition"}
    assert keys == {"tiny-paratope|twin-esm", "tiny-specificity|twin-esm"}
