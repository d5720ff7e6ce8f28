"""Run by the product's interpreter: divide the rows of a folder as the product does, and time it.

usage: our_folds.py FOLDER FOLDS [cold]. "cold" leaves compiling and loading inside the time.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from ab_assets.splits.folds import assign_folds

# A ring of so many rows is one component too large for a fold, so that every kernel is called.
RING = 60


def main(folder: Path, folds: int, *, cold: bool) -> None:
    """Write answer.json: the fold of each row (-1: removed) and the seconds from reading to folds."""
    if not cold:
        ring = np.arange(RING)
        assign_folds(ring, np.roll(ring, 1), strata=ring % 2, units=ring, folds=folds)
    began = time.perf_counter()
    headers = [line for line in (folder / "sequences.fasta").read_text().splitlines() if line.startswith(">")]
    label = np.array([int(line.rpartition("=")[2]) for line in headers])
    edges = np.loadtxt(folder / "edges.csv", delimiter=",", usecols=(0, 1), dtype=np.int64, ndmin=2)
    fold = assign_folds(edges[:, 0], edges[:, 1], strata=label, units=np.arange(len(label)), folds=folds)
    answer = {"seconds": time.perf_counter() - began, "setting": "", "folds": fold.tolist()}
    (folder / "answer.json").write_text(json.dumps(answer), encoding="ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), cold="cold" in sys.argv[3:])
