"""A namespace of the cluster that KUBECONFIG names, and homes that its pods share with the tests."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

import pytest
import yaml
from pod_cluster import TEMPLATE, Namespace, kubectl, pod_image, pod_template
from pod_models import prepare
from tests_support import TWINS

from ab_assets.home import Home


def pytest_collection_modifyitems(items):
    why = next((f"{name} is not set" for name in ("KUBECONFIG", TEMPLATE) if not os.environ.get(name)), None)
    for item in items:
        if why and Path(__file__).parent in item.path.parents and item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.skip(reason=f"no cluster to test on: {why}"))


@pytest.fixture(scope="session")
def namespace():
    found = Namespace(f"ab-assets-test-{uuid.uuid4().hex[:8]}")
    kubectl("create", "namespace", found.name)
    found.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ab-assets-worker"}})
    yield found
    volumes = [claim["spec"]["volumeName"] for claim in found.get("pvc")]
    kubectl("delete", "namespace", found.name, "--wait=false")
    for volume in volumes:
        kubectl("delete", "pv", volume, "--wait=false")


@pytest.fixture
def pod_home(namespace, tmp_path_factory):
    """Return a function that makes a home which pods of the namespace share, with kubernetes.toml."""
    folders = []

    def make(settings: str = "", *, base: Path | None = None, twins: str = TWINS) -> Home:
        root = tmp_path_factory.mktemp("pod-home")
        folders.append(root)
        if base is not None:
            shutil.copytree(base, root, dirs_exist_ok=True, symlinks=True)
        (root / "models").mkdir(exist_ok=True)
        (root / "models" / "twins.toml").write_text(twins)
        claim = f"home-{uuid.uuid4().hex[:8]}"
        namespace.share(root, claim)
        (root / "template.yaml").write_text(yaml.safe_dump(pod_template()))
        (root / "kubernetes.toml").write_text(
            f'namespace = "{namespace.name}"\nimage = "{pod_image()}"\npod_template = "template.yaml"\n'
            f'environment = {{ OMP_NUM_THREADS = "1", POLARS_MAX_THREADS = "1" }}\n'
            f'home = {{ claim = "{claim}" }}\ngpu = {{ required = false }}\n{settings}'
        )
        return Home(root)

    yield make
    for job in namespace.get("jobs"):
        kubectl("-n", namespace.name, "delete", "job", job["metadata"]["name"], "--wait=false")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """Return the folder of a home with a benchmark of three models, prepared."""
    root = tmp_path_factory.mktemp("prepared")
    prepare(root, tmp_path_factory.mktemp("given"))
    return root
