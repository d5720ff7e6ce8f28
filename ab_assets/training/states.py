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
            if rows is None or _crc(rows) != record.crc:
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
        draft.replace(self._folder / f"{segment}{_DATA}")
        draft.write_text(said, encoding="utf-8")
        sync(draft)
        draft.replace(self._folder / f"{segment}{_INDEX}")
        sync(self._folder)
        self._known.discard(segment)  # the same states may have been here, damaged
        self.refresh()
        _trim(self._folder.parent, keep=self._folder)

    def refresh(self) -> None:
        """Read the indexes that appeared since the last look."""
        if self._folder is None or not self._folder.is_dir():
            return
        for file in sorted(self._folder.glob(f"[!.]*{_INDEX}")):
            if file.stem in self._known:
                continue
            said = file.read_bytes()
            rows = self._folder / f"{file.stem}{_DATA}"
            if hashlib.sha256(said).hexdigest()[:32] != file.stem or not rows.is_file():
                continue
            index = json.loads(said)
            dtype, count = getattr(torch, index["dtype"]), sum(tokens for _, tokens, _ in index["texts"].values())
            if rows.stat().st_size != count * index["width"] * dtype.itemsize:
                continue
            os.utime(rows)  # read last now
            mapped = torch.from_file(str(rows), shared=False, size=count * index["width"], dtype=dtype)
            self._segments[file.stem] = mapped.view(count, index["width"])
            self._known.add(file.stem)
            for name, (first, tokens, crc) in index["texts"].items():
                self._records.setdefault(name, _Record(file.stem, first, tokens, crc))

    def _rows(self, record: _Record) -> Tensor:
        return self._segments[record.segment][record.first : record.first + record.tokens]


def _name(text: Text) -> str:
    return hashlib.sha256("/".join(text).encode()).hexdigest()[:32]


def _bytes(rows: Tensor) -> memoryview:
    return rows.contiguous().view(torch.uint8).numpy().data


def _crc(rows: Tensor) -> int:
    return zlib.crc32(_bytes(rows))


def _trim(root: Path, *, keep: Path) -> None:
    """Remove the segments read least recently, none of `keep`, until all of `root` stays within the limit.

    Segments that killed processes began a day ago and earlier go, too.
    """
    for left in root.glob("*/.*"):
        with suppress(FileNotFoundError):  # its own process is just done with it
            if time.time() - left.stat().st_mtime > _LEFTOVER_SECONDS:
                left.unlink()
    limit = float(os.environ.get(CACHE_LIMIT, _DEFAULT_LIMIT_GIB)) * (1 << 30)
    segments = sorted(((file.stat(), file) for file in root.glob(f"*/[!.]*{_DATA}")), key=lambda pair: pair[0].st_mtime)
    total = sum(stat.st_size for stat, _ in segments)
    for stat, file in segments:
        if total > limit and file.parent != keep:
            file.with_suffix(_INDEX).unlink(missing_ok=True)
            file.unlink(missing_ok=True)
            total -= stat.st_size
