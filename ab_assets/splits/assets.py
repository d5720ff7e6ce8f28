"""similarity_graph, split with its check no_leakage, shuffled_label_split."""

import functools
from collections.abc import Iterator
from typing import Any

import polars as pl
from dagster import AssetCheckResult, AssetCheckSpec, AssetExecutionContext, Failure, MaterializeResult, asset

from ab_assets.artifacts.store import Artifact, Draft, Ref
from ab_assets.datasets.selection import select_rows
from ab_assets.errors import LeakageError
from ab_assets.partitions import BENCHMARKS
from ab_assets.splits.certificate import Certificate, certify, require_certificate
from ab_assets.splits.clusters import mmseqs_clusters
from ab_assets.splits.controls import shuffle_labels
from ab_assets.splits.graph import similarity_graph as build_graph
from ab_assets.splits.policies import make_split
from resources.home import HomeResource, Making, Metadata, markdown, preview
from resources.specs import asset_arguments


@asset(**asset_arguments("similarity_graph"))
def similarity_graph(context: AssetExecutionContext, config: Making, home: HomeResource) -> MaterializeResult[Any]:
    """Edges, components, clusters."""
    ref = Ref("similarity_graph", context.partition_key)
    benchmark = home.home.benchmark(ref.benchmark)

    def build(draft: Draft) -> None:
        selection = select_rows(home.artifact("curated_dataset", ref.benchmark).table("antibodies"), benchmark)
        graph = build_graph(selection.rows, benchmark.split.identity, cluster=mmseqs_clusters)
        draft.table("nodes", graph.nodes)
        draft.table("edges", graph.edges)
        draft.metadata = dict(graph.summary)

    return home.make(ref, build, force=config.force)
