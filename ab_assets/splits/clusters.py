"""Clusters of similar antibodies by MMseqs2: the units that intervals resample and controls permute across.

Clustering is `mmseqs easy-cluster`, whose cascade compares sequences both ways. `linclust` is faster, but on antibodies
it leaves 45 % of representatives with another one at 90 % identity or more, against 2.5 %.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ab_assets.errors import CorruptArtifactError
from ab_assets.splits.mmseqs import run_mmseqs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

# What intervals resample.
IDENTITY = 0.9
# The identity holds over at least 80 % of both sequences; greedy set cover.
OPTIONS = ("-c", "0.8", "--cov-mode", "0", "--cluster-mode", "0")


def mmseqs_clusters(rows: pl.DataFrame, identity: float = IDENTITY) -> dict[str, str]:
    """Return {row_id: cluster} for CURATED `rows`, by VH or, where there is none, by VL, at this sequence identity.

    A cluster is named by the smallest row_id that has its representative sequence. Row order changes nothing; rows
    with neither chain are clusters of their own. Raises UnavailableError when MMseqs2 is missing or fails.
    """
    holders: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for row_id, vh, vl in rows.select("row_id", "vh", "vl").sort("row_id").iter_rows():
        if sequence := vh or vl:
            holders.setdefault(sequence, []).append(row_id)
        else:
            names[row_id] = row_id
    sequences = sorted(holders)
    for sequence, representative in zip(sequences, representatives(sequences, identity), strict=True):
        names |= dict.fromkeys(holders[sequence], holders[representative][0])
    return names


def representatives(sequences: Sequence[str], identity: float = IDENTITY) -> list[str]:
    """Return, for each of distinct `sequences`, the representative of its cluster.

    Sequences that MMseqs2 leaves out (too short for its k-mers) represent themselves. Raises UnavailableError.
    """
    found = list(sequences)
    if len(sequences) < 2:
        return found
    with TemporaryDirectory(prefix="ab-assets-mmseqs-") as name:
        folder = Path(name)
        fasta = "".join(f">{index}\n{sequence}\n" for index, sequence in enumerate(sequences))
        (folder / "sequences.fasta").write_text(fasta, encoding="ascii")
        command = ["easy-cluster", "sequences.fasta", "result", "work", "--min-seq-id", str(identity), *OPTIONS]
        run_mmseqs(command, folder=folder)
        for line in (folder / "result_cluster.tsv").read_text(encoding="ascii").splitlines():
            representative, separator, member = line.partition("\t")
            if not separator:
                raise CorruptArtifactError(what="MMseqs2 wrote a line that is no pair", found=repr(line))
            found[int(member)] = sequences[int(representative)]
    return found
