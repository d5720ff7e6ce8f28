"""States of texts at one layer of one model, kept in memory-mapped segments that every later run can read."""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ab_assets.artifacts.durable import make_folder, sync
from ab_assets.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from ab_assets.models.tokenization import Text

CACHE_LIMIT = "AB_ASSETS_CACHE_GIB"
"""Environment variable: how many GiB of states are kept on disk; those not read for longest go first. Default 100."""

_DEFAULT_LIMIT_GIB = 100.0
_DATA, _INDEX = ".states", ".json"

# No segment is written for so long; what is older was left behind by a killed process.
_LEFTOVER_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class _Record:
    segment: str
    first: int
    tokens: int
    crc: int


class StateStore:
    """States by text: (token, feature) each, all of one width and type. Without a folder they live in memory only.

    A segment is a file of raw rows and an index with a checksum per text. It is written whole before its index appears
    and mapped when it is read, so that the operating system keeps in memory what there is room for. States whose
    checksum does not hold are forgotten, to be made again.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._here: dict[Text, Tensor] = {}
        self._records: dict[str, _Record] = {}
        self._segments: dict[str, Tensor] = {}
        self._known: set[str] = set()
        self._verified: set[str] = set()
        _limit()  # a bad one is said before any work
        self.refresh()

    def get(self, text: Text) -> Tensor | None:
        """Return the states of `text`, or None when there are none that can be trusted."""
        if self._folder is None:
            return self._here.get(text)
        name = _name(text)
        record = self._records.get(name)
        if record is None:
            return None
        rows = self._rows(record)
        if name not in self._verified:
            if _crc(rows) != record.crc:
                del self._records[name]
                return None
            self._verified.add(name)
        return rows

    def put(self, states: Mapping[Text, Tensor]) -> None:
        """Keep these states: (token, feature) each, on the CPU, contiguous, of one type."""
        if self._folder is None:
            self._here.update(states)
            return
        if not states:
            return
        make_folder(self._folder)
        draft = self._folder / f".{uuid.uuid4().hex}"
        index: dict[str, list[int]] = {}
        first = 0
        with draft.open("wb") as stream:
            for text, rows in states.items():
                stream.write(_bytes(rows))
                index[_name(text)] = [first, len(rows), _crc(rows)]
                first += len(rows)
            stream.flush()
            os.fsync(stream.fileno())
        one = next(iter(states.values()))
        said = json.dumps({"dtype": str(one.dtype).removeprefix("torch."), "width": one.shape[1], "texts": index})
        segment = hashlib.sha256(said.encode()).hexdigest()[:32]
        # mapped before it has a name: what this process reads stays, whoever makes room
        mapped = _mapped(draft, one.dtype, first * one.shape[1])
        draft.replace(self._folder / f"{segment}{_DATA}")
        draft.write_text(said, encoding="utf-8")
        sync(draft)
        draft.replace(self._folder / f"{segment}{_INDEX}")
        sync(self._folder)
        self._segments[segment] = mapped.view(first, one.shape[1])
        self._known.add(segment)
        for name, (start, tokens, crc) in index.items():
            self._records[name] = _Record(segment, start, tokens, crc)
        _trim(self._folder.parent, _limit())

    def refresh(self) -> None:
        """Read the indexes that appeared since the last look."""
        if self._folder is None or not self._folder.is_dir():
            return
        for file in sorted(self._folder.glob(f"[!.]*{_INDEX}")):
            if file.stem not in self._known:
                with suppress(FileNotFoundError):  # another process made room
                    self._open(file)

    def _open(self, file: Path) -> None:
        """Map the segment of an index, unless the two do not belong together."""
        said = file.read_bytes()
        rows = file.with_suffix(_DATA)
        if hashlib.sha256(said).hexdigest()[:32] != file.stem:
            return
        index = json.loads(said)
        dtype, count = getattr(torch, index["dtype"]), sum(tokens for _, tokens, _ in index["texts"].values())
        if rows.stat().st_size != count * index["width"] * dtype.itemsize:
            return
        os.utime(rows)  # read last now
        mapped = _mapped(rows, dtype, count * index["width"])
        self._segments[file.stem] = mapped.view(count, index["width"])
        self._known.add(file.stem)
        for name, (first, tokens, crc) in index["texts"].items():
            if name not in self._records:
                self._records[name] = _Record(file.stem, first, tokens, crc)

    def _rows(self, record: _Record) -> Tensor:
        return self._segments[record.segment][record.first : record.first + record.tokens]


def _name(text: Text) -> str:
    return hashlib.sha256("/".join(text).encode()).hexdigest()[:32]


def _bytes(rows: Tensor) -> memoryview:
    return rows.contiguous().view(torch.uint8).numpy().data


def _crc(rows: Tensor) -> int:
    return zlib.crc32(_bytes(rows))


def _mapped(file: Path, dtype: torch.dtype, count: int) -> Tensor:
    try:
        return torch.from_file(str(file), shared=False, size=count, dtype=dtype)
    except RuntimeError as error:
        if file.exists():
            raise
        raise FileNotFoundError(str(file)) from error


def _limit() -> float:
    """Return how many bytes of states may stay on disk."""
    said = os.environ.get(CACHE_LIMIT, "")
    try:
        return float(said or _DEFAULT_LIMIT_GIB) * (1 << 30)
    except ValueError as error:
        raise BadInputError(
            what=f"{CACHE_LIMIT} is no number of GiB", found=said, hint="Say 100, for example."
        ) from error


def _trim(root: Path, limit: float) -> None:
    """Remove the segments read least recently until all of `root` stays within the limit.

    Who mapped one reads on. Segments that killed processes began a day ago and earlier go, too.
    """
    segments = []
    for file in root.glob("*/*"):
        with suppress(FileNotFoundError):  # another process is making room, too
            stat = file.stat()
            if file.name.startswith("."):
                if time.time() - stat.st_mtime > _LEFTOVER_SECONDS:
                    file.unlink()
            elif file.suffix == _DATA:
                segments.append((stat.st_mtime_ns, stat.st_size, file))
    total = sum(size for _, size, _ in segments)
    for _, size, file in sorted(segments):
        if total > limit:
            file.with_suffix(_INDEX).unlink(missing_ok=True)
            file.unlink(missing_ok=True)
            total -= size
