"""Run by the interpreter of the bench: divide the rows of a folder by GraphPart's own command, and time it.

usage: graphpart_folds.py FOLDER FOLDS
"""

from __future__ import annotations

import csv
import json
import sys
import time
from pathlib import Path

from graph_part.cli import main as graphpart

# Every listed pair has a closeness of 0.5 or more; GraphPart keeps apart what is strictly above its threshold.
THRESHOLD = "0.45"


def main(folder: Path, folds: int) -> None:
    """Write answer.json: the fold of each row (-1: removed) and the seconds from reading to folds."""
    files = ["-ff", str(folder / "sequences.fasta"), "-ef", str(folder / "edges.csv"), "-of", str(folder / "out.csv")]
    sys.argv = ["graphpart", "precomputed", *files, "-mc", "2", "-th", THRESHOLD, "-pa", str(folds), "-ln", "label"]
    began = time.perf_counter()
    graphpart()
    seconds = time.perf_counter() - began
    rows = sum(line.startswith(">") for line in (folder / "sequences.fasta").read_text().splitlines())
    fold = [-1] * rows
    with (folder / "out.csv").open(newline="", encoding="utf-8") as lines:
        for line in csv.DictReader(lines):
            fold[int(line["AC"])] = int(float(line["cluster"]))
    answer = {"seconds": seconds, "setting": "", "folds": fold}
    (folder / "answer.json").write_text(json.dumps(answer), encoding="ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
