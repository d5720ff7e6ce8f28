"""The state of an unfinished fit on disk: after a kill at any moment the newest complete snapshot is found whole.

<folder>/00000007-step-420/    tensors.safetensors, state.json, and manifest.json with their digests and its own
<folder>/.unfinished-*         what an interrupted save or removal left; gone at the next save
<folder>/.lock                 held while one process saves
<folder>/ranks-2-stage-3/rank-0/...   the same for each rank of a fit that two share
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from ab_assets.artifacts.durable import in_turn, make_folder, sync, sync_tree
from ab_assets.artifacts.fingerprint import canonical_json, digest_of, file_digest
from ab_assets.errors import CorruptArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

JSON: TypeAlias = "Mapping[str, JSON] | Sequence[JSON] | str | int | float | bool | None"

_TENSORS = "tensors.safetensors"
_STATE = "state.json"
_MANIFEST = "manifest.json"
_FILES = (_MANIFEST, _STATE, _TENSORS)
_FORMAT = 1
_NAME = re.compile(r"([0-9]{8,})-step-([0-9]+)")
_UNFINISHED = ".unfinished-"

# The types that safetensors writes and reads; any other goes as bytes.
_CARRIED = (
    *(torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int16, torch.int32),
    *(torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64),
    *(torch.float8_e4m3fn, torch.float8_e5m2),
)

# What reading a file that is not as we wrote it can raise: not there, no text, no JSON, nested too deep, another shape.
_NOT_OURS = (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was saved after `step` steps, verified; the tensors are on the CPU and nobody else's."""

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]


class Snapshots:
    """The snapshots of one fit in a folder, the newest `keep` of them.

    `key` says which fit: the digest of everything that decides it. Snapshots of another key in the same folder are
    neither returned nor removed. The newest is the one saved last, whatever its step.
    """

    def __init__(self, folder: Path, *, key: str, keep: int = 2) -> None:
        if keep < 1:
            msg = f"at least one snapshot must be kept, not {keep}"
            raise ValueError(msg)
        self.folder = folder
        self.passed_over: tuple[str, ...] = ()
        self.key = key
        self._keep = keep
        self._whole: set[str] = set()

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, JSON]) -> None:
        """Store the fit as it is after `step` steps, then remove what is older than the newest `keep`.

        Equal content gives equal files. Raises OSError when it cannot be written, TypeError or ValueError when it
        would not come back equal (a NaN, a tuple or a key that is no string in `state`); in each case the snapshots
        before it are as they were.
        """
        if step < 0:
            msg = f"a step is counted from 0, not {step}"
            raise ValueError(msg)
        text = _state_text(state)
        stored, as_bytes = _storable(tensors)
        make_folder(self.folder)
        with in_turn(self.folder / ".lock"):
            self._sweep()
            with self._draft() as draft:
                _write_tensors(draft / _TENSORS, stored)
                (draft / _STATE).write_bytes(text)
                sync_tree(draft)
                digests = {_TENSORS: file_digest(draft / _TENSORS), _STATE: hashlib.sha256(text).hexdigest()}
                manifest = {"format": _FORMAT, "key": self.key, "step": step, "files": digests, "as_bytes": as_bytes}
                (draft / _MANIFEST).write_bytes(_sealed(manifest))
                sync(draft / _MANIFEST)
                sync(draft)
                draft.chmod(0o755)
                number = max((_number(folder) for folder in self._saved()), default=0) + 1
                target = draft.rename(self.folder / f"{number:08d}-step-{step}")
            sync(self.folder)
            self._whole.add(target.name)
            self._remove_old()

    def of_rank(self, rank: int, *, world: int, stage: int) -> Snapshots:
        """Return the snapshots of one rank's share of this fit, beside those of a single process."""
        folder = self.folder / f"ranks-{world}-stage-{stage}" / f"rank-{rank}"
        return Snapshots(folder, key=self.key, keep=self._keep)

    def newest(self, *, step: int | None = None) -> Snapshot | None:
        """Return the newest complete snapshot of this fit, or None; say in `passed_over` which newer ones are not.

        `step`: look at those of this step only.
        """
        passed_over: list[str] = []
        found: Snapshot | None = None
        for folder in self._saved():
            if step is not None and not folder.name.endswith(f"-step-{step}"):
                continue
            try:
                found = self._read(folder)
            except CorruptArtifactError as error:
                self._whole.discard(folder.name)
                passed_over.append(str(error.problem))
                continue
            self._whole.add(folder.name)
            break
        self.passed_over = tuple(passed_over)
        return found

    def clear(self) -> None:
        """Remove every snapshot of this fit, those of ranks too, the damaged ones, and what interrupted saves left."""
        if not self.folder.is_dir():
            return
        for folder in self.folder.glob("ranks-*/rank-*"):
            Snapshots(folder, key=self.key).clear()
        with in_turn(self.folder / ".lock"):
            for folder in self._saved():
                if not self._is_foreign(folder):
                    self._remove(folder)
            self._sweep()

    def _saved(self) -> list[Path]:
        """Return the folders of all snapshots, damaged or not, the one saved last first."""
        if not self.folder.is_dir():
            return []
        return sorted((path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)), key=_number, reverse=True)

    def _read(self, folder: Path) -> Snapshot:
        """Return the snapshot in this folder. Raises CorruptArtifactError when one byte or name of it is not as saved.

        What is decoded are the very bytes whose digests were compared.
        """
        manifest = _read_manifest(folder)
        if manifest["key"] != self.key:
            raise CorruptArtifactError(
                what="this is a snapshot of another fit", where=str(folder), found=manifest["key"], expected=self.key
            )
        content = {name: _read_file(folder / name, digest) for name, digest in manifest["files"].items()}
        tensors = _read_tensors(folder / _TENSORS, content[_TENSORS], manifest["as_bytes"])
        return Snapshot(manifest["step"], tensors, json.loads(content[_STATE]))

    def _is_whole(self, folder: Path) -> bool:
        if folder.name not in self._whole:
            try:
                self._read(folder)
            except CorruptArtifactError:
                return False
            self._whole.add(folder.name)
        return True

    def _is_foreign(self, folder: Path) -> bool:
        try:
            return bool(_read_manifest(folder)["key"] != self.key)
        except CorruptArtifactError:
            return False

    def _remove_old(self) -> None:
        """Keep the newest `keep` that are complete; one that is damaged counts for nothing and goes."""
        kept = 0
        for folder in self._saved():
            if self._is_foreign(folder):
                continue
            if kept < self._keep and self._is_whole(folder):
                kept += 1
            else:
                self._remove(folder)

    def _remove(self, folder: Path) -> None:
        """Take a snapshot away by its name first, so that a kill leaves none that is half there."""
        self._whole.discard(folder.name)
        grave = folder.rename(self.folder / f"{_UNFINISHED}{folder.name}")
        shutil.rmtree(grave, ignore_errors=True)

    def _sweep(self) -> None:
        for left in self.folder.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def _draft(self) -> Iterator[Path]:
        """Yield a folder that no reader looks into, gone when the block ends unless it was renamed."""
        folder = Path(tempfile.mkdtemp(dir=self.folder, prefix=_UNFINISHED))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _number(folder: Path) -> int:
    return int(folder.name.split("-")[0])


