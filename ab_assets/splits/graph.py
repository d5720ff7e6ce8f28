"""Which antibodies are as similar as the bound, and the components these pairs form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ab_assets.splits.identity import Kind, pairs_at_or_above
from ab_assets.tables import EDGES, NODES, conform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ab_assets.benchmarks.schema import Identity


@dataclass(frozen=True, slots=True)
class SimilarityGraph:
    """nodes: NODES, by row_id; edges: EDGES; summary: counts for people."""

    nodes: pl.DataFrame
    edges: pl.DataFrame
    summary: dict[str, Any]


def similarity_graph(
    rows: pl.DataFrame,
    identity: Identity,
    *,
    cluster: Callable[[pl.DataFrame], Mapping[str, str]],
    groups: tuple[str, ...] = ("entry",),
    workers: int = 1,
) -> SimilarityGraph:
    """Return the graph of CURATED `rows`: an edge wherever a gated measure reaches its bound, exactly.

    Rows that share a value of a column in `groups` belong to one component whatever their sequences. Where VL has no
    bound of its own, a row without a VH is compared with every other row by VL, at the bound of VH. `cluster` returns
    {row_id: cluster}.
    """
    rows = rows.sort("row_id")
    edges = pl.concat([EDGES.to_frame(), *_edges(rows, identity, workers)]).unique().sort("by", "left", "right")
    clusters = cluster(rows)
    nodes = conform(
        rows.select(
            "row_id",
            component=pl.Series(_components(rows, edges, groups)),
            cluster=pl.Series([clusters[name] for name in rows["row_id"]], dtype=pl.String),
        ),
        NODES,
    )
    return SimilarityGraph(nodes, edges, _summary(nodes, edges))


def _edges(rows: pl.DataFrame, identity: Identity, workers: int) -> Iterator[pl.DataFrame]:
    """Yield EDGES of each measure that has a bound."""
    ids, alone = rows["row_id"].to_numpy(), rows["vh"].is_null().to_numpy()
    for by, bound in bounds_of(rows, identity).items():
        if bound is not None:
            left, right, share = pairs_at_or_above(rows[by].to_list(), bound, kind=by, workers=workers)
            stands_in = by == "vl" and identity.vl is None
            keep = alone[left] | alone[right] if stands_in else np.ones(len(left), dtype=bool)
            columns = {"left": ids[left[keep]], "right": ids[right[keep]], "identity": share[keep]}
            yield conform(pl.DataFrame(columns).with_columns(by=pl.lit(by)), EDGES)


def bounds_of(rows: pl.DataFrame, identity: Identity) -> dict[Kind, float | None]:
    """Return measure -> bound; where VL has none, that of VH stands in for rows that have no VH."""
    vl = identity.vh if identity.vl is None and rows["vh"].has_nulls() else identity.vl
    return {"vh": identity.vh, "vl": vl, "cdrh3": identity.cdrh3}


def group_links(rows: pl.DataFrame, groups: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return (left, right) row numbers that tie each row to the first row of its group, for each column in turn."""
    left: list[int] = []
    right: list[int] = []
    for column in groups:
        first: dict[str, int] = {}
        for number, value in enumerate(rows[column].to_list()):
            if value is not None:
                left.append(first.setdefault(value, number))
                right.append(number)
    return np.array(left, dtype=np.int64), np.array(right, dtype=np.int64)


def row_numbers(rows: pl.DataFrame, edges: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of EDGES as row numbers of `rows`; edges to other rows are left out."""
    number = pl.DataFrame({"row_id": rows["row_id"], "number": np.arange(rows.height)})
    ends = edges.join(number.rename({"row_id": "left", "number": "l"}), on="left").join(
        number.rename({"row_id": "right", "number": "r"}), on="right"
    )
    return ends["l"].to_numpy(), ends["r"].to_numpy()


def _components(rows: pl.DataFrame, edges: pl.DataFrame, groups: tuple[str, ...]) -> np.ndarray:
    one, other = row_numbers(rows, edges)
    first, member = group_links(rows, groups)
    ends = np.concatenate([one, first]), np.concatenate([other, member])
    matrix = coo_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(rows.height, rows.height))
    _, component = connected_components(matrix.tocsr(), directed=False)
    return np.asarray(component, dtype=np.int64)


def _summary(nodes: pl.DataFrame, edges: pl.DataFrame) -> dict[str, Any]:
    sizes = nodes.group_by("component").len()["len"]
    giant = int(sizes.max() or 0)  # type: ignore[arg-type] # polars types the maximum of a column as any value
    return {
        "antibodies": nodes.height,
        "edges": edges.select("left", "right").unique().height,
        **{f"edges_by_{by}": count for by, count in sorted(edges.group_by("by").len().iter_rows())},
        "components": len(sizes),
        "largest_component": giant,
        "largest_component_share": round(giant / max(nodes.height, 1), 4),
        "clusters": nodes["cluster"].n_unique(),
    }
