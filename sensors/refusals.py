"""Benchmark folders that cannot be taken, and of which version of each someone has been told."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ab_assets.artifacts.fingerprint import digest_of, file_digest
from ab_assets.benchmarks.reading import FILE_NAME
from sensors.folders import look_at, read_seen, watched

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ab_assets.home import Home
    from sensors.folders import Watched

_EXAMINED = 50


@dataclass(frozen=True, slots=True)
class Refusal:
    """A version of a folder that cannot be taken: where and how it looks, what it is about, and what is wrong."""

    folder: Path
    stamp: str
    about: str
    problems: tuple[str, ...]


def refusals(home: Home, told: Mapping[str, tuple[str, str]]) -> tuple[dict[str, tuple[str, str]], dict[str, Refusal]]:
    """Return what to remember of what was told, and the versions of which nobody was told yet.

    `told`: {folder: (how it looked, what it was about)}. A folder that was only touched or saved again is no new
    version; one that was taken, or removed, since is forgotten.
    """
    kept: dict[str, tuple[str, str]] = {}
    new: dict[str, Refusal] = {}
    seen = read_seen(home)
    watch = watched(home.layout(), seen)
    for name, one in seen.items():
        before = told.get(name)
        if one.gone or one.removed:
            continue
        if one.stamp != one.refused:
            if before and one.stamp != one.taken:  # it is arriving
                kept[name] = before
            continue
        if before and before[0] == one.stamp:
            kept[name] = before
            continue
        if len(new) < _EXAMINED and (found := _refusal(watch, name, one.stamp)):
            if before and before[1] == found.about:
                before = found.stamp, found.about
            else:
                new[name] = found
        if before:
            kept[name] = before
    return kept, new


def _refusal(watch: Watched, name: str, stamp: str) -> Refusal | None:
    """Return what is wrong with the folder, None when it no longer is as it was refused."""
    folder = watch.folders.get(name)
    if folder is None or look_at(folder).stamp != stamp:
        return None
    finding = watch.examine(name)
    if finding.look.stamp != stamp or not finding.problems:
        return None
    about = digest_of([list(finding.problems), _content(folder)])
    return Refusal(folder, stamp, about, finding.problems)


def _content(folder: Path) -> list[list[str | int]]:
    """Return names and sizes of the files, and the digest of benchmark.toml: enough to tell versions apart."""
    found: list[list[str | int]] = []
    with suppress(OSError):
        for place, _, files in os.walk(folder):
            found += [[f"{place}/{file}", os.stat(f"{place}/{file}").st_size] for file in files]  # noqa: PTH116
        found.append([FILE_NAME, file_digest(folder / FILE_NAME)])
    return sorted(found, key=str)
