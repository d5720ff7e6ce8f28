"""The home and its store, as the assets use them: ask once, publish once, show what a person wants to see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import AssetCheckResult, Config, ConfigurableResource, DataVersion, MarkdownMetadataValue, MaterializeResult
from pydantic import Field

from ab_assets.artifacts.publication import Outcome, publish_once
from ab_assets.artifacts.store import Artifact, Ref
from ab_assets.graph import NODES
from ab_assets.home import Home
from ab_assets.plan import input_name, plan, question_for, upstream_refs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ab_assets.artifacts.fingerprint import Question
    from ab_assets.artifacts.store import Draft
    from ab_assets.benchmarks.schema import Benchmark

Metadata = dict[str, Any]


class Making(Config):
    """How a result is asked for."""

    force: bool = Field(default=False, description="Compute again even when the same question has been answered.")


class HomeResource(ConfigurableResource):  # type: ignore[type-arg] # dagster leaves its parameter open
    """Where benchmarks, models and results live."""

    root: str = Field(default="", description="The home folder; empty takes $AB_ASSETS_HOME, else ./.ab-assets.")

    @property
    def home(self) -> Home:
        """The folder behind it."""
        return Home(Path(self.root).resolve()) if self.root else Home.from_environment()

    def artifact(self, asset: str, benchmark: str, model: str | None = None) -> Artifact:
        """Return an upstream result, or say that it has not been made yet."""
        return self.home.store.require(Ref(asset, benchmark, model))

    def question(self, ref: Ref, benchmark: Benchmark) -> Question:
        """Return the question behind a partition, asked of what its inputs show now."""
        home, node = self.home, NODES[ref.asset]
        missing = self.missing(ref, benchmark)
        inputs = {
            input_name(source, node): home.store.require(source).digest
            for source in upstream_refs(node, ref, benchmark)
            if source not in missing
        }
        return question_for(ref, benchmark, home.folder(benchmark.name), inputs, home.catalogue())

    def missing(self, ref: Ref, benchmark: Benchmark) -> dict[Ref, str]:
        """Return {upstream model partition: why} of what a gathering asset has to do without."""
        if ref.model is not None or not any(NODES[name].per_model for name in NODES[ref.asset].inputs):
            return {}
        home = self.home
        steps = plan([(benchmark, home.folder(benchmark.name))], home.catalogue(), home.store)
        wanted = set(upstream_refs(NODES[ref.asset], ref, benchmark))
        return {
            step.ref: "; ".join(step.reasons) for step in steps if step.ref in wanted and step.ref.model and step.reasons
        }

    def make(
        self,
        ref: Ref,
        build: Callable[[Draft], None],
        show: Callable[[Artifact], Metadata] | None = None,
        *,
        force: bool,
    ) -> MaterializeResult[Any]:
        """Publish the partition unless it is there already, and say so to Dagster."""
        benchmark = self.home.benchmark(ref.benchmark)
        outcome = publish_once(self.home.store, ref, self.question(ref, benchmark), build, force=force)
        return materialized(outcome, show(outcome.artifact) if show else {})


def materialized(
    outcome: Outcome, extra: Metadata | None = None, checks: Sequence[AssetCheckResult] = ()
) -> MaterializeResult[Any]:
    """Return what Dagster records of a partition: its counts, its content digest as data version, reused or not."""
    artifact = outcome.artifact
    made = artifact.manifest["made"]
    metadata: Metadata = {
        "reused": outcome.reused,
        "path": str(artifact.folder),
        "fingerprint": artifact.fingerprint,
        "made_at": made["at"],
        "seconds": made["seconds"],
        "peak_memory_gib": round(made["peak_memory_bytes"] / 2**30, 2),
        **artifact.metadata,
        **(extra or {}),
    }
    return MaterializeResult(
        asset_key=outcome.ref.asset,
        metadata=metadata,
        data_version=DataVersion(artifact.digest),
        check_results=list(checks),
    )


def not_compared(asset: str, why: str) -> MaterializeResult[Any]:
    """Return the result of a partition in which there is nothing to do, so that a backfill over the grid succeeds."""
    return MaterializeResult(
        asset_key=asset, metadata={"compared": False, "reason": why}, data_version=DataVersion("absent")
    )


def markdown(text: str) -> MarkdownMetadataValue:
    """Return text that the UI shows as markdown."""
    return MarkdownMetadataValue(text)
