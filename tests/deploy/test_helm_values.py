"""deploy/helm/values.yaml against the official chart's own schema, and the pods that follow from it."""

from __future__ import annotations

import copy
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import DagsterK8sJobConfig, UserDefinedDagsterK8sConfig, construct_dagster_k8s_job
from deployment import DEPLOY, ROOT, documents, violations
from kubernetes.client import ApiClient

VALUES: dict[str, Any] = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text())
SCHEMA = Path(os.environ.get("AB_ASSETS_MIRROR", "")) / "helm" / "dagster-chart-values.schema.json"
LAUNCHER = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
(CODE_SERVER,) = VALUES["dagster-user-deployments"]["deployments"]


def _strict(schema: Any) -> Any:
    """Return the schema for values that helm lays over the chart's own.

    What the chart has already need not be said; lists are replaced whole. A key that the schema does not name is
    refused.
    """
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _strict(value) for key, value in schema.items()}
    if isinstance(properties := schema.get("properties"), dict):
        result["properties"] = {name: _strict(value) for name, value in properties.items()}
        result.pop("required", None)
        if properties and schema.get("title") and not any(key in schema for key in ("if", "then")):
            result["additionalProperties"] = False
    return result


@pytest.mark.skipif(not SCHEMA.is_file(), reason="AB_ASSETS_MIRROR has no helm/dagster-chart-values.schema.json")
@pytest.mark.parametrize("path", ["helm/values.yaml", "small-cluster/values.yaml"])
def test_every_value_is_one_the_chart_knows(path):
    values = yaml.safe_load((DEPLOY / path).read_text())
    schema = _strict(yaml.safe_load(SCHEMA.read_text()))
    problems = [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        for error in jsonschema.Draft202012Validator(schema).iter_errors(values)
    ]
    assert not problems, "\n".join(problems)


@pytest.mark.skipif(not SCHEMA.is_file(), reason="AB_ASSETS_MIRROR has no helm/dagster-chart-values.schema.json")
@pytest.mark.parametrize(
    "path", ["dagsterDaemon.replicas", "dagster-user-deployments.deployments.0.envs", "runLaunchers"]
)
def test_a_misspelled_value_would_be_found(path):
    values: Any = copy.deepcopy(VALUES)
    *parents, last = path.split(".")
    place = values
    for part in parents:
        place = place[int(part)] if part.isdigit() else place[part]
    place[last] = 2
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values, _strict(yaml.safe_load(SCHEMA.read_text())), jsonschema.Draft202012Validator)


@pytest.mark.skipif(not SCHEMA.is_file(), reason="AB_ASSETS_MIRROR has no helm/dagster-chart-values.schema.json")
def test_what_a_list_item_must_say_is_said():
    schema = yaml.safe_load(SCHEMA.read_text())
    assert set(schema["$defs"]["UserDeployment"]["required"]) <= CODE_SERVER.keys()


