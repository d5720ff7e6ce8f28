"""What `plan` and `explain` print: rows for a machine and words for a person."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ab_assets.artifacts.store import Ref
from ab_assets.benchmarks.reading import nearest_name
from ab_assets.errors import CorruptArtifactError, UnknownNameError
from ab_assets.estimates import Estimate, Past, duration, total
from ab_assets.explanations import asked_ref, change_rows, explain, reasons_of
from ab_assets.graph import NODES
from ab_assets.plan import plan

if TYPE_CHECKING:
    from ab_assets.explanations import Explanation
    from ab_assets.home import Home
    from ab_assets.plan import Step

Row = dict[str, Any]
_ROWS_OF = "curated_dataset"


def plan_rows(home: Home, name: str | None = None) -> list[Row]:
    """Return every partition of one benchmark, or of all: status, reasons, changes, and what making it will take."""
    benchmarks = [home.benchmark(name)] if name else home.benchmarks()
    catalogue, store = home.catalogue(), home.store
    steps = plan([(item, home.folder(item.name)) for item in benchmarks], catalogue, store)
    past = Past.of(store.objects()) if any(step.reasons for step in steps) else Past.of(())
    rows: dict[str, int | None] = {}
    found = []
    for step in steps:
        benchmark = step.ref.benchmark
        if benchmark not in rows:
            rows[benchmark] = past.rows_of(_digest(home, Ref(_ROWS_OF, benchmark)))
        revision = _revision(home, step) if step.changes else ""
        estimate = past.estimate(step, rows[benchmark], catalogue) if step.reasons else None
        found.append(
            {
                "asset": step.ref.asset,
                "benchmark": benchmark,
                "model": step.ref.model,
                "status": step.status,
                "reasons": list(reasons_of(step, revision)),
                "changes": change_rows(step, revision),
                "estimate": asdict(estimate) if estimate else None,
            }
        )
    return found


def plan_total(rows: list[Row]) -> str:
    """Return the last line of a plan: how many, how long, how many GPU hours, and what is not known."""
    due = [row for row in rows if row["status"] != "fresh"]
    line = f"{len(due)} of {len(rows)} to make"
    if not due:
        return f"{line}."
    seconds, gpu_seconds, unknown, unmeasured = total(Estimate(**row["estimate"]) for row in due)
    parts = [f"about {duration(seconds)} one after the other, {gpu_seconds / 3600:.2f} GPU hours"]
    if unknown:
        parts.append(f"how long {unknown} of them take is not known")
    if unmeasured > unknown:
        parts.append(f"the GPU time of {unmeasured - unknown} was not measured")
    return f"{line}: {'; '.join(parts)}."


def takes(row: Row) -> str:
    """Return in a few words what making a planned partition will take."""
    estimate = row["estimate"]
    if estimate is None:
        return "-"
    if estimate["seconds"] is None:
        return "not known"
    gpu = f", {duration(estimate['gpu_seconds'])} GPU" if estimate["gpu_seconds"] else ""
    return f"{duration(estimate['seconds'])}{gpu}" if estimate["seconds"] else "reused"


def explained(home: Home, asset: str, benchmark: str, model: str | None) -> Explanation:
    """Return the explanation of a partition. Raises UnknownNameError or BadInputError when it is none."""
    if asset not in NODES:
        raise UnknownNameError(what=f"there is no asset {asset!r}", hint=nearest_name(asset, list(NODES)))
    ref = Ref(asset, benchmark, model)
    models = home.benchmark(benchmark).models if NODES[asset].per_model and model is None else ()
    return explain(home, asked_ref(ref, per_model=NODES[asset].per_model, models=models))


def _digest(home: Home, ref: Ref) -> str | None:
    try:
        artifact = home.store.current(ref)
    except CorruptArtifactError:
        return None
    return artifact.digest if artifact else None


def _revision(home: Home, step: Step) -> str:
    artifact = home.store.current(step.ref)
    return str(artifact.manifest["made"]["git_revision"]) if artifact else ""
