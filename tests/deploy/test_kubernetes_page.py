"""docs/kubernetes.md: every key is explained, its examples are accepted, its commands name files that exist."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest
import yaml
from deployment import DEPLOY, ROOT

from ab_assets.models.catalogue import load_catalogue
from resources.kubernetes.causes import Cause
from resources.kubernetes.installation import Gpu, HomeVolume, Installation, ModelSettings, Waiting
from resources.kubernetes.retries import RESUMED

PAGE = (ROOT / "docs" / "kubernetes.md").read_text()
CAUSES = sorted(set(Cause) - {Cause.SUCCEEDED})


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def _rows() -> list[list[str]]:
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def _section(title: str) -> str:
    (found,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return found


@pytest.mark.parametrize("table", [Installation, HomeVolume, Gpu, Waiting, ModelSettings])
def test_every_key_is_explained(table):
    explained = {name for row in _rows() for name in re.findall(r"`([a-z_]+)`", row[0])}
    tables = set(re.findall(r"`\[([a-z]+)[\].]", _section("kubernetes.toml")))
    assert set(table.model_fields) - explained - tables == set()


def test_the_example_is_accepted():
    (example,) = [block for block in _blocks("toml") if "namespace" in block]
    found = Installation.model_validate(tomllib.loads(example))
    assert found.models["esm2-650m"].gpu_resource == "nvidia.com/mig-1g.10gb"
    assert found.models.keys() <= load_catalogue().keys()


def test_the_examples_of_gpu_sharing_are_accepted():
    text = (DEPLOY / "gpu-sharing" / "README.md").read_text()
    examples = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        Installation.model_validate({"image": "registry.example.org/ab-assets:0.1.0-cuda"} | tomllib.loads(example))


@pytest.mark.parametrize("cause", CAUSES)
def test_a_cause_says_what_happens_next(cause):
    (row,) = [row for row in _rows() if row[0] == cause]
    assert len(row) == 4
    assert all(row)
    assert ("goes on from the last snapshot" in row[2] and "fails" not in row[2]) == (cause in RESUMED)
    assert ("memory_steps" in row[2]) == (cause == "OutOfMemory")


def test_files_that_the_page_names_exist():
    for name in set(re.findall(r"\bdeploy/[A-Za-z0-9_./-]*[A-Za-z0-9]", PAGE)):
        assert (ROOT / name).exists(), name
    for name in set(re.findall(r"`((?:base|home|options|gpu-sharing)/[a-z0-9_-]+\.yaml)`", PAGE)):
        assert any((folder / name).is_file() for folder in (DEPLOY, DEPLOY / "kubernetes")), name


def test_links_lead_somewhere():
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)#]*#?[^)]*)\)", PAGE):
        path, _, anchor = target.partition("#")
        if path.startswith("http"):
            continue
        assert not path or (ROOT / "docs" / path).exists(), target
        assert path or anchor in anchors, target
    assert "(docs/kubernetes.md)" in (ROOT / "README.md").read_text()


def test_commands_are_valid_shell():
    for block in _blocks("sh"):
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block}\n{done.stderr}"


def test_limits_on_the_page_are_those_of_the_values():
    helm = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text())
    in_all, each = helm["dagsterDaemon"]["runCoordinator"]["config"]["queuedRunCoordinator"]["tagConcurrencyLimits"]
    said = f"in all ({in_all['limit']}) and of the same model ({each['limit']})"
    assert said in re.sub(r"\s+", " ", PAGE)


def test_the_chart_has_the_version_of_dagster():
    (version,) = re.findall(r"^dagster==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    texts = [PAGE, (DEPLOY / "small-cluster" / "values.yaml").read_text()]
    assert {found for text in texts for found in re.findall(r"--version (\S+)", text)} == {version}


def test_gpus_are_shared_in_ways_that_the_device_plugin_knows():
    plugin = yaml.safe_load((DEPLOY / "gpu-sharing" / "device-plugin.yaml").read_text())
    ways = {name: yaml.safe_load(text) for name, text in plugin["data"].items()}
    assert {name: way["flags"]["migStrategy"] for name, way in ways.items()} == {
        "whole": "none", "time-sliced": "none", "mig": "mixed", "mps": "none",
    }  # fmt: skip
    assert all(way["version"] == "v1" for way in ways.values())
    slices = ways["time-sliced"]["sharing"]["timeSlicing"]
    assert slices["renameByDefault"] is True, "nobody gets a share without asking for one"
    assert slices["failRequestsGreaterThanOne"] is True
    assert [item["name"] for item in slices["resources"]] == ["nvidia.com/gpu"]
    assert ways["mps"]["sharing"]["mps"]["resources"][0]["replicas"] > 1
    chart = yaml.safe_load((DEPLOY / "gpu-sharing" / "device-plugin-helm-values.yaml").read_text())
    assert chart["config"] == {"name": plugin["metadata"]["name"], "default": "whole"}
    cuts = yaml.safe_load((DEPLOY / "gpu-sharing" / "mig-parted.yaml").read_text())["data"]["config.yaml"]
    for cut in yaml.safe_load(cuts)["mig-configs"].values():
        for devices in cut:
            sizes = devices.get("mig-devices", {})
            assert sum(int(size.partition("g")[0]) * count for size, count in sizes.items()) <= 7
