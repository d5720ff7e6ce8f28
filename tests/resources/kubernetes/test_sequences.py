"""Hundreds of drawn sequences: each ends, under its true name, with nothing left and never two workers at once."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field, replace

import pytest
from scripted_api import Fault
from scripted_runs import LAUNCH, Killed, Scene
from scripted_stories import FINAL, MEMORY, RESUMED, Story, done

from resources.kubernetes.causes import Cause
from resources.kubernetes.manifest import CAUSES, RUN

RETRIES, MEMORY_STEPS, GIB = 3, (1.5, 2.0), 6
RETRIED = {Cause.PREEMPTED, Cause.EVICTED, Cause.NODE_LOST, Cause.DELETED, Cause.INTERRUPTED}
SECONDS_PER_ATTEMPT = 600  # more than the limits of all stages together


@dataclass
class Sequence:
    """A drawn sequence, printable. `stop`: when and by what the run is ended; `again`: the run that goes on then."""

    stories: list[Story]
    faults: list[Fault] = field(default_factory=list)
    shuffled: bool = False
    stops: list[tuple[float, type[BaseException]]] = field(default_factory=list)
    pause: float = 0.0
    again: str = "run-1"


def draw_sequence(draw: random.Random, kind: str) -> Sequence:
    """Return a sequence: `kind` says what happens besides what the stories tell."""
    middle = [draw.choice(RESUMED + MEMORY)(draw) for _ in range(draw.choice([0, 0, 1, 1, 2, 3, 5]))]
    stories = [*middle, draw.choice(FINAL)(draw), *(done(draw) for _ in range(6))]
    found = Sequence(stories, shuffled=draw.random() < 0.5)
    if kind == "faults":
        found.faults = [_fault(draw) for _ in range(draw.randint(1, 4))]
        if draw.random() < 0.3:
            found.faults.append(Fault(draw.choice(["403", "500"]), on="/log$"))
    elif kind == "outage":
        start = draw.uniform(3, 30)
        found.faults = [Fault(draw.choice(["closed", "503"]), start, start + draw.choice([90, 400]))]
    elif kind == "cancelled":
        found.stops = [(draw.uniform(0, 60), KeyboardInterrupt)]
    elif kind == "killed":
        found.stops = [(draw.uniform(0, 40), Killed)]
        found.pause, found.again = draw.choice([0, 1, 5, 30]), draw.choice(["run-1", "run-2"])
    return found


def _fault(draw: random.Random) -> Fault:
    kind = draw.choice(["500", "503", "429", "cut", "half", "closed", "unheard"])
    start, on = draw.uniform(0, 60), draw.choice(["", "", "GET", "POST", "DELETE", "/pods$", "/events", "/jobs"])
    return Fault(kind, start, start + draw.uniform(0.5, 12), on, draw.randint(1, 20))


def retried(causes: list[Cause]) -> bool:
    """Tell, from the rules as the documentation has them, whether another attempt follows these."""
    if causes[-1] is Cause.OUT_OF_MEMORY:
        return causes.count(Cause.OUT_OF_MEMORY) <= len(MEMORY_STEPS)
    return causes[-1] in RETRIED and sum(cause in RETRIED for cause in causes) <= RETRIES


class Play:
    """Plays a sequence and collects what was wrong with it."""

    def __init__(self, scene: Scene, sequence: Sequence, draw: random.Random) -> None:
        self.scene, self.sequence, self.wrong = scene, sequence, []
        self.unseen: dict[int, set[Cause]] = {}  # index of a Job -> what nobody could see of its end
        self.chain_starts = {0}
        scene.api.faults = [replace(fault) for fault in sequence.faults]
        scene.api.disorder = draw if sequence.shuffled else None
        scene.pods.stories = self._admitted(sequence.stories)

    def _admitted(self, stories):
        """Yield the stories of Jobs that are admitted; the one after may not be."""
        if stories[0].refused:
            self._refuse(stories[0])
        for story, after in itertools.pairwise(stories):
            if story.refused:
                return
            if after.refused:
                self._refuse(after)
            yield story

    def _refuse(self, story: Story) -> None:
        faults, asked = self.scene.api.faults, self.scene.api.asked

        def add() -> None:
            faults.insert(0, Fault(story.refused, on="POST", times=1, message="not allowed"))

        add() if not asked else self.scene.api.at(0.01, add)

    def play(self) -> list[str]:
        scene, launch = self.scene, LAUNCH
        stops = [*self.sequence.stops, None]
        heard = scene.run(launch, stop=stops[0])
        if heard.stopped is Killed:
            scene.api.sleep(self.sequence.pause)
            launch = replace(LAUNCH, run_id=self.sequence.again)
            self._note_restart(launch.run_id)
            heard = scene.run(launch)
        self._check_chain(heard)
        self._check_left(heard)
        self.wrong += scene.pods.doubles
        if scene.api.now > SECONDS_PER_ATTEMPT * (len(scene.api.created) + 1):
            self.wrong.append(f"took {scene.api.now} s")
        return self.wrong

    def _note_restart(self, run_id: str) -> None:
        api = self.scene.api
        failed = [
            any(condition["type"] == "Failed" for condition in job.get("status", {}).get("conditions", ()))
            and job["metadata"]["labels"][RUN] != run_id
            for job in api.jobs.values()
        ]
        if all(failed):  # none, or none that this run has to do with
            self.chain_starts.add(len(api.created))
        else:
            self.unseen[len(api.created) - 1] = {Cause.DELETED, Cause.INTERRUPTED}

    def _check_chain(self, heard) -> None:
        """Each Job carries the true causes of those before it, and its memory; the end is the last one's."""
        chain: list[Cause] = []
        stories = self.sequence.stories
        for index, job in enumerate(self.scene.api.created):
            if index in self.chain_starts:
                chain = []
            else:
                told = job["metadata"]["annotations"][CAUSES].split(",")
                self._check_cause(index - 1, Cause(told[-1]))
                chain = [*chain, Cause(told[-1])]
                if told != chain or not retried(chain):
                    self.wrong.append(f"Job {index} carries {told} after {chain}")
            factor = (1.0, *MEMORY_STEPS)[chain.count(Cause.OUT_OF_MEMORY)]
            if self.scene.memory()[index] != f"{int(GIB * factor * 1024)}Mi":
                self.wrong.append(f"Job {index} has {self.scene.memory()[index]} after {chain}")
        if heard.stopped or heard.ended is Cause.UNREACHABLE:
            return
        last = len(self.scene.api.created) - 1
        if stories[last + 1].refused and heard.ended in stories[last + 1].causes:
            return
        self._check_cause(last, heard.ended)
        if retried([*chain, heard.ended]):
            self.wrong.append(f"gave up after {[*chain, heard.ended]}")

    def _check_cause(self, index: int, found: Cause) -> None:
        story = self.sequence.stories[index]
        unseen = self.unseen.get(index, set())
        if self.sequence.faults or self.sequence.stops:
            unseen = unseen | story.unwatched | ({Cause.DELETED} if story.fleeting else set())
        if found not in story.causes | unseen:
            self.wrong.append(f"attempt {index} ({story.name}) ended {found}, truly {set(map(str, story.causes))}")

    def _check_left(self, heard) -> None:
        left = self.scene.left()
        stopped = heard.stopped or heard.ended is Cause.UNREACHABLE
        if stopped and any(step[1] == "lost" for story in self.scene.pods.told for step in story):
            left = [one for one in left if one not in self.scene.api.pods]  # its node says nothing until it is back
        said = any("could not be deleted" in line for line in heard.lines)
        if left and not (said and self.sequence.faults):
            self.wrong.append(f"left behind: {left}")
        if left and said:  # the next run collects it
            self.scene.api.faults = []
            after = self.scene.run(replace(LAUNCH, run_id="run-3"))
            if left := self.scene.left():
                self.wrong.append(f"left behind by the next run ({after.ended}): {left}")


