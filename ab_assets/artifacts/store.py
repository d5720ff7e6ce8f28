"""Artifacts on disk: published whole or not at all, never changed afterwards, read only when they verify.

objects/<asset>/<fingerprint>-<digest>/   the files and manifest.json, immutable
current/<asset>/<benchmark>[/<model>].json  which object a partition shows
staging/                                   what is being written
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from ab_assets.artifacts.fingerprint import Question, digest_of, file_digest
from ab_assets.artifacts.provenance import peak_memory_bytes, provenance
from ab_assets.errors import CorruptArtifactError, MissingArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MANIFEST = "manifest.json"
_MANIFEST_FORMAT = 1


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Which partition of which asset. Benchmark and model names follow the key grammar."""

    asset: str
    benchmark: str
    model: str | None = None

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

    def document(self, name: str) -> Any:  # noqa: ANN401 - any JSON value
        """Return a JSON file's value."""
        return json.loads(self.path(f"{name}.json").read_text(encoding="utf-8"))

    def subfolder(self, name: str) -> Path:
        """Return a folder inside the artifact with every file in it verified."""
        for file in self.manifest["files"]:
            if file.startswith(f"{name}/"):
                self.path(file)
        return self.folder / name

    def is_whole(self) -> bool:
        """Tell whether every file is there in its published size (digests are checked when a file is read)."""
        for name, entry in self.manifest["files"].items():
            path = self.folder / name
            if not path.is_file() or path.stat().st_size != entry["bytes"]:
                return False
        return True


class Draft:
    """What is being written; it becomes an artifact when its `with` block ends without an error."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metadata: dict[str, Any] = {}

    def table(self, name: str, frame: pl.DataFrame) -> None:
        """Write a table as Parquet."""
        frame.write_parquet(self.path(f"{name}.parquet"), compression="zstd")

    def document(self, name: str, value: object) -> None:
        """Write a JSON value, keys sorted."""
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        self.path(f"{name}.json").write_text(text + "\n", encoding="utf-8")

    def path(self, name: str) -> Path:
        """Return where to write a file of this name."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class ArtifactStore:
    """All artifacts below one folder. Safe for several processes on one file system."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, asset: str, fingerprint: str) -> Artifact | None:
        """Return the newest whole object that answers this fingerprint, or None."""
        found = [self._open(folder) for folder in (self.root / "objects" / asset).glob(f"{fingerprint[:32]}-*")]
        whole = [item for item in found if item and item.fingerprint == fingerprint and item.is_whole()]
        return max(whole, key=lambda item: str(item.manifest["made"]["at"]), default=None)

    def current(self, ref: Ref) -> Artifact | None:
        """Return what this partition shows, or None when nothing was published (or it was removed)."""
        pointer = self._pointer(ref)
        if not pointer.is_file():
            return None
        folder = self.root / json.loads(pointer.read_text(encoding="utf-8"))["object"]
        return self._open(folder)

    def require(self, ref: Ref) -> Artifact:
        """Return what this partition shows. Raises MissingArtifactError when nothing was published."""
        artifact = self.current(ref)
        if artifact is None:
            raise MissingArtifactError(
                what="this has not been made yet",
                where=str(ref),
                hint=f"Run: ab-assets materialize {ref.benchmark}",
            )
        return artifact

    def point(self, ref: Ref, artifact: Artifact) -> None:
        """Let the partition show `artifact` from now on."""
        pointer = self._pointer(ref)
        pointer.parent.mkdir(parents=True, exist_ok=True)
        value = {"object": artifact.folder.relative_to(self.root).as_posix(), "digest": artifact.digest}
        _write_atomically(pointer, json.dumps(value, sort_keys=True) + "\n")

    @contextmanager
    def draft(self) -> Iterator[Draft]:
        """Yield a folder on the store's file system that is gone when the block ends, published or not."""
        staging = self.root / "staging"
        staging.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=staging))
        try:
            yield Draft(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, draft: Draft, ref: Ref, question: Question, *, seconds: float) -> Artifact:
        """Make the draft an object and return it: files synced, manifest last, one rename."""
        names = sorted(p.relative_to(draft.folder).as_posix() for p in draft.folder.rglob("*") if p.is_file())
        files = {
            name: {"sha256": file_digest(draft.folder / name), "bytes": (draft.folder / name).stat().st_size}
            for name in names
        }
        digest = digest_of({name: entry["sha256"] for name, entry in files.items()})
        manifest = {
            "format": _MANIFEST_FORMAT,
            "asset": ref.asset,
            "benchmark": ref.benchmark,
            "partition_model": ref.model,
            "fingerprint": question.fingerprint,
            "question": question.as_dict(),
            "digest": digest,
            "files": files,
            "metadata": draft.metadata,
            "made": provenance()
            | {
                "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "seconds": round(seconds, 3),
                "peak_memory_bytes": peak_memory_bytes(),
            },
        }
        draft.document("manifest", manifest)
        for name in [*names, MANIFEST]:
            _sync(draft.folder / name)
        return self._rename(draft.folder, ref.asset, manifest)

    def _rename(self, folder: Path, asset: str, manifest: Mapping[str, Any]) -> Artifact:
        home = self.root / "objects" / asset
        home.mkdir(parents=True, exist_ok=True)
        target = home / f"{manifest['fingerprint'][:32]}-{manifest['digest'][:8]}"
        existing = self._open(target)
        if existing is not None and existing.digest == manifest["digest"] and existing.is_whole():
            return existing
        if target.exists():
            damaged = self.root / "damaged"
            damaged.mkdir(exist_ok=True)
            target.rename(Path(tempfile.mkdtemp(dir=damaged)) / target.name)
        folder.chmod(0o755)
        folder.rename(target)
        _sync(home)
        return Artifact(target, manifest)

    def partitions(self) -> list[Ref]:
        """Return every partition that shows something, sorted."""
        found = []
        base = self.root / "current"
        for pointer in base.rglob("[!.]*.json"):
            asset, *rest = pointer.relative_to(base).as_posix().removesuffix(".json").split("/")
            found.append(Ref(asset, rest[0], rest[1] if len(rest) > 1 else None))
        return sorted(found, key=str)

    def objects(self) -> list[Artifact]:
        """Return every published object, sorted by folder."""
        folders = sorted((self.root / "objects").glob("*/*"))
        return [artifact for folder in folders if (artifact := self._open(folder)) is not None]

    def _open(self, folder: Path) -> Artifact | None:
        try:
            return Artifact(folder, json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except json.JSONDecodeError as error:
            raise CorruptArtifactError(
                what="the manifest cannot be read", where=str(folder / MANIFEST), hint="Remove the folder."
            ) from error

    def _pointer(self, ref: Ref) -> Path:
        base = self.root / "current" / ref.asset
        return base / f"{ref.benchmark}.json" if ref.model is None else base / ref.benchmark / f"{ref.model}.json"


def _write_atomically(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    Path(name).chmod(0o644)
    Path(name).replace(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
