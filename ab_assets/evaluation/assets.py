"""baseline_predictions, leak_ladder, model_metrics, candidate_predictions, metric_table."""

import polars as pl
from dagster import AssetExecutionContext, MaterializeResult, ResourceParam, asset

from ab_assets.artifacts.store import Artifact, Draft, Ref
from ab_assets.datasets.selection import select_rows
from ab_assets.evaluation.baselines import baseline_predictions as predict_baselines
from ab_assets.evaluation.ladder import climb
from ab_assets.evaluation.scores import Scored, score
from ab_assets.evaluation.table import side_by_side, summary_of
from ab_assets.evaluation.thresholds import thresholds
from ab_assets.evaluation.units import resampling_units
from ab_assets.graph import CANDIDATES
from ab_assets.partitions import grid_of
from ab_assets.plan import has_candidates, missing_models
from ab_assets.splits.certified import certified_roles
from ab_assets.work import Work
from resources.compute import Compute, Reporting, cpus
from resources.home import HomeResource, Making, Metadata, markdown, materialized, not_compared, preview
from resources.specs import asset_arguments


@asset(**asset_arguments("baseline_predictions"))
def baseline_predictions(
    context: AssetExecutionContext, config: Making, home: HomeResource, reporting: Reporting
) -> MaterializeResult:
    """The certificate is verified before anything is fitted."""
    ref = Ref("baseline_predictions", context.partition_key)
    benchmark = home.home.benchmark(ref.benchmark)

    def build(draft: Draft) -> None:
        rows = select_rows(home.artifact("curated_dataset", ref.benchmark).table("antibodies"), benchmark).rows
        roles = certified_roles(home.artifact("split", ref.benchmark), rows, benchmark)
        labels = home.artifact("shuffled_label_split", ref.benchmark).table("labels")
        seed, progress = benchmark.split.seeds[0], reporting.progress(context.log)
        table = predict_baselines(rows, roles, benchmark, labels, seed=seed, workers=cpus(), progress=progress)
        draft.table("predictions", table)
        draft.metadata = {"methods": ", ".join(table["method"].unique(maintain_order=True)), "scores": table.height}

    return home.make(ref, build, force=config.force)


@asset(**asset_arguments("leak_ladder"))
def leak_ladder(
    context: AssetExecutionContext, config: Making, home: HomeResource, reporting: Reporting
) -> MaterializeResult:
    """Rungs that cannot be built are named with a reason."""
    ref = Ref("leak_ladder", context.partition_key)
    benchmark = home.home.benchmark(ref.benchmark)

    def build(draft: Draft) -> None:
        rows = select_rows(home.artifact("curated_dataset", ref.benchmark).table("antibodies"), benchmark).rows
        graph = home.artifact("similarity_graph", ref.benchmark)
        seed, progress = benchmark.split.seeds[0], reporting.progress(context.log)
        nodes, edges = graph.table("nodes"), graph.table("edges")
        climbed = climb(rows, nodes, edges, benchmark, seed=seed, workers=cpus(), progress=progress)
        draft.table("scores", climbed.scores)
        draft.table("rungs", climbed.rungs)
        draft.document("left_out", dict(climbed.left_out))
        draft.metadata = {"rungs": climbed.rungs["rung"].n_unique(), "left_out": sorted(climbed.left_out)}

    return home.make(ref, build, _rungs_shown, force=config.force)


@asset(**asset_arguments("model_metrics"))
def model_metrics(context: AssetExecutionContext, config: Making, home: HomeResource) -> MaterializeResult:
    """Thresholds come from validation rows, scores from test rows."""
    ref = Ref("model_metrics", *grid_of(context))
    benchmark = home.home.benchmark(ref.benchmark)
    if ref.model not in benchmark.models:
        return not_compared(ref.asset, f"{ref.benchmark} does not list {ref.model}")

    def build(draft: Draft) -> None:
        predictions = home.artifact("predictions", ref.benchmark, ref.model).table("predictions")
        scored, decided = _scored(home, ref, predictions)
        draft.table("scores", scored.scores)
        draft.table("resamples", scored.resamples)
        draft.table("thresholds", decided)
        draft.document("warnings", list(scored.warnings))
        draft.metadata = {"methods": scored.scores["method"].n_unique(), "warnings": list(scored.warnings)}

    return home.make(ref, build, _shown, force=config.force)


