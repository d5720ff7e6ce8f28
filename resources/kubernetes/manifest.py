"""The Job of one attempt: what the model needs, what the installation says, and the user's template over it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.kubernetes.installation import ModelSettings
from resources.kubernetes.merging import merged, read_pod_template

if TYPE_CHECKING:
    from ab_assets.models.specification import ModelSpec
    from resources.kubernetes.installation import Installation

Manifest = dict[str, Any]

CONTAINER = "worker"
WORK = "ab-assets/work"
RUN = "ab-assets/run-id"
ATTEMPT = "ab-assets/attempt"
CAUSES = "ab-assets/causes"
SELECTOR = "app.kubernetes.io/name=ab-assets,app.kubernetes.io/component=worker"

_FACES = {"app.kubernetes.io/name": "ab-assets", "app.kubernetes.io/component": "worker"}
_NO_LABEL = re.compile(r"[^A-Za-z0-9_.-]")
_MIB_PER_GIB = 1024

# Until the deadline of the pod itself, and besides: the Job's own deadline only ends what nobody follows any more.
_SLACK_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Launch:
    """One attempt at the work of one (benchmark, model).

    `name`: of the work, derived from its fingerprint. `causes`: how the attempts before this one ended.
    `memory_factor`: by what the declared memory is multiplied.
    """

    name: str
    benchmark: str
    model: str
    run_id: str
    attempt: int = 1
    memory_factor: float = 1.0
    causes: tuple[str, ...] = ()

    @property
    def job_name(self) -> str:
        """The Job's name: the same for the same work and attempt, so that it cannot be started twice."""
        return f"{self.name}-{self.attempt}"

    @property
    def folder(self) -> str:
        """Where the attempts' files are, relative to the home."""
        return f"work/{self.name}"

    @property
    def specification(self) -> str:
        """What the worker is told, relative to the home."""
        return f"{self.folder}/work-{self.attempt}.json"

    @property
    def messages(self) -> str:
        """What the worker says, relative to the home."""
        return f"{self.folder}/messages-{self.attempt}.jsonl"


def launch_name(benchmark: str, model: str, digest: str) -> str:
    """Return the name of a work: readable, at most 52 characters, a valid name of objects and a label."""
    readable = "-".join(re.sub(r"[^a-z0-9]+", "-", part).strip("-")[:16].strip("-") for part in (benchmark, model))
    return f"ab-{readable}-{digest[:12]}"


def job_manifest(launch: Launch, spec: ModelSpec, installation: Installation) -> Manifest:
    """Return the Job (batch/v1) of one attempt. Raises BadInputError when the user's template is no pod."""
    labels = _FACES | {
        WORK: launch.name,
        RUN: launch.run_id,
        ATTEMPT: str(launch.attempt),
        "ab-assets/benchmark": _label(launch.benchmark),
        "ab-assets/model": _label(launch.model),
    }
    waiting = installation.waiting
    deadline = int(waiting.deadline_hours * 3600)
    life = deadline + int(60 * (waiting.schedule_minutes + waiting.start_minutes)) + _SLACK_SECONDS
    template: Manifest = {"metadata": {"labels": labels}, "spec": _pod(launch, spec, installation, deadline)}
    if installation.pod_template:
        metadata, over = read_pod_template(Path(installation.pod_template))
        template = {
            "metadata": merged(metadata, template["metadata"]),  # we find our pods by our labels
            "spec": merged(template["spec"], over),
        }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": launch.job_name,
            "namespace": installation.namespace,
            "labels": labels,
            "annotations": {
                "ab-assets/partition": f"{launch.benchmark}|{launch.model}",
                CAUSES: ",".join(launch.causes),
            },
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": life,
            "ttlSecondsAfterFinished": int(waiting.kept_hours * 3600),
            "template": template,
        },
    }


