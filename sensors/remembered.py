"""Digests of files that have not been written to since they were last read: a look every few seconds reads nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ab_assets.artifacts.fingerprint import file_digest, stamp_of

if TYPE_CHECKING:
    from pathlib import Path

    from ab_assets.artifacts.fingerprint import Stamp

# A file system may give two writes of one moment the same time; what was written just now is read again.
_UNSURE_NS = 3 * 10**9


class RememberedDigests:
    """Digests by path, each good as long as the file's stamp is the one it was read with, and as its process lives."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Stamp, str]] = {}

    def digest(self, path: Path) -> str:
        """Return the sha256 of the file."""
        stamp, known = stamp_of(path), self._known.get(str(path))
        if known is not None and known[0] == stamp:
            return known[1]
        found = file_digest(path)
        if stamp is not None and stamp_of(path) == stamp and time.time_ns() - max(stamp[-2:]) > _UNSURE_NS:
            self._known[str(path)] = stamp, found
        return found
