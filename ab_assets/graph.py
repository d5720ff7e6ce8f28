"""The asset graph as data: what each asset is made from, which code decides it, which parameters count.

`plan`, the assets and the worker all ask here, so that they agree on when a result is the same.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from ab_assets.artifacts.code_version import code_of
from ab_assets.artifacts.fingerprint import Question, digest_of
from ab_assets.errors import BadInputError
from ab_assets.training.recipe import Recipe

if TYPE_CHECKING:
    from ab_assets.benchmarks.schema import Benchmark
    from ab_assets.models.catalogue import ModelSpec

Job = Literal["prepare", "evaluate", "report"]
Parameters = dict[str, Any]
Code = Callable[[tuple[str, ...]], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Node:
    """One asset. `inputs` are upstream assets; `code` the modules whose closure decides the result."""

    name: str
    job: Job
    group: str
    description: str
    inputs: tuple[str, ...]
    code: tuple[str, ...]
    parameters: Callable[[Benchmark], Parameters]
    per_model: bool = False
    trained: bool = False
    kinds: tuple[str, ...] = ("parquet",)

    @property
    def code_version(self) -> str:
        """The digest of the code closure, as Dagster shows it."""
        return digest_of(loaded_code(self.code))[:16]


@functools.cache
def loaded_code(modules: tuple[str, ...]) -> Mapping[str, str]:
    """Return `code_of` the modules, followed once: a plan asks it of every partition."""
    return MappingProxyType(code_of(modules))


def _source(benchmark: Benchmark) -> Parameters:
    return {"files": list(benchmark.source.received), "licence": benchmark.source.licence}


def _curation(benchmark: Benchmark) -> Parameters:
    split = benchmark.split
    return {
        "task": benchmark.task,
        "source": benchmark.source.model_dump(mode="json", include={"format", "antigen", "evidence", "weak"}),
        "members": list(benchmark.source.files) if benchmark.source.archive else [],
        "columns": benchmark.columns.model_dump(mode="json"),
        "curation": benchmark.curation.model_dump(mode="json"),
        "published": split.policy == "published",
        "parts": split.parts.model_dump(mode="json"),
        "test_files": list(split.test_files),
    }


def _rows(benchmark: Benchmark) -> Parameters:
    return {"task": benchmark.task, "chains": benchmark.chains}


def _similarity(benchmark: Benchmark) -> Parameters:
    return _rows(benchmark) | {
        "identity": benchmark.split.identity.model_dump(mode="json"),
        "contract_subjects": benchmark.split.policy == "group",
    }


def _split(benchmark: Benchmark) -> Parameters:
    return _rows(benchmark) | {"split": benchmark.split.model_dump(mode="json", exclude={"seeds"})}


def _control(benchmark: Benchmark) -> Parameters:
    return {
        "task": benchmark.task,
        "seed": benchmark.split.seeds[0],
        "shuffles": benchmark.evaluation.control_shuffles,
    }


def _baselines(benchmark: Benchmark) -> Parameters:
    return _rows(benchmark) | {"seed": benchmark.split.seeds[0], "primary": benchmark.primary_baseline}


def _ladder(benchmark: Benchmark) -> Parameters:
    split = benchmark.split
    return _rows(benchmark) | {
        "identity": split.identity.model_dump(mode="json"),
        "folds": split.folds,
        "max_removed": split.max_removed,
        "seed": split.seeds[0],
        "resamples": benchmark.evaluation.resamples,
    }


def _training(benchmark: Benchmark) -> Parameters:
    return _rows(benchmark) | {"seeds": list(benchmark.split.seeds)}


def _scoring(benchmark: Benchmark) -> Parameters:
    return {"task": benchmark.task, "resamples": benchmark.evaluation.resamples}


def _comparison(benchmark: Benchmark) -> Parameters:
    return _scoring(benchmark) | {"models": list(benchmark.models), "primary": benchmark.primary_baseline}


def _presentation(benchmark: Benchmark) -> Parameters:
    return benchmark.model_dump(mode="json", exclude={"retired"})


def _candidates(benchmark: Benchmark) -> Parameters:
    return _rows(benchmark) | {"columns": benchmark.columns.model_dump(mode="json")}


_FIT = ("ab_assets.training.session", "ab_assets.training.products")

NODES: Mapping[str, Node] = {
    node.name: node
    for node in (
        Node(
            name="raw_dataset",
            job="prepare",
            group="datasets",
            description="The source files as received, byte for byte, with their digests and licence.",
            inputs=(),
            code=(),
            parameters=_source,
            kinds=("file",),
        ),
        Node(
            name="curated_dataset",
            job="prepare",
            group="datasets",
            description="One row per antibody under one schema; every source row is kept or rejected with a reason.",
            inputs=("raw_dataset",),
            code=("ab_assets.datasets.curation", "ab_assets.datasets.readers"),
            parameters=_curation,
            kinds=("polars", "parquet"),
        ),
        Node(
            name="similarity_graph",
            job="prepare",
            group="splits",
            description="Every pair of antibodies at or above the declared identity, the components these pairs form, "
            "and the MMseqs2 clusters that intervals resample.",
            inputs=("curated_dataset",),
            code=("ab_assets.splits.graph", "ab_assets.splits.clusters", "ab_assets.datasets.selection"),
            parameters=_similarity,
            kinds=("polars", "parquet"),
        ),
        Node(
            name="split",
            job="prepare",
            group="splits",
            description="Who trains, validates and tests in each fit, what was removed to keep them apart, and the "
            "certificate of an exact all-pairs comparison.",
            inputs=("curated_dataset", "similarity_graph"),
            code=("ab_assets.splits.policies", "ab_assets.splits.certificate", "ab_assets.datasets.selection"),
            parameters=_split,
            kinds=("polars", "parquet"),
        ),
        Node(
            name="shuffled_label_split",
            job="prepare",
            group="splits",
            description="The same rows and folds with the training and validation labels permuted: what a model "
            "scores when there is nothing to learn.",
            inputs=("curated_dataset", "similarity_graph", "split"),
            code=("ab_assets.splits.controls", "ab_assets.datasets.selection"),
            parameters=_control,
            kinds=("polars", "parquet"),
        ),
        Node(
            name="baseline_predictions",
            job="prepare",
            group="evaluation",
            description="What methods without a language model predict for the same rows.",
            inputs=("curated_dataset", "similarity_graph", "split", "shuffled_label_split"),
            code=("ab_assets.evaluation.baselines", "ab_assets.datasets.selection"),
            parameters=_baselines,
            kinds=("scikitlearn", "parquet"),
        ),
        Node(
            name="leak_ladder",
            job="prepare",
            group="evaluation",
            description="What the same cheap methods score when rows are divided at random, by clusters, and as "
            "certified, with equal training: how much of a score is leakage.",
            inputs=("curated_dataset", "similarity_graph"),
            code=("ab_assets.evaluation.ladder", "ab_assets.datasets.selection"),
            parameters=_ladder,
            kinds=("scikitlearn", "parquet"),
        ),
        Node(
            name="embeddings",
            job="evaluate",
            group="models",
            description="The mean of the last layer's residue states, one vector per chain.",
            inputs=("curated_dataset",),
            code=_FIT,
            parameters=_rows,
            per_model=True,
            kinds=("pytorch", "parquet"),
        ),
        Node(
            name="fine_tuned_checkpoint",
            job="evaluate",
            group="models",
            description="The model fine-tuned on each fit's training rows; the epoch with the lowest validation loss.",
            inputs=("curated_dataset", "split"),
            code=_FIT,
            parameters=_training,
            per_model=True,
            trained=True,
            kinds=("pytorch", "safetensors"),
        ),
        Node(
            name="shuffled_label_checkpoint",
            job="evaluate",
            group="models",
            description="The same recipe on shuffled labels: the control.",
            inputs=("curated_dataset", "shuffled_label_split", "split"),
            code=_FIT,
            parameters=_training,
            per_model=True,
            trained=True,
            kinds=("pytorch", "safetensors"),
        ),
        Node(
            name="predictions",
            job="evaluate",
            group="models",
            description="Validation and test scores: fine-tuned, frozen probes (linear, SVM); all of them on shuffled"
            " labels.",
            inputs=(
                "curated_dataset",
                "split",
                "shuffled_label_split",
                "fine_tuned_checkpoint",
                "shuffled_label_checkpoint",
            ),
            code=_FIT,
            parameters=_training,
            per_model=True,
            kinds=("pytorch", "parquet"),
        ),
        Node(
            name="attention",
            job="evaluate",
            group="models",
            description="Mean attention each IMGT position receives, per layer, before and after fine-tuning.",
            inputs=("curated_dataset", "split", "fine_tuned_checkpoint"),
            code=_FIT,
            parameters=_rows,
            per_model=True,
            kinds=("pytorch", "parquet"),
        ),
        Node(
            name="model_metrics",
            job="evaluate",
            group="evaluation",
            description="Scores of this model's methods with 95 % intervals over resampled clusters, and thresholds.",
            inputs=("predictions", "similarity_graph", "curated_dataset"),
            code=("ab_assets.evaluation.scores", "ab_assets.evaluation.thresholds"),
            parameters=_scoring,
            per_model=True,
            kinds=("numpy", "parquet"),
        ),
        Node(
            name="candidate_predictions",
            job="evaluate",
            group="models",
            description="Scores of unlabelled antibodies: probability, call, identity to training, out-of-domain flag.",
            inputs=("curated_dataset", "split", "fine_tuned_checkpoint", "model_metrics"),
            code=("ab_assets.evaluation.candidates", *_FIT),
            parameters=_candidates,
            per_model=True,
            kinds=("pytorch", "parquet"),
        ),
        Node(
            name="metric_table",
            job="report",
            group="evaluation",
            description="All models and baselines side by side on the same rows, with paired differences.",
            inputs=("model_metrics", "baseline_predictions", "similarity_graph", "curated_dataset", "split"),
            code=(
                "ab_assets.evaluation.scores",
                "ab_assets.evaluation.thresholds",
                "ab_assets.evaluation.comparisons",
            ),
            parameters=_comparison,
            kinds=("numpy", "parquet"),
        ),
        Node(
            name="report",
            job="report",
            group="reports",
            description="One HTML file that needs no network, with the tables as CSV and Parquet.",
            inputs=(
                "metric_table",
                "baseline_predictions",
                "leak_ladder",
                "predictions",
                "attention",
                "fine_tuned_checkpoint",
                "shuffled_label_checkpoint",
                "split",
                "similarity_graph",
                "curated_dataset",
                "raw_dataset",
            ),
            code=("ab_assets.reports.report", "ab_assets/reports/template.html", "ab_assets/reports/style.css"),
            parameters=_presentation,
            kinds=("plotly", "html"),
        ),
    )
}

# What one load of a model's weights makes, upstream first.
PRODUCTS = ("embeddings", "fine_tuned_checkpoint", "shuffled_label_checkpoint", "predictions", "attention")
CANDIDATES = "candidate_predictions"
COMPUTED = (*PRODUCTS, CANDIDATES)
"""What a model itself computes, upstream first."""


def recipe_of(spec: ModelSpec, benchmark: Benchmark) -> Recipe:
    """Return the model's own recipe with what the benchmark overrides."""
    training = benchmark.training
    try:
        return Recipe.for_model(spec, benchmark.task, training.overrides(), preset=training.preset)
    except BadInputError as error:
        problem = dataclasses.replace(error.problem, where=f"[training] of {benchmark.name}, model {spec.name}")
        raise BadInputError(**dataclasses.asdict(problem)) from error


def question_of(
    name: str,
    benchmark: Benchmark,
    inputs: Mapping[str, str],
    *,
    spec: ModelSpec | None = None,
    code: Code = loaded_code,
) -> Question:
    """Return the question whose answer is asset `name` of this benchmark (and model), given its inputs' digests.

    `code`: what decides it of the code, by default as this process loaded it.
    """
    node = NODES[name]
    parameters = node.parameters(benchmark)
    if node.group == "models" and spec is not None:
        recipe = recipe_of(spec, benchmark)
        parameters |= {"recipe": recipe.to_dict()} if node.trained else recipe.seeing()
    return Question(
        asset=name,
        inputs=dict(inputs),
        parameters=parameters,
        model=spec.identity() if node.per_model and spec is not None else {},
        code=code(node.code),
    )
