"""Every manifest under deploy/: valid for the API, restricted, least privilege, and accepted by a real API server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
import uuid
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml
from deployment import DEPLOY, documents, pods, violations

from ab_assets.models.catalogue import load_catalogue
from resources.kubernetes.installation import Installation
from resources.kubernetes.manifest import SELECTOR, Launch, job_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDERS = [DEPLOY / name for name in ("kubernetes", "small-cluster", "gpu-sharing")]
FILES = sorted(
    path
    for folder in FOLDERS
    for path in folder.rglob("*.yaml")
    if path.name not in {"kustomization.yaml", "values.yaml"} and "helm" not in path.stem
)
OBJECTS = [(path, document) for path in FILES for document in documents(path)]
IDS = [f"{path.relative_to(DEPLOY)}:{document['kind']}/{document['metadata']['name']}" for path, document in OBJECTS]
NOT_NAMESPACED = {"Namespace", "PersistentVolume", "PriorityClass"}
each_object = pytest.mark.parametrize(("path", "document"), OBJECTS, ids=IDS)


def _of_kind(kind: str, folder: Path = DEPLOY / "kubernetes") -> dict[str, Any]:
    return {
        document["metadata"]["name"]: document
        for path, document in OBJECTS
        if document["kind"] == kind and path.is_relative_to(folder)
    }


def _listed(folder: Path) -> Iterator[Path]:
    """Yield the files that `kubectl apply -k` of a folder applies."""
    for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]:
        path = (folder / name).resolve()
        if path.is_dir():
            yield from _listed(path)
        else:
            assert path.is_file(), f"{folder}: there is no {name}"
            assert path.is_relative_to(folder), f"{folder}: kustomize reads no single file outside its folder: {name}"
            yield path


@each_object
@pytest.mark.parametrize("version", ["1.27", kubernetes_validate.latest_version()])
def test_an_object_is_valid_for_the_api(path, document, version):
    kubernetes_validate.validate(document, version, strict=True)


@each_object
def test_an_object_is_in_its_namespace(path, document):
    namespace = document["metadata"].get("namespace")
    if document["kind"] in NOT_NAMESPACED:
        assert namespace is None
    else:
        assert namespace == ("nvidia-device-plugin" if path.is_relative_to(DEPLOY / "gpu-sharing") else "ab-assets")


@each_object
def test_a_pod_meets_the_restricted_standard(path, document):
    for pod in pods(document):
        assert violations(pod) == []
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert "memory" in container["resources"]["limits"]
            assert not container["image"].endswith(":latest")


def test_the_namespace_enforces_the_restricted_standard():
    labels = _of_kind("Namespace")["ab-assets"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_a_kustomization_applies_each_object_once():
    for folder in (DEPLOY / "kubernetes", DEPLOY / "small-cluster"):
        names = [
            (document["kind"], document["metadata"]["name"]) for path in _listed(folder) for document in documents(path)
        ]
        assert len(names) == len(set(names))
        assert {("Namespace", "ab-assets"), ("PersistentVolumeClaim", "ab-assets-home")} <= set(names)


def test_every_manifest_is_applied_or_a_documented_variation():
    applied = {path for folder in (DEPLOY / "kubernetes", DEPLOY / "small-cluster") for path in _listed(folder)}
    others = {str(path.relative_to(DEPLOY)) for path in FILES if path not in applied}
    page = (DEPLOY.parent / "docs" / "kubernetes.md").read_text()
    assert others >= {"kubernetes/home/cephfs.yaml", "kubernetes/options/hub-egress.yaml"}
    for name in others:
        assert name.removeprefix("kubernetes/") in page, f"docs/kubernetes.md says nothing of {name}"


def test_a_run_worker_may_only_follow_its_jobs():
    rules = {
        resource: set(rule["verbs"])
        for rule in _of_kind("Role")["ab-assets-run"]["rules"]
        for resource in rule["resources"]
    }
    assert rules == {
        "jobs": {"create", "get", "list", "watch", "delete", "patch"},
        "pods": {"get", "list", "delete"},
        "pods/log": {"get"},
        "events": {"get", "list"},
    }
    assert not _of_kind("ClusterRole")
    assert not _of_kind("ClusterRoleBinding")


def test_a_run_worker_may_do_all_that_the_code_asks_for():
    source = (DEPLOY.parent / "resources" / "kubernetes" / "cluster.py").read_text()
    calls = set(re.findall(r"self\._(?:batch|core)\.([a-z]+)_namespaced_([a-z_]+)", source))
    assert len(calls) >= 5
    verbs = {"read": "get"}
    resources = {"job": "jobs", "pod": "pods", "pod_log": "pods/log", "event": "events"}
    for rule in _of_kind("Role")["ab-assets-run"]["rules"]:
        for resource in rule["resources"]:
            calls -= {
                call
                for call in calls
                if resources[call[1]] == resource and verbs.get(call[0], call[0]) in rule["verbs"]
            }
    assert not calls, "the code asks the API server for what its account may not do"


def test_a_worker_has_no_rights_and_no_token():
    assert _of_kind("ServiceAccount")["ab-assets-worker"]["automountServiceAccountToken"] is False
    subjects = {s["name"] for binding in _of_kind("RoleBinding").values() for s in binding["subjects"]}
    assert subjects == {"ab-assets-run", "dagster"}


def _selected(policy: dict[str, Any], labels: dict[str, str]) -> bool:
    return _matches(policy["spec"]["podSelector"], labels)


def _matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    for expression in selector.get("matchExpressions", []):
        inside = labels.get(expression["key"]) in expression["values"]
        if inside != (expression["operator"] == "In"):
            return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


WORKER = dict(label.split("=") for label in SELECTOR.split(","))
ROLES = {
    role: {"ab-assets/role": role} for role in ("webserver", "daemon", "code-server", "run", "postgresql", "proxy")
} | {"worker": WORKER}


def _may_reach(client: str, server: str, port: int) -> bool:
    """Say whether the policies that are applied by default let one pod open a connection to another."""
    policies = [
        document
        for path in _listed(DEPLOY / "kubernetes")
        for document in documents(path)
        if document["kind"] == "NetworkPolicy"
    ]

    def allowed(side: str, peers: str, of: str, other: str) -> bool:
        return any(
            port in {item["port"] for item in rule["ports"]}
            and any(
                "podSelector" in peer
                and "namespaceSelector" not in peer
                and _matches(peer["podSelector"], ROLES[other])
                for peer in rule[peers]
            )
            for policy in policies
            if _selected(policy, ROLES[of])
            for rule in policy["spec"].get(side, [])
        )

    return allowed("egress", "to", client, server) and allowed("ingress", "from", server, client)


def test_nothing_is_open_that_is_not_said():
    (deny,) = [p for name, p in _of_kind("NetworkPolicy").items() if name == "default-deny"]
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    open_ways = {
        (client, server, port)
        for client in ROLES
        for server in ROLES
        for port in (4000, 4180, 5432, 8080)
        if _may_reach(client, server, port)
    }
    assert open_ways == {
        ("proxy", "webserver", 8080),
        ("webserver", "code-server", 4000),
        ("daemon", "code-server", 4000),
        ("webserver", "postgresql", 5432),
        ("daemon", "postgresql", 5432),
        ("code-server", "postgresql", 5432),
        ("run", "postgresql", 5432),
    }


def test_a_worker_reaches_nothing_unless_the_hub_is_allowed():
    policies = _of_kind("NetworkPolicy")
    speaking = {name for name, policy in policies.items() if _selected(policy, WORKER) and policy["spec"].get("egress")}
    assert speaking == {"hub-egress"}
    assert DEPLOY / "kubernetes" / "options" / "hub-egress.yaml" not in set(_listed(DEPLOY / "kubernetes"))


def test_only_those_who_launch_or_end_jobs_reach_the_api_server():
    policy = _of_kind("NetworkPolicy")["api-server"]
    assert {role for role, labels in ROLES.items() if _selected(policy, labels)} == {
        "run",
        "daemon",
        "webserver",
        "code-server",
    }
    (rule,) = policy["spec"]["egress"]
    assert rule["to"] == [{"ipBlock": {"cidr": "192.0.2.1/32"}}], (
        "the address stays nobody's until somebody writes theirs"
    )


def test_roles_of_the_policies_are_labels_that_something_sets():
    helm = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text())
    (code_server,) = helm["dagster-user-deployments"]["deployments"]
    set_by_chart = {
        place["labels"]["ab-assets/role"]
        for place in (
            helm["dagsterWebserver"],
            helm["dagsterDaemon"],
            code_server,
            helm["runLauncher"]["config"]["k8sRunLauncher"],
        )
    }
    set_here = {
        document["spec"]["template"]["metadata"]["labels"]["ab-assets/role"]
        for kind in ("Deployment", "StatefulSet")
        for document in _of_kind(kind).values()
    }
    assert set_by_chart | set_here == ROLES.keys() - {"worker"}


@pytest.mark.parametrize("folder", ["kubernetes", "small-cluster"])
def test_the_settings_are_ones_that_are_read(folder):
    (settings,) = [d for _, d in OBJECTS if d["kind"] == "ConfigMap" and _.is_relative_to(DEPLOY / folder)]
    text = settings["data"]["kubernetes.toml"]
    found = Installation.model_validate(tomllib.loads(text))
    assert found.namespace == "ab-assets"
    assert found.models.keys() <= load_catalogue().keys()
    uncommented = "\n".join(
        line.removeprefix("# ") if line.startswith("# [") or "= " in line else line for line in text.splitlines()
    )
    if folder == "kubernetes":
        assert Installation.model_validate(tomllib.loads(uncommented)).models["esm2-650m"].gpu_resource


@pytest.mark.parametrize("folder", ["kubernetes", "small-cluster"])
@pytest.mark.parametrize("model", sorted(load_catalogue()))
def test_the_pod_of_a_model_is_valid_and_meets_the_restricted_standard(folder, model):
    (settings,) = _of_kind("ConfigMap", DEPLOY / folder).values()
    installation = Installation.model_validate(tomllib.loads(settings["data"]["kubernetes.toml"]))
    launch = Launch(name="ab-demo", benchmark="demo-specificity", model=model, run_id="run")
    job = job_manifest(launch, load_catalogue()[model], installation)
    kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)
    pod = job["spec"]["template"]["spec"]
    assert violations(pod) == []
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] in _of_kind("ServiceAccount")
    assert _matches({"matchLabels": WORKER}, job["spec"]["template"]["metadata"]["labels"])


def test_priorities_named_in_the_settings_exist():
    text = _of_kind("ConfigMap")["ab-assets-kubernetes"]["data"]["kubernetes.toml"]
    assert Installation.model_validate(tomllib.loads(text)).priority_class in _of_kind("PriorityClass")


KUBECTL = shutil.which("kubectl")
with_a_cluster = pytest.mark.skipif(
    not (os.environ.get("KUBECONFIG") and KUBECTL), reason="KUBECONFIG is not set, or there is no kubectl"
)


def _kubectl(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([KUBECTL, *arguments], input=given, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """Make a namespace of this run's own, and delete it."""
    name = f"ab-assets-manifests-{uuid.uuid4().hex[:8]}"
    made = _kubectl("create", "namespace", name)
    assert made.returncode == 0, made.stderr
    yield name
    _kubectl("delete", "namespace", name, "--wait=false")


