"""The code as it lies on the disk: what a run that starts now will load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ab_assets.artifacts.code_version import code_of, differing, settled
from ab_assets.errors import AbAssetsError
from ab_assets.graph import NODES

if TYPE_CHECKING:
    from ab_assets.graph import Code

# What turns a benchmark and the catalogue into questions; this process goes on with what it loaded.
_PLANNING = ("ab_assets.plan", "ab_assets.home")
_LOADED = code_of(_PLANNING)


def latest_code() -> Code:
    """Return what answers as `graph.loaded_code`, of the code as it lies on the disk now.

    Raises UnreadableFileError when a file of it cannot be read or is being written, and AbAssetsError when a run would
    ask other questions than this process, because the code that plans has changed since it was loaded.
    """
    look = settled()
    if changed := differing(_LOADED, code_of(_PLANNING, look)):
        raise AbAssetsError(
            what=f"the code that plans has changed: {', '.join(changed)}", hint="Reload the code location."
        )
    return {code: code_of(code, look) for code in {node.code for node in NODES.values()}}.__getitem__
