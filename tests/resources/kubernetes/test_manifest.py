"""Every Job that can be asked for is valid, restricted, sized as the model needs, and named from hostile keys."""

from __future__ import annotations

import re

import kubernetes_validate
import pytest
import yaml

from ab_assets.keys import is_key
from ab_assets.models.catalogue import load_catalogue
from resources.kubernetes.installation import Installation
from resources.kubernetes.manifest import CAUSES, Launch, job_manifest, launch_name

CATALOGUE = load_catalogue()
LAUNCH = Launch("ab-tiny-model-0123456789ab", "tiny", "model", "8c1b0a6e-6f0e-4d0e-9d3a-1e6f7c2b9a10")
PLAIN = {"image": "lab/ab-assets:1"}
INSTALLATIONS = {
    "plain": PLAIN,
    "GPU classes": PLAIN
    | {
        "gpu": {"resource": "amd.com/gpu", "runtime_class": "rocm"},
        "priority_class": "batch.low",
        "node_selector": {"lab/room": "basement"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    },
    "slices for everyone": PLAIN
    | {"models": {name: {"gpus": 1, "gpu_resource": "nvidia.com/mig-1g.10gb"} for name in CATALOGUE}},
    "eight GPUs for everyone": PLAIN
    | {"models": {name: {"gpus": 8, "memory_gib": 512.5, "shm_gib": 64, "cpus": 0.5} for name in CATALOGUE}},
    "CPUs for everyone": PLAIN | {"models": {name: {"gpus": 0, "shm_gib": 0} for name in CATALOGUE}},
    "secrets": PLAIN
    | {
        "image_pull_secrets": ["registry"],
        "secrets": ["hub-token"],
        "environment": {"HF_HUB_OFFLINE": "1"},
        "home": {"claim": "home", "sub_path": "lab/ab", "path": "/data"},
        "user": 65534,
    },
}
HOSTILE = [
    "a",
    "0",
    "a" * 63,
    "a" + "-" * 62,
    "a" + "._" * 31,
    "1.5",
    "e.g.-this_one",
    "a-",
    "a.",
    "a_",
    "x" * 62 + "-",
]


def rendered(installation, spec, launch=LAUNCH):
    return job_manifest(launch, spec, Installation.model_validate(installation))


def pod_of(job):
    return job["spec"]["template"]["spec"]


def worker_of(job):
    return pod_of(job)["containers"][0]


@pytest.mark.parametrize("version", ["1.25", "1.31", "1.36"])
@pytest.mark.parametrize("installation", INSTALLATIONS)
def test_every_model_makes_a_valid_job(installation, version):
    assert len(CATALOGUE) > 10
    for spec in CATALOGUE.values():
        kubernetes_validate.validate(rendered(INSTALLATIONS[installation], spec), version, strict=True)


@pytest.mark.parametrize("installation", INSTALLATIONS)
def test_every_pod_meets_the_restricted_standard(installation):
    for spec in CATALOGUE.values():
        assert unrestricted(pod_of(rendered(INSTALLATIONS[installation], spec))) == []


def test_the_checker_of_the_standard_finds_what_it_forbids():
    pod = pod_of(rendered(PLAIN, CATALOGUE["antiberty"]))
    pod["hostNetwork"] = True
    pod["securityContext"] |= {"runAsUser": 0, "seccompProfile": {"type": "Unconfined"}}
    pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}})
    pod["containers"].append({"name": "proxy", "ports": [{"containerPort": 1, "hostPort": 1}]})
    assert len(unrestricted(pod)) == 9


