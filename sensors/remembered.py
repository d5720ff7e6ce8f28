"""Digests of files that have not been written to since they were last read: a look every few seconds reads nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ab_assets.artifacts.fingerprint import file_digest

if TYPE_CHECKING:
    import os
    from pathlib import Path

# A file system may give two writes of one moment the same time; what was written just now is read again.
_UNSURE_NS = 3 * 10**9


class RememberedDigests:
    """Digests by path, each good as long as the file's inode, size and both times are those it was read with.

    The time of the last change of a file cannot be set back by a copy, so that content that is exchanged without a
    trace is not taken for the old. It lives as long as its process.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, ...], str]] = {}

    def digest(self, path: Path) -> str:
        """Return the sha256 of the file."""
        stat = path.stat()
        identity = _identity(stat)
        known = self._known.get(str(path))
        if known is not None and known[0] == identity:
            return known[1]
        found = file_digest(path)
        if _identity(path.stat()) == identity and time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > _UNSURE_NS:
            self._known[str(path)] = identity, found
        return found


def _identity(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
