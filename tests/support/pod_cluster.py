"""A namespace of the cluster that KUBECONFIG names, and a pod template with which its pods run this checkout."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

TEMPLATE = "AB_ASSETS_TEST_POD"
"""Names a pod spec (YAML) with which a pod of this cluster runs this checkout; its first container is taken."""


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


def pod_template() -> dict:
    """Return the given pod spec as a template over ours: its first container is the worker, run as its image's user."""
    spec = yaml.safe_load(Path(os.environ[TEMPLATE]).read_text())
    container = spec["containers"][0] | {"name": "worker"}
    container["env"] = [one for one in container["env"] if one["name"] not in ("HOME", "PYTHONUNBUFFERED")]
    for ours in ("command", "resources", "image", "imagePullPolicy"):
        container.pop(ours, None)
    root = {"runAsNonRoot": False, "runAsUser": 0, "runAsGroup": 0, "fsGroup": 0}
    return {"containers": [container], "volumes": spec["volumes"], "securityContext": root}


def pod_image() -> str:
    """Return the image of the given pod spec."""
    return yaml.safe_load(Path(os.environ[TEMPLATE]).read_text())["containers"][0]["image"]