@asset(**asset_arguments("candidate_predictions"))
def candidate_predictions(
    context: AssetExecutionContext,
    config: Making,
    home: HomeResource,
    compute: ResourceParam[Compute],
    reporting: Reporting,
) -> MaterializeResult:
    """Rows without a label and the files under [candidates] of benchmark.toml, scored where models run."""
    benchmark, model = grid_of(context)
    declared = home.home.benchmark(benchmark)
    curated = home.home.store.current(Ref("curated_dataset", benchmark))
    if model not in declared.models or not has_candidates(declared, curated):
        return not_compared(CANDIDATES, "there are no rows without a label, or this model is not listed")
    work = Work(benchmark, model, frozenset({CANDIDATES}), force=config.force)
    (outcome,) = compute.run(context, home.home, work, reporting.progress(context.log))
    return materialized(outcome, _candidates_shown(outcome.artifact))


@asset(**asset_arguments("metric_table"))
def metric_table(context: AssetExecutionContext, config: Making, home: HomeResource) -> MaterializeResult:
    """Models whose results are missing or stale are left out and named."""
    ref = Ref("metric_table", context.partition_key)
    benchmark, missing = home.home.benchmark(ref.benchmark), missing_models(home.home, ref)

    def build(draft: Draft) -> None:
        predictions = home.artifact("baseline_predictions", ref.benchmark).table("predictions")
        scored, decided = _scored(home, ref, predictions)
        models = {
            model: (artifact.table("scores"), artifact.table("resamples"))
            for model in benchmark.models
            if model not in missing and (artifact := home.artifact("model_metrics", ref.benchmark, model))
        }
        baselines = (scored.scores, scored.resamples)
        table = side_by_side(baselines, models, primary_baseline=benchmark.primary_baseline)
        draft.table("scores", table.scores)
        draft.table("thresholds", decided)
        draft.document("warnings", list(scored.warnings))
        draft.table("comparisons", table.comparisons)
        draft.document("missing", [f"{model}: {why}" for model, why in sorted(missing.items())])
        draft.metadata = {"models": len(models), "missing_models": sorted(missing)}

    return home.make(ref, build, _shown, force=config.force)


def _scored(home: HomeResource, ref: Ref, predictions: pl.DataFrame) -> tuple[Scored, pl.DataFrame]:
    """Return the scores of all methods in `predictions`, and the thresholds they were called at."""
    benchmark = home.home.benchmark(ref.benchmark)
    rows = select_rows(home.artifact("curated_dataset", ref.benchmark).table("antibodies"), benchmark).rows
    units = resampling_units(rows, home.artifact("similarity_graph", ref.benchmark).table("nodes"))
    decided = thresholds(predictions)
    resamples = benchmark.evaluation.resamples
    return score(predictions, decided, units, resamples=resamples, task=benchmark.task, workers=cpus()), decided


def _candidates_shown(artifact: Artifact) -> Metadata:
    columns = ["sequence_id", "probability", "call", "nearest_identity", "out_of_domain"]
    top = artifact.table("candidates").select(columns).sort("probability", descending=True, nulls_last=True).head(20)
    return {"top": markdown(preview(top))}


def _rungs_shown(artifact: Artifact) -> Metadata:
    scores = artifact.table("scores").filter(pl.col("metric") == "auroc").drop("metric")
    return {"auroc": markdown(preview(scores)), "similarity": markdown(preview(artifact.table("rungs")))}


def _shown(artifact: Artifact) -> Metadata:
    return {"metrics": markdown(preview(summary_of(artifact.table("scores")), width=40))}


SHOWN = {
    "leak_ladder": _rungs_shown,
    "model_metrics": _shown,
    "candidate_predictions": _candidates_shown,
    "metric_table": _shown,
}
