"""The split, handed out only after its certificate was verified against the very rows it is used for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ab_assets.splits.certificate import Certificate, require_certificate

if TYPE_CHECKING:
    import polars as pl

    from ab_assets.artifacts.store import Artifact
    from ab_assets.benchmarks.schema import Benchmark


def certified_roles(split: Artifact, rows: pl.DataFrame, benchmark: Benchmark) -> pl.DataFrame:
    """Return ROLES of a published split. `rows`: CURATED, the antibodies that are about to be used.

    Raises LeakageError when the certificate does not belong to these rows, or when comparing them again finds a test
    or validation row above an enforced bound; CorruptArtifactError when a file is not the one that was published.
    """
    roles = split.table("roles")
    require_certificate(rows, roles, Certificate.from_json(split.document("certificate")), benchmark.split)
    return roles
