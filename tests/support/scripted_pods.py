"""What happens to pods in a script: scheduler, kubelet, Job controller and the worker inside, a step at a time."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from scripted_api import ScriptedApi, Thing

from resources.kubernetes.manifest import ATTEMPT, WORK

Step = tuple[Any, ...]  # (seconds since the Job was created, name of a method of Pod or Job, its arguments)


class ScriptedPods:
    """Lets each Job that is created meet the next of `stories`.

    `home`: where workers write. `stop_seconds`: what a worker needs to save after SIGTERM. `doubles`: moments at which
    two workers of one work were working.
    """

    def __init__(self, api: ScriptedApi, home: Path, stories: Iterable[Iterable[Step]], stop_seconds: float = 6.0):
        self.api = api
        self.home = home
        self.stories = iter(stories)
        self.stop_seconds = stop_seconds
        self.told: list[Iterable[Step]] = []
        self.working: dict[str, str] = {}
        self.doubles: list[str] = []
        self._uids = itertools.count(1)
        self._latest: dict[str, str] = {}
        api.on_job = self._begin
        api.on_job_deleted = self._job_deleted
        api.on_pod_deleted = self._pod_deleted

    def _begin(self, job: Thing) -> None:
        story = next(self.stories)
        self.told.append(story)
        for seconds, what, *arguments in story:
            self.api.at(seconds, self._step(job, what, arguments))

    def _step(self, job: Thing, what: str, arguments: list[Any]) -> Callable[[], None]:
        def happens() -> None:
            latest = self._latest.get(job["metadata"]["uid"], "")
            pod = self.api.pods.get(latest)
            if what.startswith("job_") or what == "pod":
                if self._there(job):
                    getattr(self, what)(job, *arguments)
            elif what == "event":
                self.api.event("Pod", pod or latest, *arguments)
            elif pod is not None and what == "removed":
                self.removed(pod)
            elif pod is not None and not _over(pod) and not pod["metadata"].get("deletionTimestamp"):
                getattr(self, what)(pod, *arguments)

        return happens

    # what a story may say

    def pod(self, job: Thing) -> None:
        """The Job controller makes a pod (another one, when there was one)."""
        uid, template = f"uid-{next(self._uids)}", job["spec"]["template"]
        name = self._latest[job["metadata"]["uid"]] = f"{job['metadata']['name']}-{uid[4:]}"
        self.api.pods[name] = json.loads(
            json.dumps(
                {
                    "metadata": {
                        "name": name, "uid": uid, "creationTimestamp": self.api.stamp(),
                        "labels": template["metadata"]["labels"], "ownerReferences": [{"uid": job["metadata"]["uid"]}],
                    },
                    "spec": template["spec"],
                    "status": {"phase": "Pending"},
                }
            )
        )  # fmt: skip

    def job_event(self, job: Thing, reason: str, message: str = "") -> None:
        """An event about the Job."""
        self.api.event("Job", job, reason, message)

    def job_deleted(self, job: Thing, propagation: str = "Background") -> None:
        """Somebody deletes the Job."""
        del self.api.jobs[job["metadata"]["name"]]
        self._job_deleted(job, propagation)

    def job_deadline(self, job: Thing, condition: str = "Failed") -> None:
        """The Job is older than it may be: its pods go."""
        self._conclude(job, condition, "DeadlineExceeded")
        for pod in self._pods_of(job):
            self._pod_deleted(pod["metadata"]["name"], None)

    def scheduled(self, pod: Thing) -> None:
        """The pod is given a node."""
        pod["spec"]["nodeName"] = "node-1"
        pod["status"]["conditions"] = [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": self.api.stamp()}
        ]
        self.waits(pod, "ContainerCreating")

    def unschedulable(self, pod: Thing, message: str) -> None:
        """The pod finds no node."""
        pod["status"]["conditions"] = [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        ]

    def waits(self, pod: Thing, reason: str, message: str = "", container: str = "worker") -> None:
        """A container does not start, for this reason."""
        kind = "containerStatuses" if container == "worker" else "initContainerStatuses"
        pod["status"][kind] = [{"name": container, "state": {"waiting": {"reason": reason, "message": message}}}]

    def runs(self, pod: Thing) -> None:
        """The container starts; a worker that is the first of its attempt works, another ends with 75."""
        pod["status"] |= {"phase": "Running"}
        pod["status"]["containerStatuses"] = [
            {"name": "worker", "state": {"running": {"startedAt": self.api.stamp()}}},
            *({"name": one["name"], "state": {"running": {}}} for one in pod["spec"]["containers"][1:]),
        ]
        work, attempt, uid = self._labels(pod, WORK), self._labels(pod, ATTEMPT), pod["metadata"]["uid"]
        folder = self.home / "work" / work
        if not (folder / f"work-{attempt}.json").is_file():
            self.exits(pod, 1)
        elif (marker := folder / f"begun-{attempt}").exists():
            self.exits(pod, 75 if marker.read_text() != uid else 1)
        else:
            marker.write_text(uid)
            self.working[pod["metadata"]["name"]] = work
            if list(self.working.values()).count(work) > 1:
                self.doubles.append(f"{self.api.now}: {self.working}")

    def says(self, pod: Thing, kind: str, **details: Any) -> None:
        """The worker says something, unless the place where it says it is gone."""
        self.writes(pod, message(kind, **details))

    def writes(self, pod: Thing, text: str) -> None:
        """The worker's messages grow by this text, whole or not."""
        file = self.home / "work" / self._labels(pod, WORK) / f"messages-{self._labels(pod, ATTEMPT)}.jsonl"
        if file.parent.is_dir() and pod["metadata"]["name"] in self.working:
            with file.open("a") as out:
                out.write(text)

    def prints(self, pod: Thing, line: str) -> None:
        """The container prints a line."""
        self.api.logs.setdefault(pod["metadata"]["name"], []).append((self.api.now, line))

    def exits(self, pod: Thing, code: int, reason: str = "", why: str = "") -> None:
        """The container ends, and with it the pod. `why`: `status.reason` of the pod."""
        self._stopped(pod, code, reason)
        pod["status"] |= {"phase": "Failed" if code or why else "Succeeded"} | ({"reason": why} if why else {})
        self._conclude_later(pod)

    def worker_exits(self, pod: Thing, code: int, reason: str = "") -> None:
        """The worker's container ends and another one of the pod stays."""
        self._stopped(pod, code, reason)

    def fails(self, pod: Thing, reason: str, message: str = "") -> None:
        """The pod fails as a whole, and nothing is known of its containers."""
        pod["status"] = {"phase": "Failed", "reason": reason, "message": message, "containerStatuses": []}
        self._dies(pod)
        self._conclude_later(pod)

    def init_fails(self, pod: Thing, code: int, message: str = "") -> None:
        """An init container ends with an error."""
        self.waits(pod, "PodInitializing")
        ended = {"exitCode": code, "reason": "Error", "message": message}
        pod["status"]["initContainerStatuses"] = [{"name": "fetch", "state": {"terminated": ended}}]
        pod["status"]["phase"] = "Failed"
        self._conclude_later(pod)

    def disrupted(self, pod: Thing, reason: str) -> None:
        """The pod is told why it is to go (Kubernetes 1.26 and later)."""
        condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": reason}
        pod["status"].setdefault("conditions", []).append(condition)

    def goes(self, pod: Thing) -> None:
        """The pod is deleted: SIGTERM, time to save, gone."""
        self._pod_deleted(pod["metadata"]["name"], None)

    def vanishes(self, pod: Thing) -> None:
        """The pod is deleted without any grace."""
        self._pod_deleted(pod["metadata"]["name"], 0)

    def removed(self, pod: Thing) -> None:
        """The pod's object goes, whatever it was doing."""
        self._remove(pod["metadata"]["name"])

    def lost(self, pod: Thing) -> None:
        """The node is gone: the pod is to go, and nobody tells the API that it has."""
        pod["metadata"]["deletionTimestamp"] = self.api.stamp()
        self._dies(pod)

    # what follows by itself

    def _stopped(self, pod: Thing, code: int, reason: str) -> None:
        ended = {"exitCode": code, "reason": reason or ("Error" if code else "Completed")}
        others = pod["status"].get("containerStatuses", [])[1:]
        pod["status"]["containerStatuses"] = [{"name": "worker", "state": {"terminated": ended}}, *others]
        self._dies(pod)

    def _dies(self, pod: Thing) -> None:
        self.working.pop(pod["metadata"]["name"], None)

    def _pod_deleted(self, name: str, grace: int | None) -> None:
        pod = self.api.pods.get(name)
        if pod is None:
            return
        if grace == 0 or _over(pod) or (name not in self.working and not pod["metadata"].get("deletionTimestamp")):
            self._remove(name)
        elif not pod["metadata"].get("deletionTimestamp"):
            pod["metadata"]["deletionTimestamp"] = self.api.stamp()
            grace = pod["metadata"]["deletionGracePeriodSeconds"] = pod["spec"]["terminationGracePeriodSeconds"]
            self.api.at(min(self.stop_seconds, grace), lambda: self._saved(pod, in_time=self.stop_seconds < grace))

    def _saved(self, pod: Thing, *, in_time: bool) -> None:
        if pod["metadata"]["name"] in self.working:
            if in_time:
                self.says(pod, "interrupted")
            self.exits(pod, 143 if in_time else 137)
        self.api.at(0.7, lambda: self._remove(pod["metadata"]["name"]))

    def _remove(self, name: str) -> None:
        if (pod := self.api.pods.pop(name, None)) is not None:
            self._dies(pod)
            self._conclude_later(pod)

    def _conclude_later(self, pod: Thing) -> None:
        good = pod["status"]["phase"] == "Succeeded"
        kind, reason = ("Complete", "") if good else ("Failed", "BackoffLimitExceeded")
        owner = pod["metadata"]["ownerReferences"][0]["uid"]

        def conclude() -> None:
            for job in self.api.jobs.values():
                if job["metadata"]["uid"] == owner and self._latest[owner] == pod["metadata"]["name"]:
                    self._conclude(job, kind, reason)  # no other pod is in its place

        self.api.at(0.6, conclude)

    def _conclude(self, job: Thing, kind: str, reason: str) -> None:
        conditions = job.setdefault("status", {}).setdefault("conditions", [])
        if not any(condition["type"] in ("Failed", "Complete") for condition in conditions):
            conditions.append({"type": kind, "status": "True", "reason": reason, "message": reason})

    def _job_deleted(self, job: Thing, propagation: str) -> None:
        if propagation != "Orphan":
            for pod in self._pods_of(job):
                self.api.at(0.4, lambda name=pod["metadata"]["name"]: self._pod_deleted(name, None))

    def _pods_of(self, job: Thing) -> list[Thing]:
        owner = [{"uid": job["metadata"]["uid"]}]
        return [pod for pod in self.api.pods.values() if pod["metadata"]["ownerReferences"] == owner]

    def _there(self, job: Thing) -> bool:
        return self.api.jobs.get(job["metadata"]["name"], {}) is job

    @staticmethod
    def _labels(pod: Thing, label: str) -> str:
        return pod["metadata"]["labels"][label]


def _over(pod: Thing) -> bool:
    return pod["status"]["phase"] in ("Failed", "Succeeded")


def message(kind: str, **details: Any) -> str:
    """Return the line in which a worker says something."""
    payload = {"kind": kind} | details
    params = {"payload": payload}
    return json.dumps({"__dagster_pipes_version": "0.1", "method": "report_custom_message", "params": params}) + "\n"


def error_message(text: str = "no such antibody") -> str:
    """Return the line that tells of an application error."""
    return message("error", type="ValueError", problem={}, message=text, traceback=f"Traceback ... {text}")
