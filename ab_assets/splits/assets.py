"""similarity_graph, split with its check no_leakage, shuffled_label_split."""

from collections.abc import Iterator

import polars as pl
from dagster import AssetCheckResult, AssetExecutionContext, Failure, MaterializeResult, asset

from ab_assets.artifacts.store import Artifact, Draft, Ref
from ab_assets.datasets.selection import Selection, select_rows
from ab_assets.errors import CorruptArtifactError, LeakageError
from ab_assets.splits.certificate import certify, require_certificate
from ab_assets.splits.certified import certified_roles
from ab_assets.splits.clusters import mmseqs_clusters
from ab_assets.splits.controls import shuffle_labels
from ab_assets.splits.graph import similarity_graph as build_graph
from ab_assets.splits.policies import make_split
from resources.compute import cpus
from resources.home import HomeResource, Making, Metadata, markdown, preview
from resources.specs import asset_arguments, check_spec


@asset(**asset_arguments("similarity_graph"))
def similarity_graph(context: AssetExecutionContext, config: Making, home: HomeResource) -> MaterializeResult:
    """Edges, components, clusters."""
    ref = Ref("similarity_graph", context.partition_key)
    benchmark = home.home.benchmark(ref.benchmark)

    def build(draft: Draft) -> None:
        groups = ("entry", "subject_id") if benchmark.split.policy == "group" else ("entry",)
        rows = _selected(home, ref).rows
        graph = build_graph(rows, benchmark.split.identity, cluster=mmseqs_clusters, groups=groups, workers=cpus())
        draft.table("nodes", graph.nodes)
        draft.table("edges", graph.edges)
        draft.metadata = dict(graph.summary)

    return home.make(ref, build, _components_shown, force=config.force)


@asset(
    **asset_arguments("split"),
    check_specs=[
        check_spec("no_leakage", "split", "No test or validation row is as similar to a training row as the bound."),
    ],
)
def split(
    context: AssetExecutionContext, config: Making, home: HomeResource
) -> Iterator[MaterializeResult | AssetCheckResult]:
    """A split that leaks is not published."""
    ref = Ref("split", context.partition_key)
    benchmark = home.home.benchmark(ref.benchmark)

    def build(draft: Draft) -> None:
        selection = _selected(home, ref)
        edges = home.artifact("similarity_graph", ref.benchmark).table("edges")
        made = make_split(selection.rows, edges, benchmark, _earlier(home, ref))
        certificate = certify(selection.rows, made.roles, benchmark.split, workers=cpus())
        require_certificate(selection.rows, made.roles, certificate, benchmark.split, workers=cpus())
        draft.table("roles", made.roles)
        draft.table("removed", pl.concat([selection.removed, made.removed]))
        draft.table("nearest", certificate.nearest)
        draft.document("certificate", certificate.to_json())
        draft.metadata = dict(made.summary)

    try:
        yield home.make(ref, build, _shown, force=config.force, check=_no_leakage)
    except LeakageError as error:
        yield AssetCheckResult(
            check_name="no_leakage",
            asset_key="split",
            passed=False,
            description=str(error),
            metadata={"why": str(error)},
        )
        raise Failure(str(error), allow_retries=False) from error


@asset(**asset_arguments("shuffled_label_split"))
def shuffled_label_split(context: AssetExecutionContext, config: Making, home: HomeResource) -> MaterializeResult:
    """Roles are those of the split; only labels differ."""
    ref = Ref("shuffled_label_split", context.partition_key)
    benchmark = home.home.benchmark(ref.benchmark)

    def build(draft: Draft) -> None:
        rows = _selected(home, ref).rows
        roles = certified_roles(home.artifact("split", ref.benchmark), rows, benchmark)
        nodes = home.artifact("similarity_graph", ref.benchmark).table("nodes")
        seed, shuffles = benchmark.split.seeds[0], benchmark.evaluation.control_shuffles
        labels = shuffle_labels(rows, roles, nodes, task=benchmark.task, seed=seed, shuffles=shuffles)
        draft.table("labels", labels)
        draft.metadata = {"labels": labels.height}

    return home.make(ref, build, force=config.force)


def _selected(home: HomeResource, ref: Ref) -> Selection:
    curated = home.artifact("curated_dataset", ref.benchmark).table("antibodies")
    return select_rows(curated, home.home.benchmark(ref.benchmark))


def _earlier(home: HomeResource, ref: Ref) -> pl.DataFrame | None:
    """Return ROLES of the split that this partition shows until now, where it was made by the same policy."""
    asked = home.home.benchmark(ref.benchmark).split
    try:
        shown = home.home.store.current(ref)
        if shown is None:
            return None
        split = shown.question["parameters"]["split"]
        return shown.table("roles") if (split["policy"], split["folds"]) == (asked.policy, asked.folds) else None
    except CorruptArtifactError:
        return None  # it is about to be replaced


def _no_leakage(artifact: Artifact) -> AssetCheckResult:
    certificate = artifact.document("certificate")
    return AssetCheckResult(
        check_name="no_leakage",
        asset_key="split",
        passed=certificate["passed"] or not certificate["enforced"],
        metadata={"certified": certificate["passed"], "enforced": certificate["enforced"]},
    )


def _components_shown(artifact: Artifact) -> Metadata:
    sizes = (
        artifact.table("nodes").group_by("component").len(name="antibodies").group_by("antibodies").len("components")
    )
    return {"largest_components": markdown(preview(sizes.sort("antibodies", descending=True).head(20)))}


def _shown(artifact: Artifact) -> Metadata:
    sizes = artifact.table("roles").group_by("fit", "role").len().sort("fit", "role")
    removed = artifact.table("removed").group_by("reason").len().sort("reason")
    maxima = pl.DataFrame(artifact.document("certificate")["maxima"])
    return {
        "sizes": markdown(preview(sizes)),
        "removed": markdown(preview(removed)),
        "highest_identity_to_training": markdown(preview(maxima)),
    }


SHOWN = {"similarity_graph": _components_shown, "split": _shown}
CHECKED = {"split": _no_leakage}
