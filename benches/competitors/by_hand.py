"""Run by the interpreter of the bench: one stage with pandas, MMseqs2, scikit-learn and rapidfuzz called by hand.

usage: by_hand.py STAGE FOLDER MMSEQS
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rapidfuzz import process
from rapidfuzz.distance import Hamming, Levenshtein
from sklearn.model_selection import StratifiedGroupKFold

if TYPE_CHECKING:
    from collections.abc import Callable

WORKERS = 2
FOLDS = 5
BLOCK = 500


def curate(folder: Path, _: str) -> None:
    """Write by-hand.csv: clean sequences, each pair once, none with both labels."""
    table = pd.read_csv(folder / "antibodies.csv", dtype=str)
    for column in ("heavy", "light", "cdrh3"):
        table[column] = table[column].str.strip().str.upper()
    fine = table["heavy"].str.fullmatch("[ACDEFGHIKLMNPQRSTVWYX]{50,200}")
    fine &= table["light"].str.fullmatch("[ACDEFGHIKLMNPQRSTVWYX]{50,200}")
    table = table[fine & table["binds"].isin(["yes", "no"])]
    table = table[table.groupby(["heavy", "light"])["binds"].transform("nunique") == 1]
    table.drop_duplicates(["heavy", "light"]).to_csv(folder / "by-hand.csv", index=False)


def cluster(folder: Path, mmseqs: str) -> None:
    """Write by-hand_cluster.tsv: heavy chains that share nine residues in ten with a representative."""
    table = pd.read_csv(folder / "by-hand.csv")
    fasta = "".join(f">{name}\n{heavy}\n" for name, heavy in zip(table["id"], table["heavy"], strict=True))
    (folder / "by-hand.fasta").write_text(fasta, encoding="ascii")
    options = ["--min-seq-id", "0.9", "-c", "0.8", "--cov-mode", "0", "--threads", str(WORKERS), "-v", "1"]
    command = [mmseqs, "easy-cluster", "by-hand.fasta", "by-hand", "by-hand-work", *options]
    subprocess.run(command, cwd=folder, check=True)


def split(folder: Path, _: str) -> None:
    """Write by-hand-roles.csv: no cluster in two of test, validation and training, classes as even as may be."""
    table = pd.read_csv(folder / "by-hand.csv")
    pairs = pd.read_csv(folder / "by-hand_cluster.tsv", sep="\t", names=["cluster", "id"])
    table = table.merge(pairs, on="id")
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(table, table["binds"], table["cluster"])
    table["role"] = "train"
    for role, (_, rows) in zip(("test", "validation"), folds, strict=False):
        table.loc[rows, "role"] = role
    table[["id", "role"]].to_csv(folder / "by-hand-roles.csv", index=False)


def certify(folder: Path, _: str) -> None:
    """Write by-hand-nearest.csv: for each held-out row the highest identity to any training row, of VH and CDR-H3."""
    table = pd.read_csv(folder / "by-hand.csv").merge(pd.read_csv(folder / "by-hand-roles.csv"), on="id")
    train, held = table[table["role"] == "train"], table[table["role"] != "train"]
    held = held.assign(vh=_nearest(held["heavy"], train["heavy"], Levenshtein.normalized_similarity), loop=0.0)
    for length, rows in held.groupby(held["cdrh3"].str.len()):
        loops = train["cdrh3"][train["cdrh3"].str.len() == length]
        if len(loops):
            held.loc[rows.index, "loop"] = _nearest(rows["cdrh3"], loops, Hamming.normalized_similarity)
    held[["id", "vh", "loop"]].to_csv(folder / "by-hand-nearest.csv", index=False)


def _nearest(queries: pd.Series, targets: pd.Series, scorer: Callable[..., float]) -> np.ndarray:
    best = np.zeros(len(queries), np.float32)
    for first in range(0, len(queries), BLOCK):
        block = queries.iloc[first : first + BLOCK].tolist()
        found = process.cdist(block, targets.tolist(), scorer=scorer, dtype=np.float32, workers=WORKERS)
        best[first : first + BLOCK] = found.max(axis=1)
    return best


STAGES = {"curate": curate, "cluster": cluster, "split": split, "certify": certify}

if __name__ == "__main__":
    STAGES[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])
