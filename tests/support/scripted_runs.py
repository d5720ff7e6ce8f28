"""A work run in scripted pods: what the run heard, how it ended, and what it left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scripted_api import NAMESPACE, ScriptedApi
from scripted_pods import ScriptedPods, Step

from ab_assets.models.catalogue import load_catalogue
from resources.kubernetes.causes import Cause, Said
from resources.kubernetes.cluster import Cluster, OutageError, RefusalError
from resources.kubernetes.installation import Installation
from resources.kubernetes.manifest import CAUSES, Launch
from resources.kubernetes.messages import HomeMessages, Payload
from resources.kubernetes.pods import Clock, Failed, Pods

LAUNCH = Launch("ab-tiny-antiberty-0123456789ab", "tiny", "antiberty", "run-1")
SETTINGS = {
    "namespace": NAMESPACE,
    "image": "lab/ab-assets:1",
    "retries": 3,
    "waiting": {
        "schedule_minutes": 1, "start_minutes": 1, "trouble_minutes": 0.5, "deadline_hours": 0.05,
        "grace_seconds": 10, "outage_minutes": 1,
    },
}  # fmt: skip
STEPS_AT_MOST = 2000

STARTS: list[Step] = [(1, "pod"), (2, "scheduled"), (3, "runs")]
SUCCEEDS: list[Step] = [*STARTS, (6, "says", "done"), (6.5, "exits", 0)]


class Killed(BaseException):
    """SIGKILL of the process that follows: nothing of it runs any more."""


class MortalPods(Pods):
    """Pods whose process may be killed: then nothing is cleaned."""

    killed = False

    def _clean(self, launch: Launch) -> None:
        if not self.killed:
            super()._clean(launch)


@dataclass
class Heard:
    """What a run came to. `ended`: None when it succeeded or was stopped; `stopped`: by what."""

    payloads: list[Payload] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    ended: Cause | None = None
    detail: str = ""
    said: Said | None = None
    stopped: type[BaseException] | None = None

    @property
    def kinds(self) -> list[str]:
        """What kinds of things were said."""
        return [payload["kind"] for payload in self.payloads]


@dataclass
class Scene:
    """A script with its cluster and its home."""

    cluster_of: Callable[[ScriptedApi], Cluster]
    home: Path
    stories: Iterable[Iterable[Step]]
    settings: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.api = ScriptedApi()
        self.pods = ScriptedPods(self.api, self.home, self.stories)
        self.installation = Installation.model_validate(SETTINGS | self.settings)
        self.spec = load_catalogue()[LAUNCH.model]
        self.steps = 0

    def run(
        self,
        launch: Launch = LAUNCH,
        *,
        stop: tuple[float, type[BaseException]] | None = None,
        sleeps: Callable[[float], None] | None = None,
    ) -> Heard:
        """Run the work to its end, or until the clock shows `stop`."""
        heard = Heard()

        def sleep(seconds: float) -> None:
            self.steps += 1
            assert self.steps < STEPS_AT_MOST, "it does not end"
            (sleeps or self.api.sleep)(seconds)
            if stop is not None and self.api.now >= stop[0]:
                pods.killed = stop[1] is Killed
                raise stop[1]

        pods = MortalPods(
            self.cluster_of(self.api), self.installation, self.spec,
            root=self.home, log=heard.lines.append, clock=Clock(lambda: self.api.now, sleep),
        )  # fmt: skip
        try:
            for payload in pods.run(launch, {"benchmark": launch.benchmark}, self._listen):
                heard.payloads.append(payload)
            heard.ended = Cause.SUCCEEDED
        except Failed as failed:
            heard.ended, heard.detail, heard.said = failed.ending.cause, failed.ending.detail, failed.said
        except OutageError:
            heard.ended = Cause.UNREACHABLE
        except RefusalError as error:
            heard.ended, heard.detail = Cause.REFUSED, str(error)
        except (Killed, KeyboardInterrupt) as error:
            heard.stopped = type(error)
        return heard

    def run_side_by_side(self, starts: dict[Launch, float]) -> list[Heard]:
        """Run several at once, each from its second on; while one is awake the others sleep."""
        turn, wakes, running = threading.Condition(), dict(enumerate(starts.values())), set(range(len(starts)))

        def until_woken(me: int) -> None:
            turn.notify_all()
            turn.wait_for(lambda: wakes.keys() == running and me == min(wakes, key=lambda one: (wakes[one], one)))
            self.api.sleep(max(0.0, wakes.pop(me) - self.api.now))

        def follow(me: int, launch: Launch) -> Heard:
            def sleep(seconds: float) -> None:
                with turn:
                    wakes[me] = self.api.now + seconds
                    until_woken(me)

            with turn:
                until_woken(me)
            try:
                return self.run(launch, sleeps=sleep)
            finally:
                with turn:
                    running.discard(me)
                    turn.notify_all()

        with ThreadPoolExecutor(len(starts)) as threads:
            return list(threads.map(follow, range(len(starts)), starts))

    @contextmanager
    def _listen(self, launch: Launch) -> Iterator[tuple[HomeMessages, dict[str, str]]]:
        yield HomeMessages(self.home / launch.messages, f"/home/{launch.messages}"), {}

    def left(self) -> list[str]:
        """Return what is left behind a minute later."""
        self.api.sleep(60)
        files = [str(path.relative_to(self.home)) for path in self.home.glob("work/*/*")]
        return [*self.api.jobs, *self.api.pods, *files]

    def causes(self) -> list[str]:
        """Return the causes that each Job carried when it was created."""
        return [job["metadata"]["annotations"][CAUSES] for job in self.api.created]

    def memory(self) -> list[str]:
        """Return the memory that each Job asked for."""
        return [
            job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
            for job in self.api.created
        ]
