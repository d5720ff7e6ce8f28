"""The home and its store, as the assets use them: ask once, publish once, show what a person wants to see."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetCheckResult,
    Config,
    ConfigurableResource,
    DataVersion,
    MarkdownMetadataValue,
    MaterializeResult,
)
from pydantic import Field

from ab_assets.artifacts.publication import Outcome, publish_once
from ab_assets.artifacts.store import Artifact, Ref
from ab_assets.home import Home
from ab_assets.plan import question_now
from ab_assets.provenance.explanations import provenance_markdown, why, why_markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from ab_assets.artifacts.store import Draft

Metadata = dict[str, Any]

# What a manifest of metered work says besides (`ab_assets.artifacts.costs`).
_COSTS = (
    "gpus",
    "gpu_resource",
    "gpu_seconds_requested",
    "gpu_seconds_used",
    "peak_gpu_memory_bytes",
    "memory_gib_requested",
    "queue_seconds",
    "start_seconds",
    "attempt",
)


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

    def make(
        self,
        ref: Ref,
        build: Callable[[Draft], None],
        show: Callable[[Artifact], Metadata] | None = None,
        *,
        force: bool,
        check: Callable[[Artifact], AssetCheckResult] | None = None,
    ) -> MaterializeResult[Any]:
        """Publish the partition unless it is there already, and say so to Dagster, with what its check found."""
        outcome = publish_once(self.home.store, ref, question_now(self.home, ref), build, force=force)
        checks = [check(outcome.artifact)] if check else []
        return materialized(outcome, show(outcome.artifact) if show else {}, checks)


def materialized(
    outcome: Outcome, extra: Metadata | None = None, checks: Sequence[AssetCheckResult] = ()
) -> MaterializeResult[Any]:
    """Return what Dagster records of a partition: its counts, why it was made and from what, its digest as version."""
    artifact = outcome.artifact
    made = artifact.manifest["made"]
    metadata: Metadata = {
        "reused": outcome.reused,
        "why": markdown(why_markdown(why(artifact, reused=outcome.reused))),
        "path": str(artifact.folder),
        "fingerprint": artifact.fingerprint,
        "made_at": made["at"],
        "seconds": made["seconds"],
        "peak_memory_gib": round(made["peak_memory_bytes"] / 2**30, 2),
        **{name: made[name] for name in _COSTS if name in made},
        **artifact.metadata,
        **(extra or {}),
        "provenance": markdown(provenance_markdown(artifact)),
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


def preview(table: pl.DataFrame, *, width: int = 24) -> str:
    """Return a small table as markdown: long cells cut, pipes and HTML made harmless."""
    if not table.height:
        return "none"
    rows = [[_cell(value, width) for value in row] for row in table.iter_rows()]
    lines = [list(table.columns), ["---"] * table.width, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object, width: int) -> str:
    text = "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
    text = text if len(text) <= width else f"{text[: width - 1]}…"
    return html.escape(text).replace("|", "\\|").replace("\n", " ")