@with_a_cluster
@each_object
def test_the_api_server_accepts_an_object(path, document, namespace):
    known = _kubectl("api-resources", "--api-group", document["apiVersion"].rpartition("/")[0], "--no-headers")
    if document["kind"] not in known.stdout.split():
        pytest.skip(f"this cluster has no {document['kind']}")
    copy = yaml.safe_load(yaml.safe_dump(document))
    if document["kind"] == "Namespace":
        copy["metadata"]["name"] = f"{namespace}-dry"
    elif document["kind"] in NOT_NAMESPACED:
        copy["metadata"]["name"] += f"-{namespace[-8:]}"
    else:
        copy["metadata"]["namespace"] = namespace
    done = _kubectl("apply", "--dry-run=server", "-f", "-", given=yaml.safe_dump(copy))
    assert done.returncode == 0, done.stderr
    assert "(server dry run)" in done.stdout


@pytest.fixture(scope="module")
def accounts(namespace) -> str:
    """Make the accounts and their rights in this run's own namespace, and return it."""
    text = (DEPLOY / "kubernetes" / "base" / "accounts.yaml").read_text()
    done = _kubectl("apply", "-f", "-", given=text.replace("namespace: ab-assets", f"namespace: {namespace}"))
    assert done.returncode == 0, done.stderr
    return namespace


