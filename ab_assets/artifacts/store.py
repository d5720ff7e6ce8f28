"""Artifacts on disk: published whole or not at all, never changed afterwards, read only when they verify.

objects/<asset>/<fingerprint>-<digest>/     the files and manifest.json, immutable
current/<asset>/<benchmark>[/<model>].json  which object a partition shows
staging/                                    what is being written
damaged/                                    objects that were found changed and made again
removed/                                    old versions on their way out (`collection`)
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from ab_assets.artifacts.durable import in_turn, make_folder, sync, sync_tree, write_atomically
from ab_assets.artifacts.fingerprint import Question, digest_of, file_digest
from ab_assets.artifacts.provenance import peak_memory_bytes, provenance
from ab_assets.errors import BadInputError, CorruptArtifactError, MissingArtifactError, Problem
from ab_assets.keys import is_file_name, is_key, require_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ab_assets.artifacts.costs import Meter

MANIFEST = "manifest.json"
_MANIFEST_FORMAT = 1

# Rows of a Parquet row group.
_ROW_GROUP = 100_000

# What reading a JSON file that is not ours can raise: no text, no JSON, nested too deep, another shape.
_NOT_OURS = (ValueError, RecursionError, KeyError, TypeError, AttributeError)

# What a rename says when there is something of that name already (POSIX allows either of the first two).
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)

# No build writes nothing for so long; what is older was left behind by a killed process.
LEFTOVER_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Which partition of which asset. Raises BadInputError when a name does not follow the key grammar."""

    asset: str
    benchmark: str
    model: str | None = None

    def __post_init__(self) -> None:
        require_key(self.asset, kind="asset")
        require_key(self.benchmark, kind="benchmark")
        if self.model is not None:
            require_key(self.model, kind="model")

    def __str__(self) -> str:
        return f"{self.asset}[{self.benchmark}{f'|{self.model}' if self.model else ''}]"


class Artifact:
    """One published object. A file is checked against the manifest before it is handed out."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self._verified: set[str] = set()

    @property
    def digest(self) -> str:
        """The content digest: sha256 over the names and digests of its files."""
        return str(self.manifest["digest"])

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the question that it answers."""
        return str(self.manifest["fingerprint"])

    @property
    def question(self) -> Mapping[str, Any]:
        """What was asked, as `Question.as_dict`."""
        question: Mapping[str, Any] = self.manifest["question"]
        return question

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The counts and figures that its maker wrote down."""
        metadata: Mapping[str, Any] = self.manifest["metadata"]
        return metadata

    @property
    def store(self) -> ArtifactStore:
        """The store that it lies in."""
        return ArtifactStore(self.folder.parents[2])

    def path(self, name: str) -> Path:
        """Return the path of one file, verified. Raises CorruptArtifactError when its bytes are not those published."""
        path = self.folder / name
        entry = self.manifest["files"].get(name)
        if entry is None:
            raise CorruptArtifactError(what="the artifact has no such file", where=str(path))
        if name not in self._verified:
            found = file_digest(path) if path.is_file() else "no file"
            if found != entry["sha256"]:
                raise CorruptArtifactError(
                    what="the stored file is not the one that was published",
                    where=str(path),
                    found=f"sha256 {found[:16]}",
                    expected=f"sha256 {entry['sha256'][:16]}",
                    hint="Someone or something changed it. Materialize it again with --force.",
                )
            self._verified.add(name)
        return path

    def table(self, name: str) -> pl.DataFrame:
        """Return a Parquet file as a table."""
        return pl.read_parquet(self.path(f"{name}.parquet"), glob=False)

    def scan(self, name: str) -> pl.LazyFrame:
        """Return a Parquet file as a table that is not read yet."""
        return pl.scan_parquet(self.path(f"{name}.parquet"), glob=False)

    def document(self, name: str) -> Any:  # noqa: ANN401 - any JSON value
        """Return a JSON file's value."""
        return json.loads(self.path(f"{name}.json").read_text(encoding="utf-8"))

    def subfolder(self, name: str) -> Path:
        """Return a folder inside the artifact with every file in it verified. Raises CorruptArtifactError."""
        files = [file for file in self.manifest["files"] if file.startswith(f"{name}/")]
        if not files:
            raise CorruptArtifactError(what="the artifact has no such folder", where=str(self.folder / name))
        for file in files:
            self.path(file)
        return self.folder / name

    def verify(self) -> None:
        """Raise CorruptArtifactError when the bytes of any file are not those published."""
        for name in self.manifest["files"]:
            self.path(name)

    def is_whole(self) -> bool:
        """Tell whether every file is there in its published size (digests are checked when a file is read)."""
        return next(self.damaged_files(), None) is None

    def damaged_files(self) -> Iterator[str]:
        """Yield the names of the files that are not there in their published size."""
        for name, entry in self.manifest["files"].items():
            path = self.folder / name
            if not path.is_file() or path.stat().st_size != entry["bytes"]:
                yield name


