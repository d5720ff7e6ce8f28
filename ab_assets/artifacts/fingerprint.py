"""The same question always gets the same name: a digest over everything that decides a result."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def canonical_json(value: object) -> str:
    """Return the one JSON text of `value`: keys sorted, no spaces, tuples as lists, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: object) -> str:
    """Return the sha256 (64 hex digits) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


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
        plain: dict[str, Any] = json.loads(canonical_json(asdict(self)))
        return plain


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return, in words, what changed from one question's dictionary to another's; empty when nothing did."""
    words = {"inputs": "input", "parameters": "parameter", "model": "model", "code": "code of"}
    found: list[str] = []
    for part, word in words.items():
        before, after = _flat(old.get(part, {})), _flat(new.get(part, {}))
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) == after.get(key):
                continue
            detail = (
                f": {_short(before.get(key))} -> {_short(after.get(key))}" if part in ("parameters", "model") else ""
            )
            verb = "is new" if key not in before else "is gone" if key not in after else "changed"
            found.append(f"{word} {key} {verb}{detail}")
    return found


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    if not isinstance(value, dict) or not value:
        return {prefix: value} if prefix else {}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}.{key}" if prefix else key)
    return flat


def _short(value: object) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
