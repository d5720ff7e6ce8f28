"""From stored results to what one report says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from ab_assets.artifacts.store import Ref
from ab_assets.datasets.selection import select_rows
from ab_assets.evaluation.table import named
from ab_assets.reports.inputs import residues_to_show, split_sizes
from ab_assets.reports.report_data import ReportData

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ab_assets.artifacts.store import Artifact, ArtifactStore
    from ab_assets.benchmarks.schema import Benchmark
    from ab_assets.models.specification import ModelSpec

_ARMS = {"fine_tuned_checkpoint": "fine-tuned", "shuffled_label_checkpoint": "fine-tuned-shuffled"}


def gather(
    store: ArtifactStore, benchmark: Benchmark, catalogue: Mapping[str, ModelSpec], *, without: Sequence[str]
) -> ReportData:
    """Return the report's data from what the benchmark's partitions show; models in `without` are left out."""
    models = [model for model in benchmark.models if model not in without]

    def of(asset: str, model: str | None = None) -> Artifact:
        return store.require(Ref(asset, benchmark.name, model))

    curated, split, table, climbed = of("curated_dataset"), of("split"), of("metric_table"), of("leak_ladder")
    rows = select_rows(curated.table("antibodies"), benchmark).rows
    roles, predictions = split.table("roles"), _predictions(of, models)
    warnings = table.document("warnings")
    residues, shown = _residues(of, models, rows) if benchmark.task == "paratope" else (None, "")
    return ReportData(
        benchmark=benchmark,
        scores=table.table("scores"),
        comparisons=table.table("comparisons"),
        curation=curated.metadata,
        used=roles["row_id"].n_unique(),
        removed=split.table("removed"),
        sizes=split_sizes(rows, roles, benchmark),
        split_summary={**of("similarity_graph").metadata, **split.metadata},
        certificate=split.document("certificate"),
        nearest=split.table("nearest"),
        ladder=climbed.table("scores"),
        rungs=climbed.table("rungs"),
        left_out=climbed.document("left_out"),
        predictions=predictions,
        histories=[step for model in models for step in _histories(of, model)],
        models=[_described(catalogue[model]) for model in models],
        provenance=_provenance(table, {name: of(name) for name in ("raw_dataset", "curated_dataset", "split")}),
        residues=residues,
        residues_method=shown,
        attention={model: of("attention", model).table("attention") for model in models},
        missing=table.document("missing"),
        not_ranked=[text for text in warnings if "not ranked" in text],
        warnings=[text for text in warnings if "not ranked" not in text],
    )


def _predictions(of: Any, models: Sequence[str]) -> pl.DataFrame:  # noqa: ANN401 - a look-up of artifacts
    parts = [of("baseline_predictions").table("predictions")]
    parts += [of("predictions", model).table("predictions").with_columns(named(model)) for model in models]
    predictions: pl.DataFrame = pl.concat(parts)
    return predictions


def _residues(of: Any, models: Sequence[str], rows: pl.DataFrame) -> tuple[pl.DataFrame | None, str]:  # noqa: ANN401
    if not models:
        return None, ""
    thresholds = of("model_metrics", models[0]).table("thresholds")
    predictions = of("predictions", models[0]).table("predictions")
    shown: pl.DataFrame = residues_to_show(rows, predictions, thresholds, method="fine-tuned")
    return shown, f"{models[0]} fine-tuned"


def _histories(of: Any, model: str) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - a look-up of artifacts
    for asset, arm in _ARMS.items():
        artifact = of(asset, model)
        for file in artifact.manifest["files"]:
            if file.endswith("fit.json"):
                record = artifact.document(file.removesuffix(".json"))
                base = {"model": model, "fit": record["fit"], "seed": record["seed"], "arm": arm}
                yield from (base | epoch for epoch in record["history"])


def _described(spec: ModelSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "title": spec.title,
        "parameters": spec.parameters,
        "licence": spec.licence,
        "revision": str(spec.identity()["source"].get("revision", "")),  # type: ignore[attr-defined]
    }


def _provenance(table: Artifact, inputs: Mapping[str, Artifact]) -> dict[str, Any]:
    made = table.manifest["made"]
    return {
        "code": {"git revision": made["git_revision"] or "not a checkout", "python": made["python"]},
        "packages": made["packages"],
        "content digests": {name: artifact.digest[:16] for name, artifact in inputs.items()}
        | {"metric_table": table.digest[:16]},
    }
