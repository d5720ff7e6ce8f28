"""What of a store can go: versions that nothing shows, nothing kept was made from, and nobody has used for long.

Removal is safe beside publication: an object is taken away under the lock that showing takes, by one rename, and only
when nobody has found, shown or replaced it since it was looked at. A kill at any moment leaves the object or a grave,
and the next collection empties the graves.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ab_assets.artifacts.store import LEFTOVER_SECONDS, MANIFEST, part_digests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from ab_assets.artifacts.store import Artifact, ArtifactStore

_DAY = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Policy:
    """What stays besides what is shown and what that was made from.

    `days`: what was made, found or shown since. `versions`: of each partition the newest. `in_use_since`: seconds since
    the epoch; what was used since may be used by a run in progress, and stays whatever the other two say.
    """

    days: float = 30.0
    versions: int = 3
    in_use_since: float | None = None

    def limit(self, now: float, *, days: float | None = None) -> float:
        """Return the moment (seconds since the epoch) before which a thing must have been used last to go."""
        in_use = now - _DAY if self.in_use_since is None else min(now - _DAY, self.in_use_since)
        return min(now - (self.days if days is None else days) * _DAY, in_use)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that can go, and why; `used`: the mark of its last use when it was looked at."""

    folder: Path
    why: str
    used: int = 0
    is_object: bool = False


def superseded(store: ArtifactStore, policy: Policy, *, now: float | None = None) -> list[Item]:
    """Return the objects that the policy lets go, by folder."""
    now = time.time() if now is None else now
    objects = {item.folder: item for item in store.objects()}
    used = {folder: mark for folder in objects if (mark := last_used(folder)) is not None}
    kept = _needed(store, objects.values()) | _newest(store, objects, policy.versions)
    limit = policy.limit(now) * 1e9
    kept |= {folder for folder, item in objects.items() if max(used.get(folder, 0), _made(item)) >= limit}
    parts = {digest for folder in kept if folder in objects for digest in part_digests(objects[folder].manifest)}
    return [
        Item(folder, "not shown by any partition, and old", used[folder], is_object=True)
        for folder, item in sorted(objects.items())
        if folder in used and folder not in kept and item.digest not in parts
    ]


def leftovers(store: ArtifactStore, policy: Policy, *, now: float | None = None) -> list[Item]:
    """Return what killed processes and repairs left: graves, old drafts, objects that were found damaged."""
    now = time.time() if now is None else now
    found = [Item(folder, "its removal was interrupted") for folder in _folders(store.root / "removed")]
    for place, days, why in (
        ("staging", LEFTOVER_SECONDS / _DAY, "a draft that was never published"),
        ("damaged", policy.days, "found damaged and made again"),
    ):
        limit = policy.limit(now, days=days)
        found += [Item(folder, why) for folder in _folders(store.root / place) if latest_change(folder) < limit]
    return found


def abandoned(folders: Iterable[Path], policy: Policy, why: str, *, now: float | None = None) -> list[Item]:
    """Return the folders in which nothing has changed for as long as the policy says."""
    limit = policy.limit(time.time() if now is None else now)
    changed = {folder: latest_change(folder) for folder in sorted(folders)}
    return [Item(folder, why, _mark(last)) for folder, last in changed.items() if last < limit]


def freed(items: Iterable[Item]) -> int:
    """Return how many bytes the disk has more without these; files that something kept links to free nothing."""
    links: Counter[tuple[int, int]] = Counter()
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    for item in items:
        for path in (item.folder, *item.folder.rglob("*")):
            with suppress(FileNotFoundError):
                stat = path.lstat()
                if path.is_file() or path.is_symlink():
                    links[stat.st_dev, stat.st_ino] += 1
                    sizes[stat.st_dev, stat.st_ino] = (stat.st_size, stat.st_nlink)
    return sum(size for inode, (size, count) in sizes.items() if links[inode] >= count)


def remove(store: ArtifactStore, items: Iterable[Item], said: Callable[[Item], None] = lambda _: None) -> list[Item]:
    """Remove these and return those that went; what was used since it was looked at stays."""
    gone = []
    for item in items:
        if item.is_object:
            if not store.take_away(item.folder, used=item.used):
                continue
        elif item.used and _mark(latest_change(item.folder)) != item.used:
            continue
        else:
            shutil.rmtree(item.folder, ignore_errors=True)
        said(item)
        gone.append(item)
    for grave in _folders(store.root / "removed"):
        shutil.rmtree(grave, ignore_errors=True)
    return gone


def last_used(folder: Path) -> int | None:
    """Return the mark of an object's last use: it moves when the object is found, shown, or no longer shown."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return (folder / MANIFEST).stat().st_mtime_ns
    return None


def latest_change(folder: Path) -> float:
    """Return when anything in or below the folder was last written, in seconds since the epoch."""
    latest = 0.0
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):
            latest = max(latest, path.lstat().st_mtime)
    return latest or time.time()


def _needed(store: ArtifactStore, objects: Iterable[Artifact]) -> set[Path]:
    """Return what the partitions show, and all that this was made from."""
    by_content: dict[str, list[Artifact]] = defaultdict(list)
    for item in objects:
        by_content[item.digest].append(item)
    pending = list(_shown(store))
    known = {item.folder for item in pending}
    while pending:
        item = pending.pop()
        for digest in item.question["inputs"].values():
            for source in by_content.get(str(digest), ()):
                if source.folder not in known:
                    known.add(source.folder)
                    pending.append(source)
    return known


def _shown(store: ArtifactStore) -> Iterator[Artifact]:
    # A pointer that cannot be read stops the collection: what it meant is not known.
    for ref in store.partitions():
        if (artifact := store.current(ref)) is not None:
            yield artifact


def _newest(store: ArtifactStore, objects: dict[Path, Artifact], versions: int) -> set[Path]:
    """Return the newest versions of each partition; parts that are never shown by themselves have none."""
    shown = {ref.asset for ref in store.partitions()}
    by_partition: dict[tuple[str, str, str], list[Artifact]] = defaultdict(list)
    for item in objects.values():
        manifest = item.manifest
        if manifest["asset"] in shown:
            key = (manifest["asset"], manifest["benchmark"], manifest["partition_model"] or "")
            by_partition[key].append(item)
    return {
        item.folder
        for items in by_partition.values()
        for item in sorted(items, key=_made, reverse=True)[: max(versions, 0)]
    }


def _mark(seconds: float) -> int:
    return int(seconds * 1e9)


def _made(item: Artifact) -> int:
    return int(item.manifest["made"]["at_ns"])


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.glob("*") if path.is_dir())
