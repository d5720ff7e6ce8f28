"""The demo knows the truth, so it is a test: AntiBERTy finds what was planted, its control finds nothing."""

from __future__ import annotations

import json

import pytest
from sklearn.metrics import average_precision_score
from tests_support import ab_assets

from ab_assets.home import Home
from ab_assets.products import products_for
from ab_assets.progress import silent
from ab_assets.training.data import FitData

pytestmark = pytest.mark.real_weights

EACH = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("demo-specificity", "demo-paratope")]


@pytest.fixture(scope="module", params=EACH)
def demo(request, tmp_path_factory):
    """Return the home of one demo, and its name."""
    home = tmp_path_factory.mktemp("demo")
    ab_assets(home, "demo", request.param)
    return home, request.param


@pytest.fixture(scope="module")
def document(demo):
    home, name = demo
    return json.loads(ab_assets(home, "metrics", name, "--json"))


def auroc(document, method: str) -> dict:
    return document["methods"][method]["auroc"]


def test_fine_tuned_antiberty_finds_the_planted_rule(document):
    assert auroc(document, "antiberty fine-tuned")["value"] >= 0.80


def test_it_is_far_above_its_control(document):
    control = auroc(document, "antiberty fine-tuned-shuffled")["value"]
    assert auroc(document, "antiberty fine-tuned")["value"] - control >= 0.15


def test_the_controls_interval_holds_a_half(document):
    control = auroc(document, "antiberty fine-tuned-shuffled")
    assert control["low"] <= 0.5 <= control["high"]


def test_random_weights_are_worth_less_to_a_probe(demo, tmp_path):
    """Same data, same tokens, same architecture: only what was learned before is missing."""
    home, probes = Home(demo[0]), {}
    for model in ("antiberty", "antiberty-random"):
        products = products_for(home, home.benchmark(demo[1]), model, silent)
        roles = products.roles.filter(fit=0)
        test = products.rows.join(roles.filter(role="test"), on="row_id", how="semi")
        data = FitData.build(
            products.rows, roles, fit=0, task=products.benchmark.task, chain_names=products.benchmark.chain_names
        )
        products.session.fit_probe(data, 1, tmp_path)
        scored = products.session.predict_probe(tmp_path, test)
        probes[model] = average_precision_score(scored["label"], scored["score"])
    assert probes["antiberty"] - probes["antiberty-random"] >= 0.03


def test_no_leak_is_found(document):
    certificate = document["certificate"]
    assert certificate["passed"]
    assert certificate["enforced"]
    assert certificate["maximum"]["vh"] < 0.9
    assert certificate["maximum"]["cdrh3"] < 0.8


def test_the_second_demo_reuses_everything(demo):
    home, name = demo
    said = ab_assets(home, "demo", name)
    assert f"prepare {name}: 0 made, 7 reused" in said
    assert f"evaluate {name} antiberty: 0 made, 6 reused" in said