def unrestricted(pod):
    """Return what is forbidden: https://kubernetes.io/docs/concepts/security/pod-security-standards/ (restricted)."""
    allowed = {
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
    }  # fmt: skip
    found = [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    found += [f"volume {one['name']}" for one in pod["volumes"] if not (set(one) - {"name"}) <= allowed]
    whole = pod.get("securityContext", {})
    found += [key for key in ("sysctls", "windowsOptions") if whole.get(key)]
    for container in (*pod["containers"], *pod.get("initContainers", ())):
        own = container.get("securityContext", {})
        both = whole | own
        capabilities = own.get("capabilities", {})
        wrong = {
            "user": both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0,
            "seccomp": both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"),
            "escalation": own.get("allowPrivilegeEscalation") is not False,
            "capabilities": "ALL" not in capabilities.get("drop", ())
            or not set(capabilities.get("add", ())) <= {"NET_BIND_SERVICE"},
            "privileged": bool(own.get("privileged")) or own.get("procMount", "Default") != "Default",
            "host port": any(port.get("hostPort") for port in container.get("ports", ())),
        }
        found += [f"{container['name']}: {what}" for what, is_wrong in wrong.items() if is_wrong]
    return found


@pytest.mark.parametrize("installation", INSTALLATIONS)
def test_memory_and_gpus_are_requested_as_they_are_limited(installation):
    for spec in CATALOGUE.values():
        resources = worker_of(rendered(INSTALLATIONS[installation], spec))["resources"]
        assert "memory" in resources["limits"]
        assert {key: resources["requests"][key] for key in resources["limits"]} == resources["limits"]
        assert set(resources["requests"]) - set(resources["limits"]) == {"cpu"}


def test_no_pod_can_talk_to_the_api():
    pod = pod_of(rendered(PLAIN, CATALOGUE["antiberty"]))
    assert pod["automountServiceAccountToken"] is False
    assert not [one for one in pod["volumes"] if "projected" in one]


def test_a_worker_that_still_starts_can_be_told_to_stop():
    assert pod_of(rendered(PLAIN, CATALOGUE["antiberty"]))["shareProcessNamespace"] is True


def test_shared_memory_is_as_large_as_the_model_needs():
    settings = PLAIN | {"models": {"antiberty": {"shm_gib": 2.5}}}
    job = rendered(settings, CATALOGUE["antiberty"])
    [shm] = [one for one in pod_of(job)["volumes"] if one["name"] == "shm"]
    assert shm["emptyDir"] == {"medium": "Memory", "sizeLimit": "2560Mi"}
    [mount] = [one["mountPath"] for one in worker_of(job)["volumeMounts"] if one["name"] == "shm"]
    assert mount == "/dev/shm"  # noqa: S108 - where every process looks for it


def test_a_model_gets_what_its_line_says_and_others_what_they_need():
    settings = PLAIN | {
        "models": {"antiberty": {"gpus": 2, "gpu_resource": "nvidia.com/mig-2g.20gb", "image": "own:2"}}
    }
    mine, other = (rendered(settings, CATALOGUE[name]) for name in ("antiberty", "esm2-8m"))
    assert worker_of(mine)["resources"]["limits"]["nvidia.com/mig-2g.20gb"] == "2"
    assert worker_of(mine)["image"] == "own:2"
    assert "nvidia.com/gpu" in worker_of(other)["resources"]["limits"]
    assert worker_of(other)["image"] == "lab/ab-assets:1"


def test_a_runtime_class_is_for_pods_with_gpus():
    settings = PLAIN | {"gpu": {"runtime_class": "nvidia"}, "models": {"antiberty": {"gpus": 0}}}
    assert pod_of(rendered(settings, CATALOGUE["esm2-8m"]))["runtimeClassName"] == "nvidia"
    assert "runtimeClassName" not in pod_of(rendered(settings, CATALOGUE["antiberty"]))


def test_the_next_memory_step_multiplies_what_the_model_asks_for():
    launch = Launch(LAUNCH.name, "tiny", "model", "run", attempt=2, memory_factor=1.5, causes=("OutOfMemory",))
    job = rendered(PLAIN | {"models": {"antiberty": {"memory_gib": 10}}}, CATALOGUE["antiberty"], launch)
    assert worker_of(job)["resources"]["limits"]["memory"] == "15360Mi"
    assert job["metadata"]["annotations"][CAUSES] == "OutOfMemory"
    assert job["metadata"]["name"] == f"{LAUNCH.name}-2"


def test_a_job_ends_by_itself_when_nobody_follows_it():
    job = rendered(PLAIN | {"waiting": {"deadline_hours": 0.5, "kept_hours": 1.5}}, CATALOGUE["antiberty"])["spec"]
    assert job["backoffLimit"] == 0
    assert job["ttlSecondsAfterFinished"] == 5400
    assert job["template"]["spec"]["activeDeadlineSeconds"] == 1800 < job["activeDeadlineSeconds"]


@pytest.mark.parametrize("key", HOSTILE)
def test_legal_but_hostile_keys_make_valid_names_and_labels(key):
    assert is_key(key)
    name = launch_name(key, key, "0123456789abcdef")
    launch = Launch(name, key, key, "run-1", attempt=100)
    job = rendered(PLAIN, CATALOGUE["antiberty"], launch)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,56}[a-z0-9])?", job["metadata"]["name"])  # and five more in a pod's
    for labels in (job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]):
        for value in labels.values():
            assert re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?", value)
    assert job["metadata"]["annotations"]["ab-assets/partition"] == f"{key}|{key}"
    kubernetes_validate.validate(job, "1.31", strict=True)


def test_works_of_one_readable_name_are_told_apart_by_their_digest():
    names = {launch_name("a.b", "m", "0" * 64), launch_name("a-b", "m", "1" * 64)}
    assert len(names) == 2


def test_a_template_cannot_take_the_labels_by_which_pods_are_found(tmp_path):
    file = tmp_path / "pod.yaml"
    labels = {"ab-assets/work": "mine", "team": "x"}
    given = {"kind": "Pod", "metadata": {"labels": labels}, "spec": {"containers": [{"name": "worker", "tty": True}]}}
    file.write_text(yaml.safe_dump(given))
    template = rendered(PLAIN | {"pod_template": str(file)}, CATALOGUE["antiberty"])["spec"]["template"]
    assert template["metadata"]["labels"]["ab-assets/work"] == LAUNCH.name
    assert template["metadata"]["labels"]["team"] == "x"
    assert template["spec"]["containers"][0]["tty"] is True
    assert template["spec"]["containers"][0]["image"] == "lab/ab-assets:1"
