"""The few calls to the Kubernetes API that pods need, each with a timeout, each answer as plain JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ab_assets.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.kubernetes.causes import Thing
    from resources.kubernetes.installation import Installation

_CONNECT_SECONDS, _ANSWER_SECONDS = 5, 30
_NOT_FOUND, _CONFLICT, _TOO_MANY = 404, 409, 429
_REFUSALS = {400, 401, 403, 422}
_LOG_LINES = 2000


class OutageError(Exception):
    """The API server gave no answer, or one that says to ask again: 5xx, 429, a cut connection, half a document."""


class RefusalError(Exception):
    """The API server understood and will not: 400, 401, 403, 422. `status` is the code."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class Cluster:
    """One namespace of a cluster. Every method raises OutageError or RefusalError; what is not there is None or []."""

    def __init__(self, namespace: str, api_client: Any) -> None:  # noqa: ANN401 - kubernetes.client.ApiClient
        from kubernetes import client  # noqa: PLC0415 - a second to import

        self._namespace = namespace
        self._core = client.CoreV1Api(api_client)
        self._batch = client.BatchV1Api(api_client)

    def create_job(self, manifest: Thing) -> bool:
        """Create a Job; False when there is one of this name already."""
        try:
            created = self._ask(self._batch.create_namespaced_job, self._namespace, manifest)
        except RefusalError as error:
            if error.status == _CONFLICT:
                return False
            raise
        if created is None:
            raise RefusalError(_NOT_FOUND, f"there is no namespace {self._namespace}")
        return True

    def jobs(self, selector: str) -> list[Thing]:
        """Return the Jobs with these labels."""
        return self._items(self._batch.list_namespaced_job, label_selector=selector)

    def job(self, name: str) -> Thing | None:
        """Return one Job, or None."""
        return self._ask(self._batch.read_namespaced_job, name, self._namespace)

    def label_job(self, name: str, labels: dict[str, str]) -> None:
        """Give a Job these labels, unless it is gone."""
        self._ask(self._batch.patch_namespaced_job, name, self._namespace, {"metadata": {"labels": labels}})

    def pods(self, selector: str) -> list[Thing]:
        """Return the pods with these labels."""
        return self._items(self._core.list_namespaced_pod, label_selector=selector)

    def events(self, name: str) -> list[Thing]:
        """Return the events about the object of this name."""
        return self._items(self._core.list_namespaced_event, field_selector=f"involvedObject.name={name}")

    def log(self, pod: str, container: str, *, since_seconds: int | None) -> list[tuple[str, str]]:
        """Return (time, line) of what a container printed; [] when it has not started or is gone."""
        limits = {"since_seconds": since_seconds} if since_seconds else {"tail_lines": _LOG_LINES}
        try:
            text = self._read(
                self._core.read_namespaced_pod_log, pod, self._namespace, container=container, timestamps=True, **limits
            )
        except RefusalError as error:
            if error.status == 400:  # it waits to start
                return []
            raise
        # a progress bar's carriage returns are within a line: only what follows a newline has a time of its own
        lines = (text or b"").decode("utf-8", errors="replace").split("\n")
        return [(stamp, line) for stamp, _, line in (line.partition(" ") for line in lines if line)]

    def delete_job(self, name: str) -> None:
        """Delete a Job and its pods, each with its own grace period; it may be gone already."""
        self._ask(self._batch.delete_namespaced_job, name, self._namespace, propagation_policy="Background")

    def delete_pod(self, name: str, *, grace_seconds: int | None = None) -> None:
        """Delete a pod; with 0 seconds also one whose node does not answer."""
        more = {} if grace_seconds is None else {"grace_period_seconds": grace_seconds}
        self._ask(self._core.delete_namespaced_pod, name, self._namespace, **more)

    def _items(self, call: Callable[..., Any], **selectors: str) -> list[Thing]:
        found = self._ask(call, self._namespace, **selectors)
        items: list[Thing] = (found or {}).get("items") or []
        return items

    def _ask(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Thing | None:  # noqa: ANN401 - the client's
        data = self._read(call, *arguments, **named)
        if data is None:
            return None
        try:
            found: Thing = json.loads(data)
        except ValueError as error:
            message = "half an answer"
            raise OutageError(message) from error
        return found

    def _read(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> bytes | None:  # noqa: ANN401 - the same
        from kubernetes.client.exceptions import ApiException  # noqa: PLC0415 - a second to import
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - the same

        try:
            answer = call(
                *arguments,
                _preload_content=False,
                _request_timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS),
                **named,
            )
            data: bytes = answer.data
        except ApiException as error:
            if error.status == _NOT_FOUND:
                return None
            if error.status in _REFUSALS or error.status == _CONFLICT:
                raise RefusalError(error.status, _message(error)) from error
            raise OutageError(_message(error)) from error
        except (HTTPError, OSError) as error:
            raise OutageError(str(error)) from error
        return data


def connect(installation: Installation) -> Cluster:
    """Return the cluster of the kubeconfig, or the one around this pod. Raises UnavailableError when there is none."""
    from kubernetes import client, config  # noqa: PLC0415 - a second to import
    from kubernetes.config.config_exception import ConfigException  # noqa: PLC0415 - the same

    settings = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=settings)
    except ConfigException:
        try:
            config.load_kube_config(context=installation.context or None, client_configuration=settings)
        except (ConfigException, OSError) as error:
            raise UnavailableError(
                what="there is no cluster to run pods on",
                found=str(error).strip(),
                expected="a kubeconfig (KUBECONFIG, ~/.kube/config), or a pod with a service account",
                hint="AB_ASSETS_COMPUTE=local runs models on this machine.",
            ) from error
    settings.retries = False  # ours wait longer and say so
    return Cluster(installation.namespace, client.ApiClient(settings))


def _message(error: Any) -> str:  # noqa: ANN401 - kubernetes.client.ApiException
    try:
        said = json.loads(error.body)
        return f"{error.status} {said['message']}"
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"
