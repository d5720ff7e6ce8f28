"""A user's pod template lies over the pod: tables merge, lists of named things merge by name."""

from __future__ import annotations

import pytest
import yaml

from ab_assets.errors import BadInputError
from resources.kubernetes.merging import merged, read_pod_template

SPEC = {"containers": [{"name": "worker", "image": "own"}], "nodeSelector": {"a": "b"}}
OURS = {
    "securityContext": {"runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "worker",
            "image": "ours",
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
            "volumeMounts": [{"name": "home", "mountPath": "/home", "subPath": "x"}],
        }
    ],
    "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "home"}}],
    "tolerations": [{"key": "gpu"}],
}


@pytest.mark.parametrize(
    "given",
    [
        SPEC,
        {"apiVersion": "v1", "kind": "Pod", "spec": SPEC},
        {"kind": "PodTemplate", "template": {"spec": SPEC}},
        {"kind": "Job", "spec": {"template": {"spec": SPEC}}},
    ],
)
def test_a_pod_is_read_from_whatever_carries_one(tmp_path, given):
    assert read(tmp_path, yaml.safe_dump(given)) == ({}, SPEC)


@pytest.mark.parametrize(
    "key", ["affinity", "securityContext", "initContainers", "topologySpreadConstraints", "dnsConfig", "hostAliases"]
)
def test_a_bare_spec_may_say_one_thing_only(tmp_path, key):
    assert read(tmp_path, yaml.safe_dump({key: {}}))[1] == {key: {}}
    assert read(tmp_path, yaml.safe_dump({"kind": "Pod", "spec": {key: {}}}))[1] == {key: {}}


def test_labels_and_annotations_come_along_and_nothing_else(tmp_path):
    metadata = {"name": "x", "labels": {"a": "b"}, "annotations": {"c": "d"}}
    found, _ = read(tmp_path, yaml.safe_dump({"kind": "Pod", "metadata": metadata, "spec": SPEC}))
    assert found == {"labels": {"a": "b"}, "annotations": {"c": "d"}}


@pytest.mark.parametrize(
    "text", ["", "[]", "text", "a: b", "spec: 3", "template: {}", "spec: {template: 1}", "a: [", "\x00"]
)
def test_what_is_no_pod_is_refused_with_its_file(tmp_path, text):
    with pytest.raises(BadInputError, match="the pod template is no") as refused:
        read(tmp_path, text)
    assert "pod.yaml" in str(refused.value)


def read(folder, text):
    file = folder / "pod.yaml"
    file.write_text(text)
    return read_pod_template(file)


def test_tables_merge_deeply_and_null_takes_away():
    found = merged(OURS, {"securityContext": {"runAsUser": 5, "seccompProfile": None}})
    assert found["securityContext"] == {"runAsUser": 5}
    assert OURS["securityContext"]["runAsUser"] == 1


def test_containers_merge_by_name_and_others_are_added():
    found = merged(OURS, {"containers": [{"name": "proxy"}, {"name": "worker", "image": "own", "env": None}]})
    assert [one["name"] for one in found["containers"]] == ["worker", "proxy"]
    assert found["containers"][0]["image"] == "own"
    assert "env" not in found["containers"][0]


def test_a_variable_a_mount_and_a_volume_are_replaced_whole():
    theirs = {
        "containers": [
            {
                "name": "worker",
                "env": [{"name": "B", "valueFrom": {}}, {"name": "C"}],
                "volumeMounts": [{"name": "other", "mountPath": "/home"}],
            }
        ],
        "volumes": [{"name": "home", "nfs": {"server": "x"}}],
    }
    found = merged(OURS, theirs)
    worker = found["containers"][0]
    assert worker["env"] == [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {}}, {"name": "C"}]
    assert worker["volumeMounts"] == [{"name": "other", "mountPath": "/home"}]
    assert found["volumes"] == [{"name": "home", "nfs": {"server": "x"}}]


def test_other_lists_are_replaced():
    assert merged(OURS, {"tolerations": [{"key": "x"}]})["tolerations"] == [{"key": "x"}]


@pytest.mark.parametrize("item", [{"image": "no name"}, None, "text"])
def test_items_without_a_name_are_kept_for_the_api_to_refuse(item):
    assert merged(OURS, {"containers": [item, item]})["containers"] == [*OURS["containers"], item, item]


def test_nothing_changes_nothing():
    assert merged(OURS, {}) == OURS