class Draft:
    """What is being written; it becomes an artifact when its `with` block ends without an error."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metadata: dict[str, Any] = {}

    def table(self, name: str, frame: pl.DataFrame | pl.LazyFrame) -> None:
        """Write a table as Parquet; a lazy one without holding it in memory. Equal parts give equal bytes."""
        frame.lazy().sink_parquet(self.path(f"{name}.parquet"), compression="zstd", row_group_size=_ROW_GROUP)

    def document(self, name: str, value: object) -> None:
        """Write a JSON value, keys sorted."""
        self.path(f"{name}.json").write_text(_json_text(value), encoding="utf-8")

    def path(self, name: str) -> Path:
        """Return where to write a file of this name. Raises BadInputError when that is outside, or the manifest."""
        if not is_file_name(name) or name == MANIFEST:
            raise BadInputError(
                what="an artifact can have no file of this name",
                found=repr(name),
                expected=f"a path inside it, other than {MANIFEST}",
            )
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class ArtifactStore:
    """All artifacts below one folder. Safe for several processes on one file system.

    `meter` measures what is made: its costs are in the manifests.
    """

    def __init__(self, root: Path, meter: Meter | None = None) -> None:
        self.root = root
        self._meter = meter

    def find(self, asset: str, fingerprint: str) -> Artifact | None:
        """Return the newest whole object that answers this fingerprint, used from now on, or None."""
        found = self._readable(self.root / "objects" / asset, f"{fingerprint[:32]}-*")
        whole = [item for item in found if item.fingerprint == fingerprint and item.is_whole()]
        newest_first = sorted(whole, key=lambda item: int(item.manifest["made"]["at_ns"]), reverse=True)
        return next((item for item in newest_first if self._claimed(item.folder)), None)

    def holding(self, asset: str, digest: str) -> list[Artifact]:
        """Return the objects of an asset that have this content, oldest first."""
        found = self._readable(self.root / "objects" / asset, f"*-{digest[:16]}")
        same = [item for item in found if item.digest == digest]
        return sorted(same, key=lambda item: item.manifest["made"]["at_ns"])

    def current(self, ref: Ref) -> Artifact | None:
        """Return what this partition shows, or None when nothing was published (or it was removed).

        Raises CorruptArtifactError when the pointer or the manifest cannot be read, or one is not the other's.
        """
        pointer = self._pointer(ref)
        if not pointer.is_file():
            return None
        try:
            value = json.loads(pointer.read_bytes())
            folder, digest = self.root / value["object"], value["digest"]
        except _NOT_OURS as error:
            raise CorruptArtifactError(
                what="the pointer to an artifact cannot be read", where=str(pointer), hint=f"Remove it. {_again(ref)}"
            ) from error
        artifact = self._open(folder)
        if artifact is not None and artifact.digest != digest:
            raise CorruptArtifactError(
                what="the artifact is not the one that this partition points to",
                where=str(folder),
                found=f"digest {artifact.digest[:16]}",
                expected=f"digest {str(digest)[:16]}",
                hint=f"Remove {pointer}. {_again(ref)}",
            )
        return artifact

    def require(self, ref: Ref) -> Artifact:
        """Return what this partition shows. Raises MissingArtifactError when nothing was published."""
        artifact = self.current(ref)
        if artifact is None:
            raise MissingArtifactError(what="this has not been made yet", where=str(ref), hint=_again(ref))
        return artifact

    def point(self, ref: Ref, artifact: Artifact) -> None:
        """Let the partition show `artifact` from now on. Raises MissingArtifactError when it was removed meanwhile."""
        pointer = self._pointer(ref)
        make_folder(pointer.parent)
        value = {"object": artifact.folder.relative_to(self.root).as_posix(), "digest": artifact.digest}
        with in_turn(self.root / ".showing"):
            if not _mark(artifact.folder):
                raise MissingArtifactError(what="this version was just removed", where=str(ref), hint=_again(ref))
            with suppress(CorruptArtifactError):  # what was shown until now may be in use
                if (before := self.current(ref)) is not None:
                    _mark(before.folder)
            write_atomically(pointer, json.dumps(value, sort_keys=True) + "\n")
            _mark(artifact.folder)  # again: who looked at marks and then at pointers has missed one of the two

    def take_away(self, folder: Path, *, used: int) -> bool:
        """Remove an object by one rename, unless it was used since; tell whether it is gone.

        `used`: the time in nanoseconds at which it had been used last when somebody decided that it can go.
        """
        grave = Path(tempfile.mkdtemp(dir=make_folder(self.root / "removed")))
        with in_turn(self.root / ".showing"):
            try:
                if (folder / MANIFEST).stat().st_mtime_ns == used:
                    folder.rename(grave / folder.name)
            except FileNotFoundError:
                pass
        gone = (grave / folder.name).exists()
        shutil.rmtree(grave, ignore_errors=True)
        return gone

    def _claimed(self, folder: Path) -> bool:
        """Mark an object as used now, so that it is not removed before it is shown; False when it is gone."""
        with in_turn(self.root / ".showing"):
            return _mark(folder)

    @contextmanager
    def draft(self) -> Iterator[Draft]:
        """Yield a folder on the store's file system that is gone when the block ends, published or not."""
        self.sweep()
        folder = Path(tempfile.mkdtemp(dir=make_folder(self.root / "staging")))
        try:
            yield Draft(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what killed processes left in staging a week ago and earlier."""
        for folder in (self.root / "staging").glob("*"):
            with suppress(FileNotFoundError):  # its own process is just done with it
                latest = max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
                if time.time() - latest > LEFTOVER_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)

    def publish(self, draft: Draft, ref: Ref, question: Question, *, seconds: float) -> Artifact:
        """Make the draft an object and return it: files synced, manifest last, one rename."""
        names = sorted(p.relative_to(draft.folder).as_posix() for p in draft.folder.rglob("*") if p.is_file())
        files = {
            name: {"sha256": file_digest(draft.folder / name), "bytes": (draft.folder / name).stat().st_size}
            for name in names
        }
        manifest = {
            "format": _MANIFEST_FORMAT,
            "asset": ref.asset,
            "benchmark": ref.benchmark,
            "partition_model": ref.model,
            "fingerprint": question.fingerprint,
            "question": question.as_dict(),
            "digest": _content_digest(files),
            "files": files,
            "metadata": draft.metadata,
            "before": self._shown_before(ref),
            "made": provenance()
            | {
                "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "at_ns": time.time_ns(),
                "seconds": round(seconds, 3),
                "peak_memory_bytes": peak_memory_bytes(),
            }
            | (self._meter.costs(seconds) if self._meter else {}),
        }
        text = _json_text(manifest)
        sync_tree(draft.folder)
        (draft.folder / MANIFEST).write_text(text, encoding="utf-8")
        sync(draft.folder / MANIFEST)
        sync(draft.folder)
        return self._settle(draft.folder, ref.asset, manifest)

    def _shown_before(self, ref: Ref) -> dict[str, str] | None:
        """Return what names the object that the partition shows so far."""
        with suppress(CorruptArtifactError):
            if (shown := self.current(ref)) is not None:
                return {"fingerprint": shown.fingerprint, "digest": shown.digest}
        return None

    def _settle(self, folder: Path, asset: str, manifest: Mapping[str, Any]) -> Artifact:
        """Return the object that the draft becomes, or the one of another writer who was first with the same bytes."""
        target = make_folder(self.root / "objects" / asset) / _folder_name(manifest)
        folder.chmod(0o755)
        while True:
            try:
                folder.rename(target)
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
            else:
                sync(target.parent)
                return Artifact(target, manifest)
            with in_turn(self.root / ".lock"):
                if (first := self._verified(target)) is not None and self._claimed(target):
                    return first
                if target.exists():
                    target.rename(Path(tempfile.mkdtemp(dir=make_folder(self.root / "damaged"))) / target.name)

    def _verified(self, target: Path) -> Artifact | None:
        """Return the object in this folder when every byte of it is what its name says, else None."""
        with suppress(CorruptArtifactError):
            artifact = self._open(target)
            if artifact is not None and _folder_name(artifact.manifest) == target.name:
                artifact.verify()
                return artifact
        return None

    def partitions(self) -> list[Ref]:
        """Return every partition that shows something, sorted."""
        base = self.root / "current"
        names = [
            pointer.relative_to(base).with_suffix("").parts
            for pointer in (*base.glob("*/*.json"), *base.glob("*/*/*.json"))
            if pointer.is_file()
        ]
        return sorted((Ref(*parts) for parts in names if all(map(is_key, parts))), key=str)

    def benchmarks(self, asset: str) -> set[str]:
        """Return the benchmarks of which this asset, made per benchmark, shows something."""
        pointers = (self.root / "current" / asset).glob("*.json")
        return {pointer.stem for pointer in pointers if is_key(pointer.stem)}

    def objects(self, asset: str = "*") -> list[Artifact]:
        """Return every published object (of one asset) whose manifest can be read, sorted by folder."""
        return self._readable(self.root / "objects", f"{asset}/*")

    def unreadable(self) -> list[Problem]:
        """Return what is wrong with each object whose manifest cannot be read, sorted by folder."""
        found = (self._try(folder) for folder in sorted((self.root / "objects").glob("*/*")))
        return [item for item in found if isinstance(item, Problem)]

    def _readable(self, base: Path, pattern: str) -> list[Artifact]:
        found = (self._try(folder) for folder in sorted(base.glob(pattern)))
        return [item for item in found if isinstance(item, Artifact)]

    def _try(self, folder: Path) -> Artifact | Problem | None:
        try:
            return self._open(folder)
        except CorruptArtifactError as error:
            return error.problem

    def _open(self, folder: Path) -> Artifact | None:
        path = folder / MANIFEST
        try:
            manifest = json.loads(path.read_bytes())
            sound = _agrees_with_itself(manifest)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except _NOT_OURS:
            sound = False
        if not sound:
            raise CorruptArtifactError(
                what="the manifest is not one that was published",
                where=str(path),
                expected=f"format {_MANIFEST_FORMAT}, fingerprint and digest of what it lists",
                hint=f"Remove {folder} and materialize again.",
            )
        return Artifact(folder, manifest)

    def _pointer(self, ref: Ref) -> Path:
        base = self.root / "current" / ref.asset
        return base / f"{ref.benchmark}.json" if ref.model is None else base / ref.benchmark / f"{ref.model}.json"


def _agrees_with_itself(manifest: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Tell whether a manifest's digests are those of what it says. Raises one of _NOT_OURS on another shape."""
    return (
        manifest["format"] == _MANIFEST_FORMAT
        and manifest["fingerprint"] == digest_of(manifest["question"])
        and manifest["digest"] == _content_digest(manifest["files"])
        and all(isinstance(entry["bytes"], int) for entry in manifest["files"].values())
        and isinstance(manifest["made"]["at_ns"], int)
        and isinstance(manifest["metadata"], dict)
    )


def _content_digest(files: Mapping[str, Mapping[str, Any]]) -> str:
    return digest_of({name: entry["sha256"] for name, entry in files.items()})


def _folder_name(manifest: Mapping[str, Any]) -> str:
    return f"{manifest['fingerprint'][:32]}-{manifest['digest'][:16]}"


def _mark(folder: Path) -> bool:
    """Set the time of an object's last use to now, later than it was; False when it is gone."""
    try:
        before = (folder / MANIFEST).stat()
        os.utime(folder / MANIFEST, ns=(before.st_atime_ns, max(time.time_ns(), before.st_mtime_ns + 1)))
    except FileNotFoundError:
        return False
    return True


def part_digests(manifest: Mapping[str, Any]) -> set[str]:
    """Return the content digest of each folder in an artifact: that of the artifact whose files it has taken over."""
    parts: dict[str, dict[str, Any]] = {}
    for name, entry in manifest["files"].items():
        folder, _, rest = name.partition("/")
        if rest:
            parts.setdefault(folder, {})[rest] = entry
    return {_content_digest(files) for files in parts.values()}


def _json_text(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _again(ref: Ref) -> str:
    return f"Run: ab-assets materialize {ref.benchmark}"
