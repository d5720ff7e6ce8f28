"""Benchmarks whose folders are gone while something of them is kept: what became of each, in words."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from ab_assets.home import Home

FIRST = "raw_dataset"
"""All results of a benchmark begin with this one."""


def record_of(home: Home) -> Path:
    """Return where the daemon keeps what it saw of each folder."""
    return home.cache / "arrivals.json"


def retired(gone: float) -> str:
    """Return that a benchmark is retired; `gone`: when its folder was first missed, in seconds since the epoch."""
    return f"retired: its folder was removed on {datetime.fromtimestamp(gone).astimezone():%Y-%m-%d}; results are kept"


def departed(home: Home) -> dict[str, str]:
    """Return {benchmark without a folder: what became of it}, of those of which there are results or a record."""
    layout, record = home.layout(), _recorded(home)
    known = {name for name, one in record.items() if one.get("gone")} | home.store.benchmarks(FIRST)
    found = {}
    for name in sorted(known - layout.folders.keys()):
        one = record.get(name, {})
        place, gone = one.get("place", ""), one.get("gone")
        absent = [f"{where} {why}" for where, why in layout.absent.items() if place in ("", str(where))]
        if one.get("removed") is True and isinstance(gone, int | float):
            found[name] = retired(gone)
        else:
            found[name] = "; ".join(absent) or "its folder is gone; results are kept"
    return found


def _recorded(home: Home) -> dict[str, dict[str, Any]]:
    try:
        value = json.loads(record_of(home).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return {name: one for name, one in value.items() if isinstance(one, dict)} if isinstance(value, dict) else {}
