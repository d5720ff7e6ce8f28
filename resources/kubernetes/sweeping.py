"""Jobs whose run is gone are removed, with their pods and files: nothing that a killed process started stays."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

from resources.kubernetes.manifest import RUN, SELECTOR, WORK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from resources.kubernetes.cluster import Cluster

_FORGOTTEN_SECONDS = 24 * 3600


def sweep_jobs(cluster: Cluster, root: Path, is_gone: Callable[[str], bool]) -> list[str]:
    """Remove the Jobs of whose run `is_gone(run id)` says so, and return their names. `root`: the home.

    Folders of attempts that have no Job and were not written to for a day go, too. Raises OutageError, RefusalError.
    """
    jobs = cluster.jobs(SELECTOR)
    # another home may share the namespace: its works are not in our folder
    ours = [job for job in jobs if (root / "work" / job["metadata"]["labels"].get(WORK, "-")).is_dir()]
    strays = [job for job in ours if is_gone(job["metadata"]["labels"].get(RUN, ""))]
    for job in strays:
        cluster.delete_job(job["metadata"]["name"])
        shutil.rmtree(root / "work" / job["metadata"]["labels"][WORK], ignore_errors=True)
    alive = {job["metadata"]["labels"].get(WORK) for job in jobs}
    for folder in (root / "work").glob("*/"):
        if folder.name not in alive and time.time() - folder.stat().st_mtime > _FORGOTTEN_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
    return [job["metadata"]["name"] for job in strays]