def test_the_chart_has_the_version_of_dagster():
    (version,) = re.findall(r"^dagster==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    said = re.findall(r"--version (\S+)", (DEPLOY / "helm" / "values.yaml").read_text())
    assert said == [version]


def test_all_images_are_the_same():
    images = [place["image"] for place in (VALUES["dagsterWebserver"], VALUES["dagsterDaemon"], CODE_SERVER)]
    assert images.count(images[0]) == len(images)
    assert images[0]["tag"] != "latest"


def test_there_is_one_daemon_and_one_code_server():
    assert VALUES["dagsterDaemon"]["enabled"] is True
    assert "replicaCount" not in VALUES["dagsterDaemon"]
    assert CODE_SERVER["replicaCount"] == 1
    assert CODE_SERVER["deploymentStrategy"] == {"type": "Recreate"}


def test_killed_run_workers_are_resumed_and_failed_runs_are_not_repeated():
    daemon = VALUES["dagsterDaemon"]
    assert daemon["runMonitoring"]["enabled"] is True
    assert daemon["runMonitoring"]["maxResumeRunAttempts"] >= 1
    assert daemon["runRetries"] == {"enabled": False}


def test_models_are_limited_in_all_and_each():
    queue = VALUES["dagsterDaemon"]["runCoordinator"]["config"]["queuedRunCoordinator"]
    in_all, each = queue["tagConcurrencyLimits"]
    assert in_all["key"] == each["key"] == "dagster/partition/model"
    assert "value" not in in_all
    assert each["value"] == {"applyLimitPerUniqueValue": True}
    assert each["limit"] <= in_all["limit"] <= queue["maxConcurrentRuns"]


def test_the_webserver_is_reached_by_nothing_but_the_cluster():
    assert VALUES["ingress"] == {"enabled": False}
    assert VALUES["dagsterWebserver"]["service"]["type"] == "ClusterIP"


def test_code_server_and_runs_share_home_and_settings():
    code_server = {variable["name"]: variable["value"] for variable in CODE_SERVER["env"]}
    runs = dict(variable.split("=", 1) for variable in LAUNCHER["envVars"])
    assert code_server == runs
    assert runs["AB_ASSETS_COMPUTE"] == "kubernetes"
    for place in (CODE_SERVER, LAUNCHER):
        mounts = {mount["name"]: mount for mount in place["volumeMounts"]}
        assert mounts["home"] == {"name": "home", "mountPath": runs["AB_ASSETS_HOME"]}
        assert runs["AB_ASSETS_KUBERNETES"].startswith(mounts["settings"]["mountPath"])


def test_the_password_of_the_mail_server_is_known_to_the_sensors_and_to_no_run():
    assert CODE_SERVER["envSecrets"] == [{"name": "ab-assets-mail", "optional": True}]
    assert CODE_SERVER["includeConfigInLaunchedRuns"] == {"enabled": False}
    assert LAUNCHER["envSecrets"] == []


def test_names_in_the_values_are_names_of_the_manifests():
    made = {
        (document["kind"], document["metadata"]["name"])
        for path in (DEPLOY / "kubernetes").rglob("*.yaml")
        for document in documents(path)
        if "metadata" in document
    }
    text = (DEPLOY / "helm" / "values.yaml").read_text()
    for kind, name in (
        ("PersistentVolumeClaim", "ab-assets-home"),
        ("ConfigMap", "ab-assets-kubernetes"),
        ("ServiceAccount", "ab-assets-run"),
        ("Service", "ab-assets-postgresql"),
    ):
        assert (kind, name) in made
        assert name in text


@pytest.mark.parametrize("name", ["dagsterWebserver", "dagsterDaemon", "code server"])
def test_dagsters_own_pods_meet_the_restricted_standard(name):
    place = CODE_SERVER if name == "code server" else VALUES[name]
    pod = {
        "securityContext": place["podSecurityContext"],
        "containers": [{"name": name, "securityContext": place["securityContext"]}],
        "volumes": place["volumes"],
    }
    assert violations(pod) == []
    assert place["securityContext"]["readOnlyRootFilesystem"] is True
    assert {"name": "tmp", "mountPath": "/tmp"} in place["volumeMounts"]  # noqa: S108 - an emptyDir of the pod's own


@pytest.fixture(scope="module")
def run_worker() -> dict[str, Any]:
    """Return the Job that the launcher makes of these values for a run."""
    config = LAUNCHER["runK8sConfig"]
    context = K8sContainerContext(
        image_pull_policy=LAUNCHER["imagePullPolicy"],
        service_account_name=VALUES["global"]["serviceAccountName"],
        env_vars=LAUNCHER["envVars"],
        volume_mounts=LAUNCHER["volumeMounts"],
        volumes=LAUNCHER["volumes"],
        labels=LAUNCHER["labels"],
        resources=LAUNCHER["resources"],
        security_context=LAUNCHER["securityContext"],
        run_k8s_config=UserDefinedDagsterK8sConfig.from_dict(
            {"pod_spec_config": config["podSpecConfig"], "job_spec_config": config["jobSpecConfig"]}
        ),
    )
    job = construct_dagster_k8s_job(
        DagsterK8sJobConfig(
            job_image="registry.example.org/ab-assets:0.1.0-cpu",
            dagster_home=VALUES["global"]["dagsterHome"],
            postgres_password_secret=VALUES["global"]["postgresqlSecretName"],
        ),
        args=["dagster", "api", "execute_run"],
        job_name="dagster-run-1",
        component="run_worker",
        user_defined_k8s_config=context.run_k8s_config,
    )
    return ApiClient().sanitize_for_serialization(job)


def test_a_run_is_a_valid_job(run_worker):
    kubernetes_validate.validate(run_worker, kubernetes_validate.latest_version(), strict=True)
    assert run_worker["spec"]["backoffLimit"] == 0
    assert run_worker["spec"]["ttlSecondsAfterFinished"] == 86400


def test_a_run_meets_the_restricted_standard_under_its_own_account(run_worker):
    pod = run_worker["spec"]["template"]["spec"]
    assert violations(pod) == []
    assert pod["serviceAccountName"] == "ab-assets-run"
    assert pod["terminationGracePeriodSeconds"] == 180
    assert pod["shareProcessNamespace"] is True
    assert run_worker["spec"]["template"]["metadata"]["labels"]["ab-assets/role"] == "run"


def test_every_mount_has_its_volume(run_worker):
    pod = run_worker["spec"]["template"]["spec"]
    given = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == given
    for place in (VALUES["dagsterWebserver"], VALUES["dagsterDaemon"], CODE_SERVER):
        assert {mount["name"] for mount in place["volumeMounts"]} == {volume["name"] for volume in place["volumes"]}


def test_every_container_says_how_much_memory_it_may_use():
    for place in (VALUES["dagsterWebserver"], VALUES["dagsterDaemon"], CODE_SERVER, LAUNCHER):
        assert "memory" in place["resources"]["limits"]
