"""Vectors kept per sequence, so that one new antibody costs one forward pass."""

from __future__ import annotations

import hashlib
import os
import uuid
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


def sequence_digest(sequence: str) -> str:
    """Return the sha256 (32 hex digits) that names a sequence in the item store."""
    return hashlib.sha256(sequence.encode()).hexdigest()[:32]


class ItemStore:
    """Vectors of one namespace (model identity, pooling, precision), in append-only Parquet segments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, sequences: Iterable[str]) -> dict[str, np.ndarray]:
        """Return {sequence: (feature,) float32} of those sequences that are kept."""
        wanted = {sequence_digest(sequence): sequence for sequence in sequences}
        segments = sorted(self.folder.glob("[!.]*.parquet"))
        if not segments or not wanted:
            return {}
        kept = pl.concat([pl.read_parquet(segment, glob=False) for segment in segments])
        kept = kept.filter(pl.col("key").is_in(list(wanted)))
        return {wanted[key]: np.asarray(vector, dtype=np.float32) for key, vector in kept.iter_rows()}

    def put(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Keep these vectors; a segment appears whole or not at all."""
        if not vectors:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        frame = pl.DataFrame(
            {
                "key": [sequence_digest(sequence) for sequence in vectors],
                "vector": [vector.astype(np.float32).tolist() for vector in vectors.values()],
            },
            schema={"key": pl.String, "vector": pl.List(pl.Float32)},
        )
        name = uuid.uuid4().hex
        draft = self.folder / f".{name}.parquet"
        frame.write_parquet(draft, compression="zstd")
        with draft.open("rb") as stream:
            os.fsync(stream.fileno())
        draft.replace(self.folder / f"{name}.parquet")
