"""A Kubernetes API for one namespace over HTTP on loopback, on a clock of its own, with faults where wanted.

It keeps objects and answers as the API server does; what happens to pods is in `scripted_pods`.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from resources.kubernetes.cluster import Cluster
from resources.kubernetes.pods import Clock

Thing = dict[str, Any]

EPOCH = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
NAMESPACE = "lab"
_PATH = re.compile(rf"^/(?:api/v1|apis/batch/v1)/namespaces/{NAMESPACE}/(jobs|pods|events)(?:/([^/]+))?(/log)?$")


@dataclass
class Fault:
    """What requests meet from `start` until `end`, at most `times` of them.

    `kind`: a status code; "cut" (the body ends early), "half" (half a document), "closed" (no answer), "unheard" (it is
    done, and no answer). `on`: a pattern that "METHOD /path" has to contain.
    """

    kind: str
    start: float = 0.0
    end: float = float("inf")
    on: str = ""
    times: int = 10**9
    message: str = "scripted"

    def meets(self, request: str, now: float) -> bool:
        """Tell whether this request meets the fault, and count it."""
        if self.times and self.start <= now < self.end and re.search(self.on, request):
            self.times -= 1
            return True
        return False


@dataclass
class ScriptedApi:
    """Jobs, pods and events at a moment of the script's clock; `sleep` lets time go by and things happen."""

    now: float = 0.0
    jobs: dict[str, Thing] = field(default_factory=dict)
    pods: dict[str, Thing] = field(default_factory=dict)
    events: list[Thing] = field(default_factory=list)
    logs: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    created: list[Thing] = field(default_factory=list)
    disorder: random.Random | None = None
    on_job: Callable[[Thing], None] = lambda job: None
    on_pod_deleted: Callable[[str, int | None], None] = lambda name, grace: None
    on_job_deleted: Callable[[Thing, str], None] = lambda job, propagation: None

    def __post_init__(self) -> None:
        self._to_come: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    @property
    def clock(self) -> Clock:
        """The clock on which the script runs."""
        return Clock(now=lambda: self.now, sleep=self.sleep)

    def at(self, seconds: float, happens: Callable[[], None]) -> None:
        """Let something happen so many seconds from now."""
        heapq.heappush(self._to_come, (self.now + seconds, next(self._count), happens))

    def sleep(self, seconds: float) -> None:
        """Let time go by, and what is to happen in it happen in order."""
        until = self.now + seconds
        while self._to_come and self._to_come[0][0] <= until:
            self.now, _, happens = heapq.heappop(self._to_come)
            happens()
        self.now = until

    def stamp(self) -> str:
        """Return the time as objects carry it."""
        return datetime.fromtimestamp(EPOCH + self.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def event(self, kind: str, about: Thing | str, reason: str, message: str = "") -> None:
        """Record an event about an object (or about the name of one that is gone)."""
        name, uid = (about, "") if isinstance(about, str) else (about["metadata"]["name"], about["metadata"]["uid"])
        self.events.append(
            {
                "type": "Warning", "reason": reason, "message": message or reason, "lastTimestamp": self.stamp(),
                "metadata": {"name": f"{name}.{next(self._count):016x}", "creationTimestamp": self.stamp()},
                "involvedObject": {"kind": kind, "name": name, "uid": uid},
            }
        )  # fmt: skip

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[str, int, bytes]:
        """Return (fault or "", status, body) for a request."""
        request = f"{method} {path}"
        self.asked.append(request)
        fault = next((fault for fault in self.faults if fault.meets(request, self.now)), None)
        if fault is not None and fault.kind.isdigit():
            return "", int(fault.kind), json.dumps({"message": fault.message, "kind": "Status"}).encode()
        if fault is not None and fault.kind == "closed":
            return "closed", 0, b""
        status, found = self._found(method, path, query, body)
        data = found if isinstance(found, bytes) else json.dumps(found).encode()
        return fault.kind if fault else "", status, data

    def _found(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, Thing | bytes]:
        matched = _PATH.match(path)
        if matched is None:
            return 404, {"message": f"no such path: {path}"}
        kind, name, log = matched.groups()
        if name is None:
            return (200, {"items": self._selected(kind, query)}) if method == "GET" else self._create(json.loads(body))
        thing = {"jobs": self.jobs, "pods": self.pods}[kind].get(name)
        if thing is None:
            return 404, {"message": f'{kind} "{name}" not found'}
        if log:
            return self._log(thing, query)
        if method == "PATCH":
            thing["metadata"]["labels"] |= json.loads(body)["metadata"]["labels"]
        elif method == "DELETE" and kind == "jobs":
            del self.jobs[name]
            self.on_job_deleted(thing, query.get("propagationPolicy", "Orphan"))
        elif method == "DELETE":
            grace = query.get("gracePeriodSeconds")
            self.on_pod_deleted(name, None if grace is None else int(grace))
        return 200, thing

    def _create(self, job: Thing) -> tuple[int, Thing]:
        name = job["metadata"]["name"]
        if name in self.jobs:
            return 409, {"message": f'jobs.batch "{name}" already exists', "reason": "AlreadyExists"}
        job["metadata"] |= {"uid": uuid.uuid4().hex, "creationTimestamp": self.stamp()}
        self.jobs[name] = job
        self.created.append(json.loads(json.dumps(job)))
        self.on_job(job)
        return 201, job

    def _selected(self, kind: str, query: dict[str, str]) -> list[Thing]:
        if kind == "events":
            wanted = query["fieldSelector"].removeprefix("involvedObject.name=")
            found = [event for event in self.events if event["involvedObject"]["name"] == wanted]
            if self.disorder is not None:
                found = self.disorder.sample(found * 2, 2 * len(found))
            return found
        pairs = [pair.split("=") for pair in query.get("labelSelector", "").split(",") if pair]
        things = {"jobs": self.jobs, "pods": self.pods}[kind].values()
        return [one for one in things if all(one["metadata"]["labels"].get(key) == value for key, value in pairs)]

    def _log(self, pod: Thing, query: dict[str, str]) -> tuple[int, Thing | bytes]:
        if pod["status"]["phase"] == "Pending":
            return 400, {"message": "container is waiting to start: ContainerCreating"}
        since = self.now - float(query["sinceSeconds"]) if "sinceSeconds" in query else -1.0
        lines = self.logs.get(pod["metadata"]["name"], [])
        text = "".join(
            f"{datetime.fromtimestamp(EPOCH + at, UTC):%Y-%m-%dT%H:%M:%S.%f}000Z {line}\n"
            for at, line in lines
            if at >= since
        )
        return 200, text.encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet per answer
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault, status, data = self.server.api.answer(self.command, parts.path, dict(parse_qsl(parts.query)), body)
        if fault in ("closed", "unheard"):
            self.close_connection = True
            return
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data) // (2 if fault == "half" else 1)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if fault in ("cut", "half") else data)
        self.close_connection = fault == "cut"

    do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - the names that http.server looks for

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    api: ScriptedApi


@contextmanager
def served() -> Iterator[Callable[[ScriptedApi], Cluster]]:
    """Yield a function that returns the cluster of a script; one script is served at a time."""
    from kubernetes import client

    server = _Server(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    settings = client.Configuration(host=f"http://127.0.0.1:{server.server_port}")
    settings.retries = False
    with client.ApiClient(settings) as api_client:

        def cluster_of(api: ScriptedApi) -> Cluster:
            server.api = api
            return Cluster(NAMESPACE, api_client)

        yield cluster_of
        api_client.rest_client.pool_manager.clear()
    server.shutdown()
    server.server_close()
    thread.join()
