"""The sensor that clears away what killed processes leave."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from dagster import DagsterInstance, DagsterRunStatus, build_sensor_context
from dagster._core.test_utils import create_run_for_test

from resources.home import HomeResource
from resources.kubernetes import cluster
from resources.runs import HOST, PID
from sensors.strays import strays


@pytest.fixture
def instance():
    with DagsterInstance.ephemeral() as found:
        yield found


def looked(instance, root) -> str:
    context = build_sensor_context(instance, resources={"home": HomeResource(root=str(root))})
    return strays(context).skip_message


def test_a_dead_run_is_ended_and_said_once(instance, tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    tags = {HOST: socket.gethostname(), PID: str(process.pid)}
    run = create_run_for_test(instance, status=DagsterRunStatus.STARTED, tags=tags)
    assert run.run_id in looked(instance, tmp_path)
    assert instance.get_run_by_id(run.run_id).status is DagsterRunStatus.FAILURE
    assert "runs ended: none" in looked(instance, tmp_path)


def test_where_models_run_here_no_cluster_is_asked(instance, tmp_path, monkeypatch):
    monkeypatch.delenv("AB_ASSETS_COMPUTE", raising=False)
    monkeypatch.setattr(cluster, "connect", lambda _: pytest.fail("the cluster was asked"))
    assert "Jobs removed: none" in looked(instance, tmp_path)


def test_a_cluster_that_does_not_answer_is_said(instance, tmp_path, monkeypatch):
    def away(_):
        raise cluster.OutageError("no route")  # noqa: EM101

    (tmp_path / "kubernetes.toml").write_text('image = "registry.example.org/ab-assets:1"\n')
    monkeypatch.setenv("AB_ASSETS_COMPUTE", "kubernetes")
    monkeypatch.setattr(cluster, "connect", away)
    assert "could not be asked: no route" in looked(instance, tmp_path)


def test_settings_that_are_wrong_are_said(instance, tmp_path, monkeypatch):
    monkeypatch.setenv("AB_ASSETS_COMPUTE", "kubernetes")
    assert "kubernetes.toml" in looked(instance, tmp_path)