def _sealed(manifest: Mapping[str, Any]) -> bytes:
    """Return the manifest's file: canonical JSON that holds the digest of the rest of it."""
    return f"{canonical_json({**manifest, 'sha256': digest_of(manifest)})}\n".encode()


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest. Raises CorruptArtifactError when it, or the list of files beside it, is not as written."""
    try:
        text = (folder / _MANIFEST).read_bytes()
        manifest: dict[str, Any] = json.loads(text)
        del manifest["sha256"]
        names = sorted(path.name for path in folder.iterdir())
        sound = _sealed(manifest) == text
    except _NOT_OURS as error:
        raise _damaged(folder / _MANIFEST, found=f"{type(error).__name__}: {error}") from error
    if not sound:
        raise _damaged(folder / _MANIFEST, found="bytes that are not those of its own digest")
    if manifest["format"] != _FORMAT:
        raise _damaged(folder / _MANIFEST, found=f"format {manifest['format']}", expected=f"format {_FORMAT}")
    if names != sorted(_FILES):
        raise _damaged(folder, found=", ".join(names), expected=", ".join(sorted(_FILES)))
    if not folder.name.endswith(f"-step-{manifest['step']}"):
        raise _damaged(folder, found=f"step {manifest['step']} in its manifest")
    return manifest


def _read_file(file: Path, digest: str) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _damaged(file, found=str(error)) from error
    if (found := hashlib.sha256(content).hexdigest()) != digest:
        raise _damaged(file, found=f"sha256 {found[:16]}", expected=f"sha256 {digest[:16]}")
    return content


def _damaged(where: Path, *, found: str, expected: str = "") -> CorruptArtifactError:
    return CorruptArtifactError(what="the snapshot is not complete", where=str(where), found=found, expected=expected)


def _state_text(state: Mapping[str, JSON]) -> bytes:
    text = canonical_json(state)
    if json.loads(text) != dict(state):
        msg = "the state would not come back equal from JSON: it holds a tuple or a key that is no string"
        raise TypeError(msg)
    return text.encode()


def _storable(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors as safetensors takes them, with type and shape of those that go as bytes.

    It takes no two that lie in one storage: the second is copied.
    """
    stored: dict[str, Tensor] = {}
    as_bytes: dict[str, Any] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        if name == "__metadata__":
            msg = f"no tensor can be called {name} in a safetensors file"
            raise ValueError(msg)
        plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
        if plain.untyped_storage().data_ptr() in seen:
            plain = plain.clone()
        seen.add(plain.untyped_storage().data_ptr())
        if plain.dtype not in _CARRIED:
            as_bytes[name] = {"dtype": str(plain.dtype).removeprefix("torch."), "shape": list(plain.shape)}
            plain = plain.reshape(-1).view(torch.uint8)
        stored[name] = plain
    return stored, as_bytes


def _write_tensors(file: Path, tensors: dict[str, Tensor]) -> None:
    try:
        save_file(tensors, file)
    except SafetensorError as error:  # its word for what the system refused
        raise OSError(str(error)) from error


def _read_tensors(file: Path, content: bytes, as_bytes: Mapping[str, Any]) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load(content)
    except (SafetensorError, KeyError) as error:  # written by a version that knows more types
        raise _damaged(file, found=str(error)) from error
    for name, was in as_bytes.items():
        tensors[name] = tensors[name].view(getattr(torch, was["dtype"])).reshape(was["shape"])
    return tensors
