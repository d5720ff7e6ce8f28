"""Run by the interpreter of the bench: divide the rows of a folder by DataSAIL, and time it.

usage: datasail_folds.py FOLDER FOLDS
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from datasail.sail import datasail

MOST_SECONDS = 60


class Setting(NamedTuple):
    """How far folds and classes may fall short, into how many clusters, and what becomes of one that is too large."""

    slack: float
    clusters: int
    overflow: str


# Its defaults first; then as much slack as our folds have, more clusters, and clusters that are too large broken up.
SETTINGS = (
    Setting(0.05, 50, "assign"),
    Setting(0.3, 50, "assign"),
    Setting(0.3, 100, "assign"),
    Setting(0.3, 100, "break"),
)
# With "assign" a cluster that is too large is a fold of its own, whatever is left for the others.
LEAST_SHARE = 0.5


def main(folder: Path, folds: int) -> None:
    """Write answer.json: the fold of each row and the seconds of one setting.

    That is the first whose smallest fold has half of the mean, or else the one whose smallest fold is largest.
    """
    best, most = None, -1
    for setting in SETTINGS:
        began = time.perf_counter()
        fold = _divided(folder, folds, setting)
        if fold is None:
            continue
        smallest = int(np.bincount(fold, minlength=folds).min())
        if smallest > most:
            said = f"slack {setting.slack}, {setting.clusters} clusters, {setting.overflow}"
            best, most = {"seconds": time.perf_counter() - began, "setting": said, "folds": fold}, smallest
        if smallest >= LEAST_SHARE * len(fold) / folds:
            break
    if best is None:
        sys.exit("no setting has an answer")
    (folder / "answer.json").write_text(json.dumps(best), encoding="ascii")


def _divided(folder: Path, folds: int, setting: Setting) -> list[int] | None:
    lines = (folder / "sequences.fasta").read_text().splitlines()
    headers = [line[1:].split("|label=") for line in lines[::2]]
    names, sequences = [name for name, _ in headers], lines[1::2]
    edges = np.loadtxt(folder / "edges.csv", delimiter=",", ndmin=2)
    similarity = np.eye(len(names))
    left, right = edges[:, 0].astype(np.int64), edges[:, 1].astype(np.int64)
    similarity[left, right] = similarity[right, left] = edges[:, 2]
    try:
        found, _, _ = datasail(
            techniques=["C1e"],
            splits=[1 / folds] * folds,
            names=[str(number) for number in range(folds)],
            max_sec=MOST_SECONDS,
            delta=setting.slack,
            epsilon=setting.slack,
            overflow=setting.overflow,
            verbose="E",
            e_type="O",
            e_data=dict(zip(names, sequences, strict=True)),
            e_strat={name: int(label) for name, label in headers},
            e_sim=(names, similarity),
            e_clusters=setting.clusters,
        )
        return [int(found["C1e"][0][name]) for name in names]
    except (KeyError, TypeError, IndexError):  # what an infeasible programme ends in
        return None


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