@with_a_cluster
@pytest.mark.parametrize(
    ("account", "question", "answer"),
    [
        ("ab-assets-run", "create jobs.batch", "yes"),
        ("ab-assets-run", "delete pods", "yes"),
        ("ab-assets-run", "get pods/log", "yes"),
        ("ab-assets-run", "list events", "yes"),
        ("ab-assets-run", "create pods", "no"),
        ("ab-assets-run", "create pods/exec", "no"),
        ("ab-assets-run", "get secrets", "no"),
        ("ab-assets-run", "create jobs.batch --namespace default", "no"),
        ("dagster", "delete jobs.batch", "yes"),
        ("ab-assets-worker", "get pods", "no"),
        ("ab-assets-worker", "create jobs.batch", "no"),
    ],
)
def test_the_api_server_grants_what_is_meant(accounts, account, question, answer):
    known = f"system:serviceaccount:{accounts}:{account}"
    done = _kubectl("--namespace", accounts, "auth", "can-i", "--as", known, *question.split())
    assert done.stdout.split()[0] == answer, done.stderr


@pytest.mark.skipif(not KUBECTL, reason="there is no kubectl")
@pytest.mark.parametrize("folder", ["kubernetes", "small-cluster"])
def test_kubectl_puts_the_manifests_together(folder):
    done = _kubectl("kustomize", str(DEPLOY / folder))
    assert done.returncode == 0, done.stderr
    made = [(document["kind"], document["metadata"]["name"]) for document in yaml.safe_load_all(done.stdout)]
    listed = [(d["kind"], d["metadata"]["name"]) for path in _listed(DEPLOY / folder) for d in documents(path)]
    assert sorted(made) == sorted(listed)
