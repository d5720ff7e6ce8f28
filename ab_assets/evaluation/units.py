"""What is resampled: clusters of similar antibodies, joined where they share an entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ab_assets.errors import CorruptArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterable

UNITS = pl.Schema({"row_id": pl.String, "unit": pl.String})


def resampling_units(rows: pl.DataFrame, nodes: pl.DataFrame) -> pl.DataFrame:
    """Return UNITS of CURATED `rows`, sorted: rows of one cluster, or of one entry, are one unit.

    A unit is a connected component of clusters and entries, named after its first cluster.
    Raises CorruptArtifactError when NODES has no cluster for a row.
    """
    placed = rows.select("row_id", "entry").join(nodes.select("row_id", "cluster"), on="row_id", how="left")
    lost = placed.filter(pl.col("cluster").is_null())
    if lost.height:
        raise CorruptArtifactError(
            what=f"{lost.height} antibodies have no cluster",
            where="similarity_graph",
            found=", ".join(lost["row_id"].head(3)),
            hint="Materialize similarity_graph again.",
        )
    names = _joined(placed.drop_nulls("entry").select("cluster", "entry").unique().sort("cluster", "entry").iter_rows())
    unit = pl.col("cluster").replace(names) if names else pl.col("cluster")
    return placed.select("row_id", unit.alias("unit")).sort("row_id")


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return cluster -> first cluster of its component, for (cluster, entry) pairs in sorted order."""
    parent: dict[str, str] = {}
    first_of_entry: dict[str, str] = {}

    def root(cluster: str) -> str:
        while parent[cluster] != cluster:
            parent[cluster] = parent[parent[cluster]]
            cluster = parent[cluster]
        return cluster

    for cluster, entry in pairs:
        parent.setdefault(cluster, cluster)
        one, other = sorted((root(cluster), root(first_of_entry.setdefault(entry, cluster))))
        parent[other] = one
    return {cluster: root(cluster) for cluster in parent}
