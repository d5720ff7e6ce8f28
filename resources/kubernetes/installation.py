"""How this installation runs pods: `kubernetes.toml` in the home, or the file that AB_ASSETS_KUBERNETES names.

None of it enters a fingerprint: a model that moves to other GPUs, memory or images keeps all of its results.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ab_assets.benchmarks.reading import nearest_name
from ab_assets.errors import UnknownNameError
from ab_assets.settings import problems_in, read_toml, refused

if TYPE_CHECKING:
    from ab_assets.home import Home
    from ab_assets.models.specification import ModelSpec, Needs

VARIABLE = "AB_ASSETS_KUBERNETES"
FILE_NAME = "kubernetes.toml"
_SETTINGS = "the Kubernetes settings"

# RFC 1123, as Kubernetes checks it: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
OptionalName = Annotated[str, Field(pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$")]
MountPath = Annotated[str, Field(pattern=r"^/[^:]+$")]
GpuResource = Annotated[str, Field(pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")]
Toleration = dict[str, Any]


class Table(BaseModel):
    """A table of kubernetes.toml: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class HomeVolume(Table):
    """The claim (ReadWriteMany) that is the home for everyone, and where pods mount it."""

    claim: ObjectName = "ab-assets-home"
    sub_path: str = ""
    path: MountPath = "/home/ab-assets"


class Gpu(Table):
    """`resource`: what the device plugin advertises. `required`: a pod that asked for GPUs and sees none fails."""

    resource: GpuResource = "nvidia.com/gpu"
    runtime_class: OptionalName = ""
    required: bool = True


class Waiting(Table):
    """How long each stage may take before a pod is given up.

    `schedule_minutes`: for room on a node. `start_minutes`: from there to a running container. `trouble_minutes`: an
    image that cannot be pulled, a Secret that is missing and the like may mend itself. `deadline_hours`: of work.
    `grace_seconds`: from SIGTERM to SIGKILL. `outage_minutes`: without an answer of the API server. `kept_hours`: a
    finished Job that nobody collected is kept.
    """

    schedule_minutes: Annotated[float, Field(gt=0)] = 720
    start_minutes: Annotated[float, Field(gt=0)] = 30
    trouble_minutes: Annotated[float, Field(gt=0)] = 3
    deadline_hours: Annotated[float, Field(gt=0)] = 72
    grace_seconds: Annotated[int, Field(ge=1, le=3600)] = 120
    outage_minutes: Annotated[float, Field(gt=0)] = 15
    kept_hours: Annotated[float, Field(gt=0)] = 24


class ModelSettings(Table):
    """What one model gets here, where that is other than its catalogue entry and this file's defaults say."""

    gpus: Annotated[int, Field(ge=0, le=64)] | None = None
    gpu_resource: GpuResource | None = None
    cpus: Annotated[float, Field(gt=0)] | None = None
    memory_gib: Annotated[float, Field(gt=0)] | None = None
    shm_gib: Annotated[float, Field(ge=0)] | None = None
    image: str | None = None
    runtime_class: OptionalName | None = None
    priority_class: OptionalName | None = None
    node_selector: dict[str, str] | None = None
    tolerations: list[Toleration] | None = None


class Installation(Table):
    """All of kubernetes.toml.

    `context`: of the kubeconfig, outside the cluster. `secrets`: Secrets whose keys become environment variables of the
    pod, `environment`: plain ones. `pod_template`: a YAML file (a Pod, a PodTemplate or a bare pod spec) merged over
    each pod; a relative path is relative to this file. `memory_steps`: by what the memory is multiplied when a pod ran
    out of it, once per step.
    """

    namespace: ObjectName = "ab-assets"
    context: str = ""
    image: Annotated[str, Field(min_length=1)]
    image_pull_policy: Annotated[str, Field(pattern="^(Always|IfNotPresent|Never)$")] = "IfNotPresent"
    image_pull_secrets: tuple[ObjectName, ...] = ()
    service_account: ObjectName = "ab-assets-worker"
    priority_class: OptionalName = ""
    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()
    user: Annotated[int, Field(ge=1)] = 10001
    secrets: tuple[ObjectName, ...] = ()
    environment: dict[str, str] = {}
    pod_template: str = ""
    memory_steps: tuple[Annotated[float, Field(gt=1)], ...] = (1.5, 2.0)
    retries: Annotated[int, Field(ge=0, le=100)] = 10
    home: HomeVolume = HomeVolume()
    gpu: Gpu = Gpu()
    waiting: Waiting = Waiting()
    models: dict[str, ModelSettings] = {}

    def needs_of(self, spec: ModelSpec) -> Needs:
        """Return what a pod of this model asks for here."""
        given = self.models.get(spec.name, ModelSettings())
        over = given.model_dump(include={"gpus", "cpus", "memory_gib", "shm_gib"}, exclude_none=True)
        return spec.needs.model_copy(update=over)

    def gpu_resource_of(self, model: str) -> str:
        """Return what a pod of this model asks the device plugin for."""
        return self.models.get(model, ModelSettings()).gpu_resource or self.gpu.resource


def read_installation(home: Home) -> Installation:
    """Return the settings of this installation.

    Raises UnknownNameError when there is no such file, BadInputError with every problem in it.
    """
    path = Path(os.environ.get(VARIABLE) or home.root / FILE_NAME)
    if not path.is_file():
        raise UnknownNameError(
            what="AB_ASSETS_COMPUTE=kubernetes needs to know how pods run here, and there is no such file",
            where=str(path),
            hint=f"Write it (docs/kubernetes.md; the least is a line: image = ...), or name another in {VARIABLE}.",
        )
    try:
        found = Installation.model_validate(read_toml(path))
    except ValidationError as error:
        raise refused(path, problems_in(error, Installation), what=_SETTINGS) from error
    catalogue = home.catalogue()
    problems = [
        f"[models.{name}] is no model of the catalogue. {nearest_name(name, list(catalogue))}"
        for name in found.models
        if name not in catalogue
    ]
    template = path.parent / Path(found.pod_template).expanduser() if found.pod_template else None
    if template is not None and not template.is_file():
        problems.append(f"pod_template: there is no file {template}")
    if problems:
        raise refused(path, problems, what=_SETTINGS)
    return found.model_copy(update={"pod_template": str(template or "")})
