"""Vectors kept per sequence, so that one new antibody costs one forward pass."""

from __future__ import annotations

import hashlib
import os
import uuid
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ab_assets.artifacts.durable import make_folder, sync
from ab_assets.artifacts.fingerprint import file_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


def sequence_digest(sequence: str) -> str:
    """Return the sha256 (32 hex digits) that names a sequence in the item store."""
    return hashlib.sha256(sequence.encode()).hexdigest()[:32]


class ItemStore:
    """Vectors of one namespace (model identity, pooling, precision), in Parquet segments named by their sha256."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, sequences: Iterable[str]) -> dict[str, np.ndarray]:
        """Return {sequence: (feature,) float32} of those sequences that are kept."""
        wanted = {sequence_digest(sequence): sequence for sequence in sequences}
        segments = self._whole_segments() if wanted else []
        if not segments:
            return {}
        os.utime(self.folder)  # read last now
        kept = pl.scan_parquet(segments, glob=False).filter(pl.col("key").is_in(list(wanted))).collect()
        vectors = kept["vector"].to_numpy(writable=True)
        return {wanted[key]: vector for key, vector in zip(kept["key"], vectors, strict=True)}

    def put(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Keep these vectors; a segment appears whole or not at all."""
        if not vectors:
            return
        make_folder(self.folder)
        stacked = np.stack(list(vectors.values())).astype(np.float32)
        frame = pl.DataFrame(
            {"key": [sequence_digest(sequence) for sequence in vectors], "vector": stacked},
            schema={"key": pl.String, "vector": pl.Array(pl.Float32, stacked.shape[1])},
        )
        draft = self.folder / f".{uuid.uuid4().hex}.parquet"
        frame.write_parquet(draft, compression="zstd")
        sync(draft)
        draft.replace(self.folder / f"{file_digest(draft)}.parquet")
        sync(self.folder)

    def _whole_segments(self) -> list[Path]:
        """Return the segments whose bytes are those that were written; the others are removed, to be made again."""
        whole = []
        for segment in sorted(self.folder.glob("[!.]*.parquet")):
            if file_digest(segment) == segment.stem:
                whole.append(segment)
            else:
                segment.unlink(missing_ok=True)
        return whole