def _pod(launch: Launch, spec: ModelSpec, installation: Installation, deadline: int) -> Manifest:
    given = _settings(installation, spec.name)
    needs = installation.needs_of(spec)
    pod: Manifest = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": deadline,
        "terminationGracePeriodSeconds": installation.waiting.grace_seconds,
        # A process that is the first of its namespace is not ended by SIGTERM before it asks to hear of it.
        "shareProcessNamespace": True,
        "serviceAccountName": installation.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": installation.user,
            "runAsGroup": installation.user,
            "fsGroup": installation.user,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(launch, spec, installation)],
        "volumes": [
            {"name": "home", "persistentVolumeClaim": {"claimName": installation.home.claim}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    if needs.shm_gib:
        shm = {"medium": "Memory", "sizeLimit": _mebibytes(needs.shm_gib)}
        pod["volumes"].append({"name": "shm", "emptyDir": shm})
    runtime_class = installation.gpu.runtime_class if given.runtime_class is None else given.runtime_class
    optional: Manifest = {
        "runtimeClassName": runtime_class if needs.gpus else "",
        "priorityClassName": installation.priority_class if given.priority_class is None else given.priority_class,
        "nodeSelector": installation.node_selector if given.node_selector is None else given.node_selector,
        "tolerations": list(installation.tolerations) if given.tolerations is None else given.tolerations,
        "imagePullSecrets": [{"name": name} for name in installation.image_pull_secrets],
    }
    return pod | {key: value for key, value in optional.items() if value}


def _container(launch: Launch, spec: ModelSpec, installation: Installation) -> Manifest:
    given, needs, home = _settings(installation, spec.name), installation.needs_of(spec), installation.home
    image = given.image or installation.image
    memory = _mebibytes(needs.memory_gib * launch.memory_factor)
    limits: dict[str, str] = {"memory": memory}
    if needs.gpus:
        limits[installation.gpu_resource_of(spec.name)] = str(needs.gpus)
    plain = {
        "AB_ASSETS_HOME": home.path,
        "AB_ASSETS_COMPUTE": "local",
        "AB_ASSETS_IMAGE": image,
        "HF_HOME": f"{home.path}/cache/huggingface",
        "HOME": "/tmp",  # noqa: S108 - an emptyDir of the pod's own
        "NUMBA_CACHE_DIR": "/tmp/numba",  # noqa: S108 - the same
        "OMP_NUM_THREADS": str(max(1, math.floor(needs.cpus))),
        "PYTHONUNBUFFERED": "1",
    } | installation.environment
    downward = {"POD_UID": "metadata.uid", "POD_NAME": "metadata.name", "NODE_NAME": "spec.nodeName"}
    container: Manifest = {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": installation.image_pull_policy,
        "command": ["python", "-m", "ab_assets.worker", f"{home.path}/{launch.specification}"],
        "env": [
            *({"name": name, "value": value} for name, value in plain.items()),
            *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in downward.items()),
        ],
        "resources": {"requests": {"cpu": _millicores(needs.cpus)} | limits, "limits": limits},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "home", "mountPath": home.path} | ({"subPath": home.sub_path} if home.sub_path else {}),
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the same
            *([{"name": "shm", "mountPath": "/dev/shm"}] if needs.shm_gib else []),  # noqa: S108 - the same
        ],
    }
    if installation.secrets:
        container["envFrom"] = [{"secretRef": {"name": name}} for name in installation.secrets]
    return container


def _settings(installation: Installation, model: str) -> ModelSettings:
    return installation.models.get(model, ModelSettings())


def _label(key: str) -> str:
    """Return a key as a label's value, which has to end in a letter or digit."""
    return _NO_LABEL.sub("-", key).strip("-_.")


def _mebibytes(gib: float) -> str:
    return f"{math.ceil(gib * _MIB_PER_GIB)}Mi"


def _millicores(cpus: float) -> str:
    return f"{math.ceil(cpus * 1000)}m"
