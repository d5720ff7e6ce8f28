"""The demo knows the truth, so it is a test: AntiBERTy finds what was planted, its control finds nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.real_weights, pytest.mark.xdist_group("weights")]


def run(home, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-m", "ab_assets.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"AB_ASSETS_HOME": str(home)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    home = tmp_path_factory.mktemp("demo")
    run(home, "demo")
    return home


@pytest.fixture(scope="module", params=["demo-specificity", "demo-paratope"])
def document(request, demo):
    return json.loads(run(demo, "metrics", request.param, "--json"))


def auroc(document, method: str) -> dict:
    return document["methods"][method]["auroc"]


def test_fine_tuned_antiberty_finds_the_planted_rule(document):
    assert auroc(document, "antiberty fine-tuned")["value"] >= 0.80


def test_it_is_far_above_its_control(document):
    control = auroc(document, "antiberty fine-tuned-shuffled")["value"]
    assert auroc(document, "antiberty fine-tuned")["value"] - control >= 0.15


def test_no_leak_is_found(document):
    certificate = document["certificate"]
    assert certificate["passed"]
    assert certificate["enforced"]
    assert certificate["maximum"]["vh"] < 0.9
    assert certificate["maximum"]["cdrh3"] < 0.8


def test_the_second_demo_reuses_everything(demo):
    said = run(demo, "demo")
    assert "prepare demo-specificity: 0 made, 6 reused" in said
    assert "evaluate demo-paratope antiberty: 0 made, 6 reused" in said
