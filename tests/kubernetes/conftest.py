"""A namespace of the cluster that KUBECONFIG names, and homes that its pods share with the tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from tests_support import TWINS

from ab_assets.home import Home

TEMPLATE = "AB_ASSETS_TEST_POD"
"""Names a pod spec (YAML) with which a pod of this cluster runs this checkout; its first container is taken."""


def pytest_collection_modifyitems(items):
    why = next((f"{name} is not set" for name in ("KUBECONFIG", TEMPLATE) if not os.environ.get(name)), None)
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.xdist_group("cluster"))
            if why:
                item.add_marker(pytest.mark.skip(reason=f"no cluster to test on: {why}"))


def kubectl(*arguments: str, given: object = None) -> str:
    """Return what kubectl prints."""
    done = subprocess.run(
        ["kubectl", *arguments], input=None if given is None else json.dumps(given),
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Namespace:
    """A namespace of its own, gone with everything in it after the tests."""

    name: str

    def get(self, *arguments: str) -> list[dict]:
        """Return objects as kubectl shows them."""
        return json.loads(kubectl("-n", self.name, "get", *arguments, "-o", "json"))["items"]

    def apply(self, manifest: dict) -> None:
        """Create or change an object."""
        kubectl("-n", self.name, "apply", "-f", "-", given=manifest)

    def share(self, folder: Path, claim: str) -> None:
        """Let pods mount `folder` of this machine as the claim."""
        name = f"{self.name}-{claim}"
        self.apply(
            {
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
                "spec": {
                    "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"], "storageClassName": "",
                    "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": str(folder)},
                    "claimRef": {"namespace": self.name, "name": claim},
                },
            }
        )  # fmt: skip
        self.apply(
            {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim},
                "spec": {
                    "accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": name,
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            }
        )  # fmt: skip


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


def pod_template() -> dict:
    """Return the given pod spec as a template over ours: its first container is the worker, run as its image's user."""
    spec = yaml.safe_load(Path(os.environ[TEMPLATE]).read_text())
    container = spec["containers"][0] | {"name": "worker"}
    container["env"] = [one for one in container["env"] if one["name"] not in ("HOME", "PYTHONUNBUFFERED")]
    for ours in ("command", "resources", "image", "imagePullPolicy"):
        container.pop(ours, None)
    root = {"runAsNonRoot": False, "runAsUser": 0, "runAsGroup": 0, "fsGroup": 0}
    return {"containers": [container], "volumes": spec["volumes"], "securityContext": root}


@pytest.fixture(scope="session")
def image() -> str:
    return yaml.safe_load(Path(os.environ[TEMPLATE]).read_text())["containers"][0]["image"]


@pytest.fixture
def pod_home(namespace, image, tmp_path_factory):
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
            f'namespace = "{namespace.name}"\nimage = "{image}"\npod_template = "template.yaml"\n'
            f'environment = {{ OMP_NUM_THREADS = "1", POLARS_MAX_THREADS = "1" }}\n'
            f'home = {{ claim = "{claim}" }}\ngpu = {{ required = false }}\n{settings}'
        )
        return Home(root)

    yield make
    for job in namespace.get("jobs"):
        kubectl("-n", namespace.name, "delete", "job", job["metadata"]["name"], "--wait=false")