KINDS = ("plain", "plain", "faults", "faults", "outage", "cancelled", "killed", "killed")


@pytest.mark.parametrize("seed", range(240))
def test_a_drawn_sequence_ends_under_its_true_name_and_leaves_nothing(scene, seed):
    draw = random.Random(seed)
    sequence = draw_sequence(draw, KINDS[seed % len(KINDS)])
    stage = scene(retries=RETRIES, memory_steps=MEMORY_STEPS)
    wrong = Play(stage, sequence, draw).play()
    script = "\n".join(f"  {story}" for story in sequence.stories[: len(stage.api.created) + 1])
    assert not wrong, f"seed {seed}: {wrong}\n{script}\n{sequence.faults} {sequence.stops} {sequence.again}"


@pytest.mark.parametrize("seed", range(30))
def test_two_runs_of_one_drawn_work_end_without_two_workers_and_leave_nothing(scene, seed):
    draw = random.Random(seed)
    stories = [draw.choice([*RESUMED, *MEMORY, done])(draw) for _ in range(3)]
    stage = scene(*stories, *(done(draw) for _ in range(20)), retries=10)
    starts = {LAUNCH: 0.0, replace(LAUNCH, run_id="run-2"): draw.uniform(0, 60)}
    heard = stage.run_side_by_side(starts)
    told = f"seed {seed}: {[(one.ended, one.detail) for one in heard]}\n{stories}\n{starts}"
    assert {one.ended for one in heard} <= {Cause.SUCCEEDED, Cause.OUT_OF_MEMORY}, told
    assert stage.pods.doubles == [], told
    assert stage.left() == [], told
