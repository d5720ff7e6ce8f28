"""A folder is taken whole, once per version, whatever the schedule of its writes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ab_assets.directories import Layout, laid_out
from sensors.arrivals import Finding, Look, Seen, arrivals, as_json, from_json, is_taken
from sensors.folders import watched

QUIET = 13.5
TICK = 15.0
DATA = ("one.csv", "two.csv")
HOME, SHARE = Path("/home/benchmarks"), Path("/share")


def fine(name: str) -> Finding:
    return Finding(Look("a"))


def tick(looks, seen, now, examine=fine, **options):
    return arrivals(looks, seen, now, examine, **{"quiet": QUIET, "cap": 10} | options)


def taken(**details):
    return {"x": Seen("a", 0, "a", **details)}


def test_a_folder_is_taken_when_it_looks_the_same_in_two_ticks():
    first = tick({"x": Look("a")}, {}, 0)
    assert (first.taken, first.arriving) == ((), ("x",))
    second = tick({"x": Look("a")}, first.seen, 15)
    assert (second.taken, second.arriving) == (("x",), ())
    assert is_taken(Look("a"), second.seen["x"])
    assert not is_taken(Look("b"), second.seen["x"])


def test_a_taken_folder_is_not_examined_again():
    seen = {"x": Seen("a", 0, taken="a")}
    assert tick({"x": Look("a")}, seen, 100, examine=None).taken == ()


def test_a_change_starts_the_wait_again():
    seen = {"x": Seen("a", 0)}
    changed = tick({"x": Look("b")}, seen, 15, examine=None)
    assert changed.arriving == ("x",)
    assert changed.seen["x"].since == 15


def test_proof_needs_no_second_look():
    proven = Finding(Look("a", claims=True), vouched=True)
    assert tick({"x": Look("a", claims=True)}, {}, 0, lambda name: proven).taken == ("x",)


def test_a_claim_without_proof_needs_the_second_look_and_what_is_wrong_then_is_said():
    look = Look("a", claims=True)
    first = tick({"x": look}, {}, 0, lambda name: Finding(look))
    assert first.taken == ()
    assert tick({"x": look}, first.seen, 15, lambda name: Finding(look)).taken == ("x",)
    wrong = Finding(look, ("its digest is another",))
    assert tick({"x": look}, {}, 0, lambda name: wrong).refused == {}
    assert tick({"x": look}, first.seen, 15, lambda name: wrong).refused == {"x": wrong.problems}


def test_what_is_wrong_is_said_once_per_version():
    def wrong(name):
        return Finding(Look("a"), ("no heavy column",))

    first = tick({"x": Look("a")}, {"x": Seen("a", 0)}, 15, wrong)
    assert first.refused == {"x": ("no heavy column",)}
    again = tick({"x": Look("a")}, first.seen, 30, examine=None)
    assert (again.refused, again.taken, again.arriving) == ({}, (), ())
    mended = tick({"x": Look("b")}, tick({"x": Look("b")}, again.seen, 45).seen, 60, lambda name: Finding(Look("b")))
    assert mended.taken == ("x",)


def test_one_that_is_wrong_stands_in_nobodys_way():
    def examine(name):
        return Finding(Look("a"), ("broken",) if name == "bad" else ())

    seen = {"bad": Seen("a", 0), "good": Seen("a", 0)}
    assert tick({name: Look("a") for name in seen}, seen, 15, examine).taken == ("good",)


def test_a_write_while_it_is_read_starts_the_wait_again():
    found = tick({"x": Look("a")}, {"x": Seen("a", 0)}, 15, lambda name: Finding(Look("b")))
    assert (found.taken, found.seen["x"]) == ((), Seen("b", 15))


def test_thousands_are_examined_a_few_per_tick_and_all_get_their_turn():
    names = {f"b{index}": Look("a") for index in range(1000)}
    seen, taken, ticks = {}, [], 0
    while len(taken) < len(names):
        found = tick(names, seen, ticks * TICK, cap=100)
        assert len(found.taken) <= 100
        seen, ticks = found.seen, ticks + 1
        taken += found.taken
    assert (len(set(taken)), ticks) == (1000, 11)


def test_a_clock_that_was_set_back_costs_time_only():
    back = tick({"x": Look("a")}, {"x": Seen("a", 1000)}, 10)
    assert (back.taken, back.seen["x"].since) == ((), 10)
    assert tick({"x": Look("a")}, back.seen, 25).taken == ("x",)


def test_a_folder_that_is_gone_in_two_looks_is_removed_once():
    first = tick({}, taken(), 15, kept={"x"})
    assert (first.removed, first.seen["x"].gone) == ((), 15)
    second = tick({}, first.seen, 30, kept={"x"})
    assert (second.removed, second.seen["x"]) == (("x",), Seen("a", 0, "a", gone=15, removed=True))
    third = tick({}, second.seen, 45, kept={"x"})
    assert (third.removed, third.seen) == ((), second.seen)


def test_a_folder_that_is_replaced_by_renames_is_not_removed():
    missed = tick({}, taken(), 15, kept={"x"})
    back = tick({"x": Look("b")}, missed.seen, 30, kept={"x"})
    assert (back.removed, back.returned, back.arriving) == ((), (), ("x",))
    assert tick({}, back.seen, 45, kept={"x"}).removed == ()


def test_a_folder_that_is_gone_is_forgotten_when_nothing_of_it_is_kept():
    assert tick({}, taken(), 15).seen == {}
    assert tick({}, taken(gone=1, removed=True), 15).seen == {}


def test_one_that_comes_back_is_told_once_and_what_was_taken_of_it_stays_taken():
    removed = taken(gone=15, removed=True)
    back = tick({"x": Look("a")}, removed, 60, examine=None, kept={"x"})
    assert (back.returned, back.taken) == (("x",), ())
    assert is_taken(Look("a"), back.seen["x"])
    assert tick({"x": Look("a")}, back.seen, 75, examine=None, kept={"x"}).returned == ()
    other = tick({"x": Look("b")}, removed, 60, examine=None, kept={"x"})
    assert (other.returned, other.arriving) == (("x",), ("x",))


def test_one_whose_directory_is_away_stays_as_it_was():
    seen = taken(place="/lab")
    for now in (15, 30, 45):
        found = tick({}, seen, now, kept={"x"}, absent={"/lab"})
        assert (found.removed, found.seen) == ((), seen)
    assert tick({"y": Look("a")}, seen, 60, absent={"/lab"}).arriving == ("y",)
    assert tick({}, seen, 60, kept={"x"}, absent={"/other"}).seen["x"].gone == 60


def test_a_look_at_a_directory_that_is_away_does_not_count_as_one_of_the_two():
    gone = tick({}, taken(place="/lab"), 15, kept={"x"})
    away = tick({}, gone.seen, 30, kept={"x"}, absent={"/lab"})
    assert tick({}, away.seen, 45, kept={"x"}).removed == ()


def test_one_that_nobody_saw_is_removed_only_when_it_can_be_nowhere():
    somewhere = tick({}, {}, 15, kept={"x"}, absent={"/lab"})
    assert tick({}, somewhere.seen, 30, kept={"x"}, absent={"/lab"}).removed == ()
    nowhere = tick({}, somewhere.seen, 45, kept={"x"})
    assert tick({}, nowhere.seen, 60, kept={"x"}).removed == ("x",)


def test_one_that_moves_to_another_directory_is_neither_removed_nor_taken_again():
    moved = tick({"x": Look("a", place="/other")}, taken(place="/lab"), 15, examine=None, kept={"x"})
    assert moved.seen == taken(place="/other")


def test_a_clock_that_was_set_back_removes_nothing_early():
    found = tick({}, taken(gone=1000), 10, kept={"x"})
    assert (found.removed, found.seen["x"].gone) == ((), 10)


def test_what_was_seen_survives_as_json():
    seen = {"x": Seen("a", 1.5, "b", "c", "/lab", 2.5, removed=True)}
    assert from_json(as_json(seen)) == seen


@pytest.mark.parametrize(
    "garbled",
    [
        None,
        [],
        "text",
        {"x": 1},
        {"x": {"stamp": "a"}},
        {"x": {"stamp": 1, "since": 0}},
        {"x": as_json({"x": Seen("a", 0)})["x"] | {"removed": 1}},
        {"x": as_json({"x": Seen("a", 0)})["x"] | {"gone": True}},
    ],
)
def test_a_garbled_record_is_no_record(garbled):
    assert from_json(garbled) == {}


class World:
    """Folders in two directories that are written to by a random schedule under a clock of its own.

    The second directory is a share that comes and goes; some names are those of a folder in each.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.folders: dict[Path, dict[str, tuple[str, int]]] = {}  # folder, file: its text, the number of its write
        self.events: list[tuple[float, int, object]] = []
        self.writes = self.versions = 0
        self.away = False
        for index in range(self.rng.randint(1, 4)):
            places = self.rng.choice([[HOME], [SHARE], [HOME, SHARE]])
            for place in places:
                self._script(place / f"b{index}")
        for _ in range(self.rng.choice([0, 0, 1, 2])):
            self._at(self.rng.uniform(0, 600), lambda: setattr(self, "away", not self.away))
        self.events.sort(key=lambda event: event[:2])

    def layout(self) -> Layout:
        names = {place: {folder.name for folder in self.folders if folder.parent == place} for place in (HOME, SHARE)}
        return laid_out(names | ({SHARE: "is away"} if self.away else {}))

    def _at(self, time: float, act) -> None:
        self.events.append((time, len(self.events), act))

    def _script(self, name: Path) -> None:
        time, there = self.rng.uniform(0, 60), False
        for _ in range(self.rng.randint(1, 6)):
            kind = self.rng.choice(["replace", "replace", "delete", "rename", "touch"]) if there else "upload"
            if kind == "upload":
                time, there = (
                    self._upload(name, time, self.rng.choice(["plain", "toml-last", "digests", "renamed"])),
                    True,
                )
            elif kind == "replace":
                time = self._upload(name, time, self.rng.choice(["plain", "digests", "renamed"]))
            elif kind == "delete":
                time, there = self._delete(name, time), False
            elif kind == "rename":
                name, old = self.rng.choice([HOME, SHARE]) / f"{name.name}r{name.parent.name}", name
                self._at(time, lambda old=old, new=name: self.folders.update({new: self.folders.pop(old)}))
            else:
                self._at(time, lambda name=name: self._touch(name))
            time += self.rng.choice([self.rng.uniform(0, 10), self.rng.uniform(10, 200)])

    def _upload(self, name: Path, time: float, style: str) -> float:
        """Schedule one version. Only who says so, or writes under another name, may pause for longer than QUIET."""
        self.versions += 1
        version, parts = self.versions, self.rng.randint(1, 4)
        self._at(time, lambda: self._start(name))
        files = [*DATA, "benchmark.toml"] if style == "toml-last" else ["benchmark.toml", *DATA]
        if style == "digests":
            self._at(time, lambda: [self._write(name, f"{file}.sha256", f"whole {version}") for file in files])
        for file in files:
            for part in range(parts):
                whole = part == parts - 1
                text = f"{'whole' if whole else f'part {part}'} {version}"
                target = f".{file}.part" if style == "renamed" else file
                self._at(time, lambda target=target, text=text: self._write(name, target, text))
                slow = style in {"renamed", "digests"} or (style == "toml-last" and file != "benchmark.toml")
                time += self.rng.choice([self.rng.uniform(0.1, QUIET - 1), 90.0 if slow else 1.0])
        if style == "renamed":
            for file in files:
                self._at(time, lambda file=file: self._write(name, file, self._taken_out(name, f".{file}.part")))
                time += self.rng.uniform(0.1, QUIET - 1)
        if style != "digests":
            self._at(time, lambda: [self.folders[name].pop(f"{file}.sha256", None) for file in files])
        if self.rng.random() < 0.3:
            self._at(time, lambda: self._write(name, ".complete", ""))
        return time

    def _delete(self, name: Path, time: float) -> float:
        if self.rng.random() < 0.5:
            self._at(time, lambda: self._start(name))
            self._at(time, lambda: self.folders[name].pop("one.csv"))
            time += 60
        self._at(time, lambda: self.folders.pop(name))
        return time

    def _start(self, name: Path) -> None:
        folder = self.folders.setdefault(name, {})
        if self.rng.random() < 0.5:  # else an old marker stays: it speaks of the version before
            folder.pop(".complete", None)

    def _write(self, name: Path, file: str, text: str) -> None:
        self.writes += 1
        self.folders[name][file] = (text, self.writes)

    def _taken_out(self, name: Path, file: str) -> str:
        return self.folders[name].pop(file)[0]

    def _touch(self, name: Path) -> None:
        for file, (text, _) in list(self.folders[name].items()):
            self._write(name, file, text)

    def run_until(self, now: float) -> None:
        while self.events and self.events[0][0] <= now:
            self.events.pop(0)[2]()

    def is_whole(self, name: Path) -> bool:
        files = self.folders[name]
        texts = {files.get(file, ("",))[0] for file in (*DATA, "benchmark.toml")}
        return len(texts) == 1 and texts.pop().startswith("whole")

    def look(self, name: Path) -> Look:
        files = self.folders[name]
        claims = any(file == ".complete" or file.endswith(".sha256") for file in files)
        return Look(repr(sorted(files.items())), claims, str(name.parent))

    def examine(self, name: Path) -> Finding:
        files = self.folders[name]
        toml = files.get("benchmark.toml", ("",))[0]
        problems = [] if toml.startswith("whole") else ["it is not read to the end"]
        problems += [f"{file} is not there" for file in DATA if file not in files]
        whole = ("benchmark.toml", *DATA)
        digests = {file: files[f"{file}.sha256"][0] for file in whole if f"{file}.sha256" in files}
        problems += [f"{file} is another" for file, text in digests.items() if files.get(file, ("",))[0] != text]
        marked = ".complete" in files and files[".complete"][1] == max(written for _, written in files.values())
        return Finding(self.look(name), tuple(problems), marked or len(digests) == len(whole))


