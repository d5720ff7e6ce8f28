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

    Rows that share a value of a column in `groups` belong to one component whatever their sequences. A row without a
    VH is gated by its VL, with the bound of VH. `cluster` returns {row_id: cluster}.
    """
    rows = rows.sort("row_id")
    ids = rows["row_id"].to_numpy()
    found = []
    for by, sequences, bound in gated(rows, identity):
        pairs = pairs_at_or_above(sequences, bound, kind=by, workers=workers)
        columns = {"left": ids[pairs.left], "right": ids[pairs.right], "identity": pairs.identity}
        found.append(conform(pl.DataFrame(columns).with_columns(by=pl.lit(by)), EDGES))
    edges = pl.concat([EDGES.to_frame(), *found]).unique().sort("by", "left", "right")
    component = _components(rows, edges, groups)
    clusters = cluster(rows)
    columns = {"row_id": rows["row_id"], "component": component, "cluster": [clusters[name] for name in rows["row_id"]]}
    nodes = conform(pl.DataFrame(columns), NODES)
    return SimilarityGraph(nodes, edges, _summary(nodes, edges))


def gated(rows: pl.DataFrame, identity: Identity) -> Iterator[tuple[Kind, list[str | None], float]]:
    """Yield (measure, sequence of each row or None, bound) of every measure that has a bound."""
    if identity.vh is not None:
        yield "vh", rows["vh"].to_list(), identity.vh
        alone = rows.select(pl.when(pl.col("vh").is_null()).then("vl"))["vl"].to_list()
        if identity.vl is None and any(alone):
            yield "vl", alone, identity.vh
    if identity.cdrh3 is not None:
        yield "cdrh3", rows["cdrh3"].to_list(), identity.cdrh3
    if identity.vl is not None:
        yield "vl", rows["vl"].to_list(), identity.vl


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
