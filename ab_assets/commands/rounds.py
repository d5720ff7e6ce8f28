"""A whole round: prepare, evaluate each model, report; said aloud as it goes."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from ab_assets.artifacts.store import Ref
from ab_assets.benchmarks.reading import nearest_name
from ab_assets.commands.console import TerminalProgress, complain, say
from ab_assets.commands.intake import DEFINED, add_benchmark
from ab_assets.commands.listings import metrics_document, metrics_lines
from ab_assets.definitions import defs
from ab_assets.errors import AbAssetsError, BadInputError, UnknownNameError
from ab_assets.exports import export_csv
from ab_assets.models.availability import availability, obtain_files, require_available
from jobs.launching import open_instance, register, run_job
from jobs.processes import run_side_by_side
from resources.compute import compute_here

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dagster import DagsterInstance

    from ab_assets.home import Home
    from jobs.launching import RunResult
    from resources.compute import Compute

DEMOS = ("demo-specificity", "demo-paratope")
DEMO_MODEL = "antiberty"


def materialize_benchmark(home: Home, name: str, *, models: Sequence[str] = (), force: bool = False) -> None:
    """Make what is not there yet, up to the report.

    Weights that can be downloaded are, before any work. A model that cannot be had or that fails leaves the others and
    the report standing; the first failure is raised at the end.
    """
    benchmark = home.benchmark(name)
    if unknown := [model for model in models if model not in benchmark.models]:
        raise UnknownNameError(
            what=f"{name} does not compare {', '.join(unknown)}",
            expected=f"some of {', '.join(benchmark.models)}",
            hint="Add it under `models` in benchmark.toml.",
        )
    compute = compute_here()
    wanted, failures = (
        (list(models or benchmark.models), [])
        if compute.brings_weights
        else _obtained(home, models or benchmark.models)
    )
    with open_instance(home) as instance:
        register(instance, [name])
        _run(instance, home, "prepare", name, force=force)
        failures += _evaluate(instance, home, name, wanted, compute, force=force)
        _run(instance, home, "report", name, force=force)
    if failures:
        raise failures[0]


def _evaluate(
    instance: DagsterInstance, home: Home, name: str, models: Sequence[str], compute: Compute, *, force: bool
) -> list[AbAssetsError]:
    """Evaluate the models, as many side by side as `compute` can, and return what failed."""
    failures = []

    def failed(model: str, error: AbAssetsError) -> None:
        complain(f"  {model}: {error}")
        failures.append(error)

    if compute.side_by_side > 1 and len(models) > 1:
        run_side_by_side(
            {model: (evaluate_alone, (home, name, model, force)) for model in models}, compute.side_by_side, failed
        )
        return failures
    for model in models:
        try:
            _run(instance, home, "evaluate", name, model=model, force=force, compute=compute)
        except AbAssetsError as error:
            failed(model, error)
    return failures


def evaluate_alone(home: Home, name: str, model: str, force: bool) -> None:  # noqa: FBT001 - what a process is given
    """Evaluate one model in a process of its own, with an instance of its own: Dagster's are not for threads."""
    with open_instance(home) as instance:
        _run(instance, home, "evaluate", name, model=model, force=force, of=f"{model}: ")


def _obtained(home: Home, models: Sequence[str]) -> tuple[list[str], list[AbAssetsError]]:
    """Return the models whose weights are here now, and why others are not; raises the first when none is."""
    here: list[str] = []
    failures: list[AbAssetsError] = []
    for model in models:
        spec = home.model(model)
        try:
            if size := availability(spec).download_bytes:
                say(f"{model}: downloading about {size / 1e9:.1f} GB")
                obtain_files(spec)
            require_available(spec)
            here.append(model)
        except AbAssetsError as error:
            failures.append(error)
    if failures and not here:
        raise failures[0]
    for failure in failures:
        complain(f"  left out: {failure}")
    return here, failures


def predict_file(home: Home, name: str, model: str, path: Path, output: Path | None) -> tuple[Path, int, int, int]:
    """Score the antibodies in `path`; return (file written, antibodies, out of domain, rows rejected)."""
    from ab_assets.candidates import score_candidates  # noqa: PLC0415 - only a prediction needs it

    benchmark = home.benchmark(name)
    if model not in benchmark.models:
        raise UnknownNameError(
            what=f"{name} does not compare {model}",
            expected=" or ".join(benchmark.models),
            hint="Add it under `models` in benchmark.toml and materialize.",
        )
    if not path.is_file():
        raise UnknownNameError(what="there is no such file", where=str(path))
    target = output or path.with_name(f"{path.name.split('.')[0]}.predictions.csv")
    if target.suffix not in (".csv", ".parquet"):
        raise BadInputError(what="predictions are written as .csv or .parquet", found=str(target))
    with TerminalProgress() as progress:
        scored = score_candidates(home, benchmark, model, path.resolve(), progress)
    if target.suffix == ".csv":
        target.write_text(export_csv(scored.table), encoding="utf-8")
    else:
        scored.table.write_parquet(target)
    return target, scored.table.height, int(scored.table["out_of_domain"].sum()), scored.rejected.height


def run_demo(home: Home, *, names: Sequence[str] = (), models: Sequence[str] = ()) -> None:
    """Make the simulated antibodies, the demo benchmarks up to their reports, and print what to open.

    `names`: only these of them; `models`: compare these, too, each of the catalogue or of the user's own files.
    """
    from ab_assets.datasets.simulation import write_demo  # noqa: PLC0415 - only the demo simulates

    for name in names:
        if name not in DEMOS:
            raise UnknownNameError(what=f"there is no demo {name!r}", hint=nearest_name(name, list(DEMOS)))
    chosen = [name for name in DEMOS if name in names or not names]
    if models:
        _obtained(home, models)
    compared = json.dumps(list(dict.fromkeys((DEMO_MODEL, *models))))
    for name in chosen:
        folder = home.own_folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        write_demo(name, folder)
        defined = (DEFINED / name / "benchmark.toml").read_text(encoding="utf-8")
        said = defined.replace(f'models = ["{DEMO_MODEL}"]', f"models = {compared}")
        (folder / "benchmark.toml").write_text(said, encoding="utf-8")
        add_benchmark(folder, home)
        say(f"== {name}")
        materialize_benchmark(home, name)
        say()
        for line in metrics_lines(metrics_document(home, name)):
            say(f"  {line}" if line else "")
    say("Reports:")
    for name in chosen:
        say(f"  {home.store.require(Ref('report', name)).path('report.html')}")
    say("The same in the Dagster UI:  make ui   (or: .venv/bin/ab-assets ui)")


def _run(
    instance: DagsterInstance,
    home: Home,
    job: str,
    benchmark: str,
    *,
    model: str | None = None,
    force: bool = False,
    compute: Compute | None = None,
    of: str = "",
) -> RunResult:
    start = time.monotonic()
    title = f"{job} {benchmark}{f' {model}' if model else ''}"
    with TerminalProgress(of=of) as progress:
        result = run_job(
            defs, instance, home, job, benchmark, model=model, force=force, progress=progress, compute=compute
        )
    made = [item for item in result.made if item.compared and not item.reused]
    reused = [item for item in result.made if item.compared and item.reused]
    say(f"{title}: {len(made)} made, {len(reused)} reused, {time.monotonic() - start:.1f} s")
    for item in made:
        say(f"  {item.asset:<26} {item.seconds:8.1f} s")
    if result.error is not None:
        raise result.error
    return result