class Watcher:
    """Looks at a world, and holds every look against what may be said of it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.world = World(seed)
        self.forget()
        self.kept: set[str] = set()  # the benchmarks that have a partition

    def forget(self) -> None:
        self.seen: dict[str, Seen] = {}
        self.said: dict[str, str] = {}  # the version of each folder that was taken or refused last
        self.missed: dict[str, int] = {}  # in how many looks in a row a benchmark was nowhere
        self.retired: set[str] = set()

    def look(self, now: float) -> None:
        layout, at = self.world.layout(), f"at {now}, seed {self.seed}"
        watch, absent = watched(layout, self.seen), [str(place) for place in layout.absent]
        looks = {key: self.world.look(folder) for key, folder in watch.folders.items()}

        def examine(key: str) -> Finding:
            return (
                Finding(looks[key], ("a double",)) if key in watch.doubles else self.world.examine(watch.folders[key])
            )

        away = {name for name, one in self.seen.items() if one.place in absent and not one.removed}
        unknown = {name for name in self.kept if absent and (name not in self.seen or not self.seen[name].place)}
        hidden = away | unknown
        self.missed = {
            name: 0 if name in looks or name in hidden else self.missed.get(name, 0) + 1 for name in self.kept
        }
        found = arrivals(looks, self.seen, now, examine, quiet=QUIET, cap=3, kept=self.kept, absent=absent)
        for name in away:
            assert found.seen[name].place in absent, f"another took the place of {name} {at}"
        for name in found.taken:
            assert self.world.is_whole(watch.folders[name]), f"{name} was taken in parts {at}"
            assert name not in watch.doubles, f"{name} was taken and does not count {at}"
        for name in (*found.taken, *found.refused):
            assert self.said.get(name) != looks[name].stamp, f"{name} was told of twice {at}"
            self.said[name] = looks[name].stamp
        gone = {name for name in self.kept if self.missed[name] == 2} - self.retired
        assert set(found.removed) == gone, f"removed {at}"
        assert set(found.returned) == self.retired & looks.keys(), f"returned {at}"
        self.retired = (self.retired | set(found.removed)) - set(found.returned)
        self.kept |= set(found.taken)
        self.said = {name: stamp for name, stamp in self.said.items() if name in looks or name in hidden}
        self.seen = from_json(as_json(found.seen))


@pytest.mark.parametrize("block", range(10))
def test_no_schedule_makes_a_partial_a_lost_or_a_doubled_version_or_removes_what_is_there(block):
    for seed in range(block * 100, block * 100 + 100):
        watcher, clock, now = Watcher(seed), random.Random(seed), 0.0
        world = watcher.world
        left = 8  # ticks after the last write
        while left:
            world.run_until(now)
            left -= not world.events
            if world.events and clock.random() < 0.02:
                watcher.forget()
            watcher.look(now)
            now += TICK + clock.choice([0.0, 0.0, clock.uniform(0, 3), clock.uniform(0, 200)])
        layout = world.layout()
        for name, folder in layout.folders.items():
            if Path(watcher.seen[name].place) not in layout.absent:
                assert is_taken(world.look(folder), watcher.seen[name]), f"seed {seed}: {name} was lost"
        for folder in layout.doubles:
            assert watcher.seen[str(folder)].refused == world.look(folder).stamp, (
                f"seed {seed}: {folder} was not refused"
            )
        if not layout.absent:
            gone = watcher.kept - layout.folders.keys()
            assert gone == watcher.retired == {name for name, one in watcher.seen.items() if one.removed}, (
                f"seed {seed}"
            )
