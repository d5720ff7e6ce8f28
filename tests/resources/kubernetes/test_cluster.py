"""Calls to the API say what there is, that there was no answer, or why not: through the real client."""

from __future__ import annotations

import pytest
from scripted_api import Fault, ScriptedApi
from scripted_pods import ScriptedPods
from scripted_runs import STARTS

from ab_assets.errors import UnavailableError
from resources.kubernetes.cluster import OutageError, RefusalError, connect
from resources.kubernetes.installation import Installation

JOB = {
    "metadata": {"name": "job", "labels": {"a": "1", "ab-assets/work": "w", "ab-assets/attempt": "1"}},
    "spec": {
        "template": {
            "metadata": {"labels": {"a": "1", "ab-assets/work": "w", "ab-assets/attempt": "1"}},
            "spec": {"containers": [{"name": "worker"}], "terminationGracePeriodSeconds": 10},
        }
    },
}


@pytest.fixture
def api(tmp_path):
    api = ScriptedApi()
    ScriptedPods(api, tmp_path, [[*STARTS, (4, "prints", "one"), (5, "prints", "two")]] * 3)
    (tmp_path / "work" / "w").mkdir(parents=True)
    (tmp_path / "work" / "w" / "work-1.json").write_text("{}")
    return api


@pytest.fixture
def cluster(api, cluster_of):
    return cluster_of(api)


def test_what_is_not_there_is_none_or_nothing(cluster):
    assert cluster.job("nobody") is None
    assert cluster.jobs("a=1") == cluster.pods("a=1") == cluster.events("nobody") == []
    assert cluster.log("nobody", "worker", since_seconds=None) == []
    cluster.delete_job("nobody")
    cluster.delete_pod("nobody", grace_seconds=0)
    cluster.label_job("nobody", {"a": "2"})


def test_a_job_is_created_once_and_found_by_its_labels(cluster):
    assert cluster.create_job(JOB)
    assert not cluster.create_job(JOB)
    assert [job["metadata"]["name"] for job in cluster.jobs("a=1")] == ["job"]
    assert cluster.jobs("a=2") == []
    cluster.label_job("job", {"a": "2"})
    assert cluster.job("job")["metadata"]["labels"]["a"] == "2"


def test_a_job_goes_with_its_pods(cluster, api):
    cluster.create_job(JOB)
    api.sleep(4)
    assert len(cluster.pods("a=1")) == 1
    cluster.delete_job("job")
    api.sleep(10)
    assert cluster.jobs("a=1") == cluster.pods("a=1") == []


def test_a_namespace_that_is_not_there_is_refused_not_created_in(cluster, api):
    api.faults = [Fault("404", on="POST")]
    with pytest.raises(RefusalError, match="there is no namespace lab") as refused:
        cluster.create_job(JOB)
    assert refused.value.status == 404


@pytest.mark.parametrize("kind", ["500", "502", "503", "504", "429", "cut", "half", "closed"])
@pytest.mark.parametrize("call", ["create", "job", "jobs", "pods", "events", "log", "label", "delete"])
def test_no_answer_is_an_outage_whatever_was_asked(cluster, api, kind, call):
    cluster.create_job(JOB)
    api.sleep(4)
    pod = cluster.pods("a=1")[0]["metadata"]["name"]
    api.faults = [Fault(kind)]
    calls = {
        "create": lambda: cluster.create_job(JOB),
        "job": lambda: cluster.job("job"),
        "jobs": lambda: cluster.jobs("a=1"),
        "pods": lambda: cluster.pods("a=1"),
        "events": lambda: cluster.events(pod),
        "log": lambda: cluster.log(pod, "worker", since_seconds=None),
        "label": lambda: cluster.label_job("job", {"a": "2"}),
        "delete": lambda: cluster.delete_job("job"),
    }
    if kind == "half" and call in ("log", "create"):
        return  # half a log is a log, and 409 says all without its words
    with pytest.raises(OutageError):
        calls[call]()
    api.faults = []
    assert cluster.pods("a=1")


@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_a_refusal_has_its_status_and_the_servers_words(cluster, api, status):
    api.faults = [Fault(str(status), message="jobs is forbidden")]
    with pytest.raises(RefusalError, match=f"{status} jobs is forbidden") as refused:
        cluster.jobs("a=1")
    assert refused.value.status == status


def test_a_log_has_a_time_for_each_line(cluster, api):
    cluster.create_job(JOB)
    api.sleep(2.5)
    pod = cluster.pods("a=1")[0]["metadata"]["name"]
    assert cluster.log(pod, "worker", since_seconds=None) == []  # it waits to start
    api.sleep(3)
    assert [line for _, line in cluster.log(pod, "worker", since_seconds=None)] == ["one", "two"]
    api.sleep(1)
    [(stamp, line)] = cluster.log(pod, "worker", since_seconds=2)
    assert (stamp, line) == ("2026-01-01T00:00:05.000000000Z", "two")


def test_a_progress_bar_is_one_line_of_a_log(cluster, api):
    api.pods["pod"] = {"metadata": {"name": "pod"}, "status": {"phase": "Running"}}
    api.logs["pod"] = [(1, "loading\r 50%\r100%\x0b\u2028"), (2, "training")]
    lines = cluster.log("pod", "worker", since_seconds=None)
    assert [line.partition("\r")[0] for _, line in lines] == ["loading", "training"]
    assert all(stamp.startswith("2026-") for stamp, _ in lines)


def test_without_a_cluster_the_way_to_one_is_said(monkeypatch, tmp_path):
    # the client has read the environment when it was imported
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "nothing"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(UnavailableError, match="KUBECONFIG"):
        connect(Installation(image="lab/ab-assets:1"))
