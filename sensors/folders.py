"""The benchmark folders as they lie on the disk, in the home and further directories: how each looks, what is in it."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ab_assets.artifacts.durable import make_folder, write_atomically
from ab_assets.artifacts.fingerprint import digest_of, file_digest
from ab_assets.benchmarks.reading import FILE_NAME, read_benchmark
from ab_assets.departures import record_of
from ab_assets.errors import AbAssetsError, InvalidBenchmarkError
from ab_assets.keys import require_key
from sensors.arrivals import Finding, Look, as_json, from_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ab_assets.directories import Layout
    from ab_assets.home import Home
    from sensors.arrivals import Seen

MARKER = ".complete"
SIDECAR = ".sha256"  # after the name of the file whose digest it holds, as sha256sum writes it

_DIGEST = re.compile(r"^\\?([0-9a-fA-F]{64})(?:\s|$)")
_SMALL = 4096


@dataclass(frozen=True, slots=True)
class Watched:
    """The folders of one look, each by its key: the benchmark's name; of one that does not count, its whole path.

    `doubles`: {key of one that does not count: the folder that does}.
    """

    folders: Mapping[str, Path]
    doubles: Mapping[str, Path]

    def looks(self) -> dict[str, Look]:
        """Return how each folder looks now."""
        return {key: look_at(folder) for key, folder in self.folders.items()}

    def examine(self, key: str) -> Finding:
        """Return what reading a folder finds; of a double, that it is one."""
        folder = self.folders[key]
        if key not in self.doubles:
            return examine(folder)
        problem = (
            f"the benchmark {folder.name} lies in {self.doubles[key].parent}, too, which counts. Rename one of them."
        )
        return Finding(look_at(folder), (problem,))


def watched(layout: Layout, seen: Mapping[str, Seen]) -> Watched:
    """Return the folders to look at.

    What was seen in a directory that cannot be looked into now keeps its name: no folder elsewhere takes its place.
    """
    folders = {}
    doubles = {str(double): counts for double, counts in layout.doubles.items()}
    for name, folder in layout.folders.items():
        before = seen.get(name)
        place = folder.parent if before is None or before.removed else Path(before.place)
        if place in layout.absent:
            doubles[str(folder)] = place / name
        else:
            folders[name] = folder
    return Watched({**folders, **{key: Path(key) for key in doubles}}, doubles)


def look_at(folder: Path) -> Look:
    """Return how one folder looks: names, sizes, times and inodes of all files in it; or that it cannot be opened."""
    place = str(folder.parent)
    try:
        entries = sorted(_files(folder))
    except OSError as error:
        return Look(type(error).__name__, place=place)
    claims = any(name == MARKER or name.endswith(SIDECAR) for name, *_ in entries)
    return Look(digest_of(entries), claims, place)


def examine(folder: Path) -> Finding:
    """Return what reading the folder finds, without the rows: the declaration, the files it names, digests beside them.

    `prepare` reads the rows.
    """
    try:
        require_key(folder.name, kind="benchmark")
        benchmark = read_benchmark(folder)
        problems, vouched = _found(folder, (*benchmark.source.received, *benchmark.candidates.files))
    except InvalidBenchmarkError as error:
        problems, vouched = [str(problem) for problem in error.problems], False
    except (AbAssetsError, OSError) as error:
        problems, vouched = [str(error)], False
    return Finding(look_at(folder), tuple(problems), vouched)


def read_seen(home: Home) -> dict[str, Seen]:
    """Return what was seen in earlier ticks; nothing when there is no record or it cannot be read."""
    try:
        return from_json(json.loads(record_of(home).read_bytes()))
    except (OSError, ValueError, RecursionError):
        return {}


def write_seen(home: Home, seen: Mapping[str, Seen]) -> None:
    """Keep what was seen for the next tick, and for whoever asks what has been taken."""
    make_folder(home.cache)
    write_atomically(record_of(home), json.dumps(as_json(seen), indent=1) + "\n")


def _found(folder: Path, declared: Sequence[str]) -> tuple[list[str], bool]:
    """Return what is wrong with the files, and whether a marker or digests prove that they are all there."""
    if missing := [name for name in dict.fromkeys(declared) if not (folder / name).is_file()]:
        return [f"{FILE_NAME}: the file {name!r} is not there. Copy it beside {FILE_NAME}." for name in missing], False
    wrong, right = _compared(folder)
    problems = [
        f"{name}: its sha256 is not the one in {name}{SIDECAR}. Copy it again, or remove {name}{SIDECAR}."
        for name in wrong
    ]
    return problems, _marker_is_last(folder) or {FILE_NAME, *declared} <= right


def _files(folder: Path, inside: str = "") -> Iterator[tuple[str, int, int, int, int]]:
    """Yield (name, size, time of change of content, of the file itself, inode); a copy cannot set the second time."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(folder / entry.name, f"{inside}{entry.name}/")
                continue
            with suppress(FileNotFoundError):
                stat = entry.stat()
                yield inside + entry.name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _marker_is_last(folder: Path) -> bool:
    """Tell whether the marker was written after everything else; an older one speaks of an earlier version."""
    changed = {name: changed for name, _, _, changed, _ in _files(folder)}
    marked = changed.pop(MARKER, None)
    return marked is not None and all(one <= marked for one in changed.values())


def _compared(folder: Path) -> tuple[list[str], set[str]]:
    """Return the names of files that differ from the digest beside them, and of those that agree with it."""
    wrong, right = [], set()
    for name in sorted(name.removesuffix(SIDECAR) for name, *_ in _files(folder) if name.endswith(SIDECAR)):
        with (folder / f"{name}{SIDECAR}").open("rb") as stream:
            said = _DIGEST.match(stream.read(_SMALL).decode("utf-8", errors="replace").lstrip())
        found = file_digest(folder / name) if (folder / name).is_file() else ""
        if said and found == said[1].lower():
            right.add(name)
        else:
            wrong.append(name)
    return wrong, right
