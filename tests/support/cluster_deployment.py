"""All of Dagster as pods of a namespace: the settings of deploy/, the programs of this machine.

Without Services and cluster DNS: pods are told each other's addresses. The images are that of the pod template, so
programs, checkout and PostgreSQL are this machine's; for these pods run as root, PostgreSQL as nobody.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployment import DEPLOY, ROOT, documents
from live_ui import Ui
from pod_cluster import Namespace, kubectl, pod_image, pod_template

VALUES: dict[str, Any] = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text())
(CODE_SERVER,) = VALUES["dagster-user-deployments"]["deployments"]
INSTANCE = DEPLOY / "cluster" / "dagster.yaml"
POSTGRESQL = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
NOBODY = 65534
EVERYWHERE = "0.0.0.0"  # noqa: S104 - inside a pod
WORKSPACE = "/etc/dagster-workspace"
# Small, so that several runs fit a small node beside everything else.
RESOURCES = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "3Gi"}}

# What the chart gives its account besides the Role ab-assets-run, as far as Dagster asks for it:
# https://github.com/dagster-io/dagster/blob/1.13.27/helm/dagster/templates/role.yaml
CHARTS_ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "dagster"},
    "rules": [{"apiGroups": ["batch"], "resources": ["jobs/status"], "verbs": ["get"]}],
}  # fmt: skip
CHARTS_BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "dagster"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "dagster"},
    "subjects": [{"kind": "ServiceAccount", "name": "dagster"}],
}  # fmt: skip

# Debian's image entry point, in a few words.
START_POSTGRESQL = """
set -e
initdb -D /data/pg -U dagster -A scram-sha-256 -E UTF8 --locale=C.UTF-8 --pwfile=<(printf %s "$DAGSTER_PG_PASSWORD")
echo 'CREATE DATABASE dagster' | postgres --single -D /data/pg postgres
echo 'host all all 0.0.0.0/0 scram-sha-256' >> /data/pg/pg_hba.conf
exec postgres -D /data/pg -h 0.0.0.0 -k /tmp
"""


@dataclass
class Deployment:
    """PostgreSQL, code server, webserver and daemon in a namespace that has a claim `ab-assets-home`."""

    namespace: Namespace
    kubernetes_toml: str
    sensor_seconds: int = 5
    addresses: dict[str, str] = field(default_factory=dict)

    def start(self) -> Ui:
        """Return the webserver once everything runs."""
        self._objects()
        self._run("postgresql", self._postgresql())
        self._instance()
        listening = ("-h", EVERYWHERE, "-p")
        code_server = ["dagster", "code-server", "start", *listening, "4000", *CODE_SERVER["codeServerArgs"]]
        said = {"AB_ASSETS_SENSOR_SECONDS": str(self.sensor_seconds)}
        self._run("code-server", self._pod(CODE_SERVER, code_server, said))
        server = {"host": self.addresses["code-server"], "port": 4000, "location_name": "ab_assets"}
        self._config_map("workspace", {"workspace.yaml": yaml.safe_dump({"load_from": [{"grpc_server": server}]})})
        workspace = ["-w", f"{WORKSPACE}/workspace.yaml"]
        webserver = ["dagster-webserver", *listening, "8080", *workspace]
        self._run("webserver", self._pod(VALUES["dagsterWebserver"], webserver, self._images()))
        ui = Ui(f"http://{self.addresses['webserver']}:8080")
        self.until(ui.answers, seconds=180)
        daemon = ["dagster-daemon", "run", *workspace]
        self._run("daemon", self._pod(VALUES["dagsterDaemon"], daemon, self._images()))
        return ui

    def until(self, check, *, seconds: float) -> Any:
        """Return the first answer that is true; fails with the log of a pod that ended, or of all."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if answer := check():
                return answer
            if broken := [name for name in self.addresses if self._phase(name) != "Running"]:
                pytest.fail(f"{broken} ended: {self.logs(broken)}")
            time.sleep(1)
        pytest.fail(f"it did not happen in {seconds} seconds\n{self.logs()}")
        return None

    def logs(self, names: list[str] | None = None) -> str:
        """Return the last lines of these pods, or of all in the namespace."""
        every = names or [pod["metadata"]["name"] for pod in self.namespace.get("pods")]
        parts = []
        for name in every:
            try:
                parts.append(f"--- {name}\n{kubectl('-n', self.namespace.name, 'logs', name, '--tail=40')}")
            except AssertionError as error:
                parts.append(f"--- {name}: {error}")
        return "\n".join(parts)

    def _objects(self) -> None:
        for document in documents(DEPLOY / "kubernetes" / "base" / "accounts.yaml"):
            text = json.dumps(document).replace('"namespace": "ab-assets"', f'"namespace": "{self.namespace.name}"')
            self.namespace.apply(json.loads(text))
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "dagster"}}
        for manifest in (account, CHARTS_ROLE, CHARTS_BINDING):
            self.namespace.apply(manifest)
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": VALUES["global"]["postgresqlSecretName"]}}
        self.namespace.apply(secret | {"stringData": {"postgresql-password": secrets.token_hex(16)}})
        settings = {"kubernetes.toml": self.kubernetes_toml, "template.yaml": yaml.safe_dump(pod_template())}
        self._config_map("ab-assets-kubernetes", settings)

    def _config_map(self, name: str, data: dict[str, str]) -> None:
        self.namespace.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})

    def _instance(self) -> None:
        """Write the instance's settings: those of deploy/, with what a run needs to be this checkout's."""
        instance = yaml.safe_load(INSTANCE.read_text())
        launcher, template = instance["run_launcher"]["config"], pod_template()
        container = template["containers"][0]
        launcher["env_vars"] += [f"{one['name']}={one['value']}" for one in self._environment()]
        launcher["volume_mounts"] += container["volumeMounts"]
        launcher["volumes"] += template["volumes"]
        launcher["resources"] = RESOURCES
        launcher["run_k8s_config"]["pod_spec_config"]["security_context"] = template["securityContext"]
        launcher["run_k8s_config"]["pod_spec_config"]["share_process_namespace"] = True  # a test kills what runs in it
        instance["run_monitoring"]["poll_interval_seconds"] = 5
        text = yaml.safe_dump(instance)
        for name in (launcher["instance_config_map"], "dagster-instance"):  # the chart's own has the second name
            self._config_map(name, {"dagster.yaml": text})

    def _environment(self) -> list[dict[str, str]]:
        """Return the variables with which a pod runs this checkout, one thread each."""
        given = pod_template()["containers"][0]["env"]
        said = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        return [*given, *({"name": name, "value": value} for name, value in said.items())]

    def _images(self) -> dict[str, str]:
        return {"AB_ASSETS_NAMESPACE": self.namespace.name, "AB_ASSETS_IMAGE": pod_image()}

    def _pod(self, place: dict[str, Any], command: list[str], said: dict[str, str]) -> dict[str, Any]:
        """Return a pod of one of Dagster's programs, as the values say and with this machine's programs."""
        template = pod_template()
        container, dagster_home = template["containers"][0], VALUES["global"]["dagsterHome"]
        said = said | self._images() | {
            "DAGSTER_HOME": dagster_home, "DAGSTER_PG_HOST": self.addresses["postgresql"],
            "DAGSTER_PG_USERNAME": VALUES["postgresql"]["postgresqlUsername"],
            "DAGSTER_PG_DB": VALUES["postgresql"]["postgresqlDatabase"],
        }  # fmt: skip
        env = {one["name"]: one for one in (*self._environment(), *place["env"])}
        env |= {name: {"name": name, "value": value} for name, value in said.items()}
        mounts = {mount["mountPath"]: mount for mount in place["volumeMounts"]}
        mounts |= {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in (*place["volumes"], *template["volumes"])}
        settings = f"{dagster_home}/dagster.yaml"
        mounts[settings] = {"name": "instance-settings", "mountPath": settings, "subPath": "dagster.yaml"}
        volumes["instance-settings"] = {"name": "instance-settings", "configMap": {"name": "dagster-instance"}}
        if "codeServerArgs" not in place:
            mounts[WORKSPACE] = {"name": "workspace", "mountPath": WORKSPACE}
            volumes["workspace"] = {"name": "workspace", "configMap": {"name": "workspace"}}
        mine = {
            "command": command, "image": pod_image(), "env": [*env.values(), self._password()],
            "volumeMounts": list(mounts.values()), "resources": RESOURCES, "securityContext": place["securityContext"],
        }  # fmt: skip
        return {
            "metadata": {"labels": place["labels"]},
            "spec": template | {
                "containers": [container | mine], "volumes": list(volumes.values()), "restartPolicy": "Never",
                "serviceAccountName": VALUES["global"]["serviceAccountName"],
            },
        }  # fmt: skip

    def _postgresql(self) -> dict[str, Any]:
        template = pod_template()
        container = template["containers"][0]
        path = f"{POSTGRESQL[-1]}:/usr/bin:/bin"
        mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("data", "tmp")]
        mine = {
            "image": pod_image(), "command": ["bash", "-c", START_POSTGRESQL],
            "env": [{"name": "PATH", "value": path}, self._password()],
            "volumeMounts": container["volumeMounts"] + mounts,
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        }  # fmt: skip
        return {
            "metadata": {"labels": {"ab-assets/role": "postgresql"}},
            "spec": {
                "containers": [container | mine], "restartPolicy": "Never",
                "volumes": [*template["volumes"], {"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsNonRoot": True, "runAsUser": NOBODY, "runAsGroup": NOBODY, "fsGroup": NOBODY,
                },
            },
        }  # fmt: skip

    def _password(self) -> dict[str, Any]:
        secret = {"name": VALUES["global"]["postgresqlSecretName"], "key": "postgresql-password"}
        return {"name": "DAGSTER_PG_PASSWORD", "valueFrom": {"secretKeyRef": secret}}

    def _run(self, name: str, pod: dict[str, Any]) -> None:
        """Start a pod and wait until it runs and has an address."""
        metadata = pod["metadata"] | {"name": name}
        self.namespace.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]})
        self.until(lambda: self._phase(name) in ("Running", "Failed"), seconds=120)
        self.addresses[name] = self._get(name)["status"].get("podIP", "")
        self.until(lambda: self._phase(name) == "Running", seconds=5)

    def _phase(self, name: str) -> str:
        return self._get(name)["status"]["phase"]

    def _get(self, name: str) -> dict[str, Any]:
        return json.loads(kubectl("-n", self.namespace.name, "get", "pod", name, "-o", "json"))
