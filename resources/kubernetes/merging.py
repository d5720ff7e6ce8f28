"""A user's pod template laid over a rendered pod: tables merge, lists of named things merge by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from ab_assets.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# What tells the items of a list apart, as in the API's own strategic merge (`x-kubernetes-patch-merge-key`).
_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}
# One of these tells a pod's spec from another table.
_SAID_OF_PODS = {
    "affinity",
    "containers",
    "dnsConfig",
    "hostAliases",
    "imagePullSecrets",
    "initContainers",
    "nodeName",
    "nodeSelector",
    "priorityClassName",
    "runtimeClassName",
    "schedulerName",
    "securityContext",
    "tolerations",
    "topologySpreadConstraints",
    "volumes",
}
_MERGED_DEEPLY = {"containers", "initContainers"}


def read_pod_template(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (metadata, pod spec) of a Pod, a PodTemplate, a Job or a bare pod spec in YAML.

    Raises BadInputError when it is none of them.
    """
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInputError(what="the pod template is no YAML", where=str(path), found=str(error)) from error
    found = value
    while isinstance(found, dict) and "template" in found:
        found = found["template"]
    if isinstance(found, dict) and isinstance(found.get("spec"), dict) and "template" in found["spec"]:
        found = found["spec"]["template"]
    spec = found.get("spec", found) if isinstance(found, dict) else None
    if not isinstance(spec, dict) or not (_SAID_OF_PODS & spec.keys()):
        raise BadInputError(
            what="the pod template is no pod",
            where=str(path),
            expected="a Pod, a PodTemplate, a Job, or the spec of a pod",
            hint="The container that is merged with ours is called worker.",
        )
    metadata = found.get("metadata", {}) if "spec" in found else {}
    return {key: metadata[key] for key in ("labels", "annotations") if key in metadata}, spec


def merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return `ours` with `theirs` laid over it; a null of theirs takes the key away."""
    result = dict(ours)
    for key, value in theirs.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        elif isinstance(value, list) and isinstance(result.get(key), list) and key in _MERGE_KEYS:
            result[key] = _merged_items(result[key], value, key)
        else:
            result[key] = value
    return result


def _merged_items(ours: list[Any], theirs: list[Any], key: str) -> list[Any]:
    name = _MERGE_KEYS[key]
    items = {item[name]: item for item in ours}
    nameless = [item for item in theirs if not isinstance(item, dict) or name not in item]  # for the API to refuse
    for item in (item for item in theirs if item not in nameless):
        before = items.get(item[name])
        # a volume or a variable is of one kind: theirs stands for ours
        items[item[name]] = merged(before, item) if before and key in _MERGED_DEEPLY else item
    return [*items.values(), *nameless]
