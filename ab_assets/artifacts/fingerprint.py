"""The same question always gets the same name: a digest over everything that decides a result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias

Stamp: TypeAlias = tuple[int, ...] | None
Part = Literal["inputs", "parameters", "model", "code", "asset"]
_WORDS: Mapping[Part, str] = {"inputs": "input", "parameters": "parameter", "model": "model", "code": "code of"}
_SHOWN = ("parameters", "model")  # the others hold digests, which say nothing to a reader


def canonical_json(value: object) -> str:
    """Return the one JSON text of `value`: keys sorted, no spaces, tuples as lists, any mapping as object, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_as_dict
    )


def digest_of(value: object) -> str:
    """Return the sha256 (64 hex digits) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def stamp_of(path: Path) -> Stamp:
    """Return what is another when a file was written or replaced, its times last; None where there is none.

    The last one, the time of the last change of the file itself, cannot be set back by a copy.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        stat = path.stat()
        return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
    return None


def file_digest(path: Path) -> str:
    """Return the sha256 (64 hex digits) of a file's bytes, read in blocks."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Question:
    """Everything that decides a result: change one part and it is another question.

    `inputs` maps an upstream asset (or source file) to its content digest, `model` is the model's identity (empty
    where none takes part), `code` maps each module of the code closure to the digest of its normalised syntax tree.
    GPUs, memory, thread counts and hosts are no part of it.
    """

    asset: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """The sha256 over all parts."""
        return digest_of(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """Return the parts as plain JSON values."""
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        plain: dict[str, Any] = json.loads(canonical_json(parts))
        return plain


@dataclass(frozen=True, slots=True)
class Change:
    """One component in which two questions differ. `before` and `after` are JSON, cut to 60 characters."""

    part: Part
    name: str
    how: Literal["changed", "is new", "is gone"]
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        if self.part == "asset":
            return "the question is put in another way"
        shown = f": {self.before} -> {self.after}" if self.part in _SHOWN else ""
        return f"{_WORDS[self.part]} {self.name} {self.how}{shown}"


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return, in words, what changed from one question's dictionary to another's; empty when nothing did."""
    return [str(change) for change in changes(old, new)]


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Return every component in which two questions' dictionaries differ; empty when nothing does."""
    found: list[Change] = []
    for part in _WORDS:
        before, after = _flat(old.get(part, {})), _flat(new.get(part, {}))
        for path in sorted(before.keys() | after.keys()):
            was, now = _short(before, path), _short(after, path)
            if path in before and path in after and canonical_json(before[path]) == canonical_json(after[path]):
                continue
            how: Literal["changed", "is new", "is gone"] = "changed"
            if path not in before or path not in after:
                how = "is gone" if path in before else "is new"
            found.append(Change(part, ".".join(path), how, was, now))
    if not found and canonical_json(old) != canonical_json(new):
        found.append(Change("asset", "", "changed"))
    return found


def _flat(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:  # noqa: ANN401 - any JSON value
    if not isinstance(value, Mapping) or not value:
        return {path: value} if path else {}
    flat: dict[tuple[str, ...], Any] = {}
    for key, item in value.items():
        flat |= _flat(item, (*path, key))
    return flat


def _short(values: Mapping[tuple[str, ...], Any], path: tuple[str, ...]) -> str:
    text = canonical_json(values[path]) if path in values else "nothing"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _as_dict(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    msg = f"{type(value).__name__} has no JSON text"
    raise TypeError(msg)
