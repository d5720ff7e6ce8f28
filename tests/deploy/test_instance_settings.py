"""The dagster.yaml of a laptop and of a cluster, as Dagster itself reads them."""

from __future__ import annotations

import shutil
from typing import Any

import dagster_k8s.launcher
import kubernetes_validate
import pytest
import yaml
from dagster import DagsterInstance
from dagster._core.instance import InstanceRef
from dagster._core.instance.config import dagster_instance_config
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import construct_dagster_k8s_job
from deployment import DEPLOY, violations
from kubernetes.client import ApiClient
from sqlalchemy import create_engine

HELM: dict[str, Any] = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text())
ENVIRONMENT = {
    "DAGSTER_PG_HOST": "ab-assets-postgresql",
    "DAGSTER_PG_USERNAME": "dagster",
    "DAGSTER_PG_PASSWORD": "secret",
    "DAGSTER_PG_DB": "dagster",
    "AB_ASSETS_NAMESPACE": "lab",
    "AB_ASSETS_IMAGE": "registry.example.org/ab-assets:0.1.0-cpu",
}


@pytest.fixture
def cluster(tmp_path, monkeypatch) -> InstanceRef:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    shutil.copy(DEPLOY / "cluster" / "dagster.yaml", tmp_path)
    return InstanceRef.from_dir(str(tmp_path))


@pytest.fixture
def launcher(cluster, monkeypatch) -> K8sRunLauncher:
    monkeypatch.setattr(dagster_k8s.launcher, "load_kubernetes_config", lambda **_: None)
    return cluster.run_launcher


def test_the_laptop_keeps_its_runs_in_its_home(tmp_path):
    shutil.copy(DEPLOY / "laptop" / "dagster.yaml", tmp_path)
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
        assert instance.get_runs() == []
    assert list(tmp_path.rglob("runs.db"))


def test_the_cluster_asks_postgresql_with_what_the_environment_says(cluster):
    _, settings = cluster.custom_instance_class_data, cluster.settings
    assert settings["run_monitoring"]["enabled"] is True
    for data in (cluster.run_storage_data, cluster.event_storage_data, cluster.schedule_storage_data):
        assert data.class_name.startswith("DagsterPostgres") or "Postgres" in data.class_name
        assert "hostname" in data.config_yaml
        assert "secret" not in data.config_yaml


def test_the_database_is_asked_through_a_driver_that_is_installed():
    plain = yaml.safe_load((DEPLOY / "cluster" / "dagster.yaml").read_text())
    scheme = plain["storage"]["postgres"]["postgres_db"]["scheme"]
    assert create_engine(f"{scheme}://dagster@ab-assets-postgresql/dagster").driver == "psycopg2"
    assert HELM["postgresql"]["postgresqlScheme"] == scheme


def test_every_key_is_one_that_dagster_knows(tmp_path, monkeypatch):
    for name in ("laptop/dagster.yaml", "laptop/dagster-with-pods.yaml", "cluster/dagster.yaml"):
        shutil.copy(DEPLOY / name, tmp_path / "dagster.yaml")
        settings, _ = dagster_instance_config(str(tmp_path))
        assert settings["telemetry"] == {"enabled": False}


def test_models_are_limited_in_all_and_each(cluster):
    queue = cluster.run_coordinator.get_run_queue_config()
    assert queue.tag_concurrency_limits == [
        {"key": "dagster/partition/model", "limit": 8},
        {"key": "dagster/partition/model", "value": {"applyLimitPerUniqueValue": True}, "limit": 4},
    ]
    assert queue.max_concurrent_runs == 20


def test_chart_and_plain_settings_say_the_same():
    plain = yaml.safe_load((DEPLOY / "cluster" / "dagster.yaml").read_text())
    daemon = HELM["dagsterDaemon"]
    queue = daemon["runCoordinator"]["config"]["queuedRunCoordinator"]
    assert queue["maxConcurrentRuns"] == plain["run_coordinator"]["config"]["max_concurrent_runs"]
    assert queue["tagConcurrencyLimits"] == plain["run_coordinator"]["config"]["tag_concurrency_limits"]
    monitoring = daemon["runMonitoring"]
    assert [
        monitoring["maxResumeRunAttempts"],
        monitoring["startTimeoutSeconds"],
        monitoring["cancelTimeoutSeconds"],
    ] == [
        plain["run_monitoring"][key]
        for key in ("max_resume_run_attempts", "start_timeout_seconds", "cancel_timeout_seconds")
    ]
    chart, here = HELM["runLauncher"]["config"]["k8sRunLauncher"], plain["run_launcher"]["config"]
    assert set(chart["envVars"]) <= set(here["env_vars"])
    assert chart["resources"] == here["resources"]
    logs = HELM["computeLogManager"]["config"]["localComputeLogManager"]["baseDir"]
    assert logs == plain["compute_logs"]["config"]["base_dir"]


def test_a_run_is_a_valid_job_that_meets_the_restricted_standard(launcher):
    context = K8sContainerContext().merge(
        K8sContainerContext(
            image_pull_policy=launcher.image_pull_policy,
            service_account_name=launcher.service_account_name,
            env_vars=launcher.env_vars,
            volume_mounts=launcher.volume_mounts,
            volumes=launcher.volumes,
            labels=launcher.labels,
            namespace=launcher.job_namespace,
            resources=launcher.resources,
            security_context=launcher.security_context,
            run_k8s_config=dagster_k8s.container_context.UserDefinedDagsterK8sConfig.from_dict(launcher.run_k8s_config),
        )
    )
    made = construct_dagster_k8s_job(
        context.get_k8s_job_config(launcher.job_image, launcher),
        args=["dagster", "api", "execute_run"],
        job_name="dagster-run-1",
        component="run_worker",
        user_defined_k8s_config=context.run_k8s_config,
    )
    job = ApiClient().sanitize_for_serialization(made)
    kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)
    pod = job["spec"]["template"]["spec"]
    assert violations(pod) == []
    assert pod["serviceAccountName"] == "ab-assets-run"
    (container,) = pod["containers"]
    assert container["image"] == ENVIRONMENT["AB_ASSETS_IMAGE"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert context.namespace == "lab"


def test_a_killed_run_worker_is_resumed(launcher, cluster):
    assert launcher.supports_resume_run
    assert cluster.settings["run_monitoring"]["max_resume_run_attempts"] >= 1
    assert cluster.settings["run_retries"]["enabled"] is False
