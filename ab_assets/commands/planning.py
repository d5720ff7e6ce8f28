"""What `plan` and `explain` print: rows for a machine and words for a person."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ab_assets.artifacts.store import Ref
from ab_assets.benchmarks.reading import nearest_name
from ab_assets.departures import departed
from ab_assets.errors import CorruptArtifactError, InvalidBenchmarkError, UnknownNameError
from ab_assets.estimates import Estimate, Past, duration, total
from ab_assets.graph import NODES
from ab_assets.plan import plan
from ab_assets.provenance.explanations import asked_ref, causes, change_rows, explain, reasons_of

if TYPE_CHECKING:
    from ab_assets.benchmarks.schema import Benchmark
    from ab_assets.home import Home
    from ab_assets.plan import Step
    from ab_assets.provenance.explanations import Explanation

Row = dict[str, Any]
_ROWS_OF = "curated_dataset"


def plan_rows(home: Home, name: str | None = None) -> list[Row]:
    """Return every partition of one benchmark, or of all: status, reasons, changes, and what making it will take.

    A benchmark of which only results are left has nothing to plan; `plan_notes` says so.
    """
    benchmarks = _benchmarks(home, name)
    catalogue, store = home.catalogue(), home.store
    steps = plan([(item, home.folder(item.name)) for item in benchmarks], catalogue, store)
    past = Past.of(store.objects()) if any(step.reasons for step in steps) else Past.of(())
    sizes = {item.name: past.rows_of(_digest(home, Ref(_ROWS_OF, item.name))) for item in benchmarks}
    revisions = {step.ref: _revision(home, step) if step.changes else "" for step in steps}
    words = {step.ref: dict(zip(step.reasons, reasons_of(step, revisions[step.ref]), strict=True)) for step in steps}
    begins = causes(steps)
    rows = []
    for step in steps:
        estimate = past.estimate(step, sizes[step.ref.benchmark], catalogue) if step.reasons else None
        rows.append(
            {
                "asset": step.ref.asset,
                "benchmark": step.ref.benchmark,
                "model": step.ref.model,
                "status": step.status,
                "reasons": list(words[step.ref].values()),
                "causes": [
                    {
                        "partition": str(ref),
                        "place": _place(ref),
                        "own": ref == step.ref,
                        "reasons": [words[ref][one] for one in reasons],
                    }
                    for ref, reasons in begins[step.ref].items()
                ],
                "changes": change_rows(step, revisions[step.ref]),
                "estimate": asdict(estimate) if estimate else None,
            }
        )
    return rows


def plan_notes(home: Home, name: str | None = None) -> list[str]:
    """Return what there is to say of benchmarks that cannot be planned because their folders are not here."""
    gone = {one: text for one, text in departed(home).items() if name in (None, one)}
    missing = [] if name else [f"{line}; what lies there is left as it is" for line in home.layout().missing]
    return [*missing, *(f"{one}: {text}" for one, text in gone.items())]


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
    return "reused" if estimate["reused"] else f"{duration(estimate['seconds'])}{gpu}"


def why_planned(row: Row) -> str:
    """Return why a partition has to be made: its own reasons, then those of the partitions with which it begins."""
    own = [reason for cause in row["causes"] if cause["own"] for reason in cause["reasons"]]
    others: defaultdict[str, list[str]] = defaultdict(list)
    for cause in row["causes"]:
        if said := [reason for reason in cause["reasons"] if reason not in own]:
            others["; ".join(said)].append(cause["place"])
    return "; ".join([*own, *(f"after {', '.join(places)}: {said}" for said, places in others.items())])


def explained(home: Home, asset: str, benchmark: str, model: str | None) -> Explanation:
    """Return the explanation of a partition. Raises UnknownNameError or BadInputError when it is none."""
    if asset not in NODES:
        raise UnknownNameError(what=f"there is no asset {asset!r}", hint=nearest_name(asset, list(NODES)))
    ref, per_model = Ref(asset, benchmark, model), NODES[asset].per_model
    kept = {one.model for one in home.store.partitions() if (one.asset, one.benchmark) == (asset, benchmark)}
    try:
        models = home.benchmark(benchmark).models
    except (UnknownNameError, InvalidBenchmarkError):
        if not kept:
            raise
        models = tuple(sorted(name for name in kept if name))
    if per_model and model not in (None, *models, *kept):
        raise UnknownNameError(what=f"{benchmark} does not compare {model}", expected=f"one of {', '.join(models)}")
    return explain(home, asked_ref(ref, per_model=per_model, models=models))


def _benchmarks(home: Home, name: str | None) -> list[Benchmark]:
    if name is None:
        return home.benchmarks()
    try:
        return [home.benchmark(name)]
    except UnknownNameError:
        if name not in departed(home):
            raise
        return []


def _place(ref: Ref) -> str:
    """Return a partition's name where the benchmark is known."""
    return f"{ref.asset}[{ref.model}]" if ref.model else ref.asset


def _digest(home: Home, ref: Ref) -> str | None:
    try:
        artifact = home.store.current(ref)
    except CorruptArtifactError:
        return None
    return artifact.digest if artifact else None


def _revision(home: Home, step: Step) -> str:
    artifact = home.store.current(step.ref)
    return str(artifact.manifest["made"]["git_revision"]) if artifact else ""
