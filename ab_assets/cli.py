"""The ab-assets command."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ab_assets.commands.console import complain, say, say_json, say_table
from ab_assets.errors import AbAssetsError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="""Which antibody language model answers my question best, and can I trust the number?

    \b
    ab-assets demo                                two benchmarks from data to report, nothing to prepare
    ab-assets validate my-benchmark/              is my data usable? (no model is loaded)
    ab-assets add my-benchmark/                   copy it into the home
    ab-assets materialize my-benchmark            everything that is not done yet, up to the report
    ab-assets predict my-benchmark antiberty new.csv
    """,
    epilog="Exit codes: 0 done, 1 work failed, 2 bad input, 3 leakage or no such split, 4 weights or data not here, "
    "5 a stored file is damaged, 6 something has to be made first. "
    "The home is $AB_ASSETS_HOME, by default .ab-assets in the current directory.",
)

Name = Annotated[str, typer.Argument(metavar="BENCHMARK", help="The name of a benchmark; `status` lists them.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder with benchmark.toml and its data files.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")]


@app.command()
def models(*, as_json: Json = False) -> None:
    """List the models: size, licence, what they were trained with, what they need, what is here or must be brought.

    \b
    ab-assets models
    ab-assets models --json
    """
    from ab_assets.commands.listings import model_rows  # noqa: PLC0415

    rows = model_rows(_home())
    if as_json:
        say_json(rows)
        return
    columns = ("name", "parameters_text", "licence", "trained_with", "needs_text", "here")
    say_table(
        ["model", "parameters", "licence", "trained with", "needs", "here"],
        [[row[column] for column in columns] for row in rows],
    )
    if bring := [row for row in rows if row["bring"]]:
        say("\nBring these files, then run the command again (docs/models.md):")
        for row in bring:
            say(f"  {row['name']}: {row['bring']}")


@app.command()
def validate(folder: Folder, *, as_json: Json = False) -> None:
    """Check a benchmark folder: every problem at once, before any model is loaded. Exit code 2 when there is one.

    \b
    ab-assets validate my-benchmark/
    """
    from ab_assets.commands.intake import problems_of  # noqa: PLC0415

    problems = problems_of(folder, _home())
    if as_json:
        say_json([asdict(problem) for problem in problems])
    elif problems:
        complain(f"{folder}: {len(problems)} problem(s)")
        for problem in problems:
            complain(f"  - {problem}")
    else:
        say(f"{folder}: ready. Next: ab-assets add {folder}")
    raise typer.Exit(2 if problems else 0)


@app.command()
def add(
    folder: Folder,
    *,
    name: Annotated[str | None, typer.Option(help="Name in the home; default: the folder's name.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the benchmark of this name.")] = False,
) -> None:
    """Validate a benchmark folder and copy it into the home.

    \b
    ab-assets add my-benchmark/
    ab-assets add my-benchmark/ --name my-benchmark-2 --replace
    """
    from ab_assets.commands.intake import add_benchmark  # noqa: PLC0415

    added = add_benchmark(folder, _home(), name=name, replace=replace)
    _register([added])
    say(f"Added {added}. Next: ab-assets materialize {added}")


@app.command()
def fetch(name: Annotated[str, typer.Argument(metavar="NAME", help="A benchmark the project defines.")]) -> None:
    """Bring a published benchmark's files into the home, checked by sha256. AB_ASSETS_MIRROR is asked first.

    \b
    ab-assets fetch paratope-paragraph
    AB_ASSETS_MIRROR=/data/mirror ab-assets fetch sarscov2-neutralisation
    """
    from ab_assets.commands.console import TerminalProgress  # noqa: PLC0415
    from ab_assets.commands.intake import fetch_benchmark  # noqa: PLC0415

    with TerminalProgress() as progress:
        fetched = fetch_benchmark(name, _home(), progress=progress)
    _register([fetched])
    say(f"Fetched {fetched}. Next: ab-assets materialize {fetched}")


@app.command()
def materialize(
    benchmark: Name,
    *,
    models: Annotated[str, typer.Option(help="Only these models of the benchmark: a,b")] = "",
    force: Annotated[bool, typer.Option("--force", help="Compute again what is already there.")] = False,
) -> None:
    """Make everything of a benchmark that is not there yet, up to the report.

    \b
    ab-assets materialize demo-specificity
    ab-assets materialize demo-specificity --models antiberty --force
    """
    from ab_assets.commands.rounds import materialize_benchmark  # noqa: PLC0415

    chosen = [model.strip() for model in models.split(",") if model.strip()]
    materialize_benchmark(_home(), benchmark, models=chosen, force=force)


@app.command()
def predict(
    benchmark: Name,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model of the benchmark.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="New antibodies: CSV, TSV, Parquet or FASTA.")],
    *,
    output: Annotated[Path | None, typer.Option(help="Where to write; default: FILE with .predictions.csv")] = None,
) -> None:
    """Score new antibodies with a fine-tuned model: probability, call, identity to training, out-of-domain flag.

    \b
    ab-assets predict demo-specificity antiberty new.csv
    ab-assets predict demo-paratope antiberty new.csv --output scores.parquet
    """
    from ab_assets.commands.rounds import predict_file  # noqa: PLC0415

    written, count, outside, rejected = predict_file(_home(), benchmark, model, file, output)
    say(f"{count} antibodies scored, {outside} of them unlike anything the model was tested on: {written}")
    if rejected:
        complain(
            f"{rejected} rows were rejected. `ab-assets validate` explains rows of a benchmark; check the sequences."
        )


@app.command()
def plan(
    benchmark: Annotated[str | None, typer.Argument(metavar="[BENCHMARK]")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Show what is up to date as well.")] = False,
    as_json: Json = False,
) -> None:
    """List what would be made, why each piece is needed, and how long it will take by what earlier ones took.

    \b
    ab-assets plan
    ab-assets plan demo-specificity --json
    """
    from ab_assets.commands.planning import plan_notes, plan_rows, plan_total, takes, why_planned  # noqa: PLC0415

    home = _home()
    rows, notes = plan_rows(home, benchmark), plan_notes(home, benchmark)
    if as_json:
        for note in notes:
            complain(note)
        say_json(rows)
        return
    say_table(
        ["asset", "benchmark", "model", "status", "takes", "why"],
        [
            [row["asset"], row["benchmark"], row["model"] or "", row["status"], takes(row), why_planned(row)]
            for row in rows
            if everything or row["status"] != "fresh"
        ],
    )
    for note in notes:
        say(note)
    say(plan_total(rows))


@app.command()
def explain(
    asset: Annotated[str, typer.Argument(metavar="ASSET", help="As the plan and the UI name it: report, split, ...")],
    benchmark: Name,
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="For results that are made per model.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Show what a result was made from, down to the source files, where and at what cost, and why it is stale if it is.

    \b
    ab-assets explain report demo-specificity
    ab-assets explain predictions demo-specificity antiberty --json
    """
    from ab_assets.commands.planning import explained  # noqa: PLC0415
    from ab_assets.provenance.explanations import explanation_document, explanation_lines  # noqa: PLC0415

    explanation = explained(_home(), asset, benchmark, model)
    if as_json:
        say_json(explanation_document(explanation))
        return
    for line in explanation_lines(explanation):
        say(line)


@app.command()
def history(benchmark: Name, *, as_json: Json = False) -> None:
    """List the versions that a benchmark's data and results have had, newest first.

    \b
    ab-assets history demo-specificity
    ab-assets history demo-specificity --json
    """
    from ab_assets.commands.versions import history_document, history_lines  # noqa: PLC0415

    document = history_document(_home(), benchmark)
    if as_json:
        say_json(document)
        return
    for line in history_lines(document):
        say(line)


@app.command()
def diff(
    benchmark: Name,
    older: Annotated[str | None, typer.Argument(metavar="[A]", help="A version of the data, as in `history`.")] = None,
    newer: Annotated[str | None, typer.Argument(metavar="[B]", help="Another; default: what is shown now.")] = None,
    *,
    rows: Annotated[int, typer.Option(min=0, help="List so many rows of each kind; all are counted.")] = 10,
    as_json: Json = False,
) -> None:
    """Show which antibodies differ between two versions of the data (default: the two newest), and how scores differ.

    \b
    ab-assets diff demo-specificity
    ab-assets diff demo-specificity 2 1
    ab-assets diff demo-specificity 07457723391a 91c0 --rows 50
    """
    from ab_assets.commands.versions import difference, difference_document, difference_lines  # noqa: PLC0415

    document = difference_document(difference(_home(), benchmark, older, newer), benchmark)
    if as_json:
        say_json(document)
        return
    for line in difference_lines(document, shown=rows):
        say(line)


@app.command()
def status(*, as_json: Json = False) -> None:
    """List the benchmarks: task, models, how much is made, where the report is, and whose folders are gone.

    \b
    ab-assets status
    """
    from ab_assets.commands.listings import status_rows  # noqa: PLC0415

    rows = status_rows(_home())
    if as_json:
        say_json(rows)
        return
    if not rows:
        say("There is no benchmark here yet. Try: ab-assets demo")
        return
    say_table(
        ["benchmark", "task", "models", "made", "report"],
        [
            [
                row["benchmark"],
                row["task"],
                ", ".join(row["models"]),
                f"{row['fresh']} of {row['partitions']}",
                row["report"] or "-",
            ]
            for row in rows
        ],
    )
    for row in rows:
        if row["note"]:
            say(f"{row['benchmark']}: {row['note']}")


@app.command()
def metrics(benchmark: Name, *, as_json: Json = False) -> None:
    """Print the metric table with 95 % intervals.

    \b
    ab-assets metrics demo-specificity
    ab-assets metrics demo-paratope --json
    """
    from ab_assets.commands.listings import metrics_document, metrics_lines  # noqa: PLC0415

    document = metrics_document(_home(), benchmark)
    if as_json:
        say_json(document)
        return
    for line in metrics_lines(document):
        say(line)


@app.command()
def report(benchmark: Name) -> None:
    """Print the path of the report.

    \b
    ab-assets report demo-specificity
    xdg-open $(ab-assets report demo-specificity)
    """
    from ab_assets.artifacts.store import Ref  # noqa: PLC0415

    home = _home()
    say(str(home.store.require(Ref("report", home.benchmark(benchmark).name)).path("report.html")))


@app.command()
def verify(
    *,
    sample: Annotated[
        float, typer.Option(help="Compute this share of embeddings and predictions again, and compare: 0.01")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Which ones are drawn.")] = 1,
    as_json: Json = False,
) -> None:
    """Hash every stored file again and compare it with its manifest. Exit code 5 when one differs.

    With --sample, what was kept and not computed again is computed again, too, to five decimal places.

    \b
    ab-assets verify
    ab-assets verify --sample 0.01 --seed 7
    """
    from ab_assets.commands.listings import damage_in  # noqa: PLC0415
    from ab_assets.commands.upkeep import recompute_sample, say_sample  # noqa: PLC0415

    checked, damaged = damage_in(_home())
    again = recompute_sample(_home(), sample, seed) if sample else None
    if as_json:
        say_json({"files": checked, "damaged": damaged} | ({"sample": again} if again else {}))
    else:
        for line in damaged:
            complain(line)
        say(f"{checked} files checked, {len(damaged)} damaged.")
        if again:
            say_sample(again)
    raise typer.Exit(5 if damaged or (again and again["differ"]) else 0)


@app.command()
def backfill(
    *,
    model: Annotated[str | None, typer.Option(help="This model, over all benchmarks that list it.")] = None,
    benchmark: Annotated[str | None, typer.Option(help="This benchmark, over all its models.")] = None,
    job: Annotated[str, typer.Option(help="prepare, evaluate or report.")] = "evaluate",
    priority: Annotated[int, typer.Option(help="Higher goes first; runs asked for elsewhere have 0.")] = -1,
    force: Annotated[bool, typer.Option("--force", help="Compute again what is already there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the partitions.")] = False,
    status: Annotated[str, typer.Option(metavar="ID", help="How far is this backfill?")] = "",
    retry: Annotated[str, typer.Option(metavar="ID", help="Ask again for what failed in this backfill.")] = "",
    as_json: Json = False,
) -> None:
    """Ask the daemon for one run of each partition of a job: a model everywhere, or a benchmark's models.

    The same as launching a backfill of the job in the UI. It needs a daemon: ab-assets ui.

    \b
    ab-assets backfill --model antiberty --dry-run
    ab-assets backfill --benchmark demo-paratope --job report
    ab-assets backfill --status abcdefgh
    ab-assets backfill --retry abcdefgh
    """
    from ab_assets.commands.backfilling import again, start, watch  # noqa: PLC0415

    if status:
        raise typer.Exit(watch(_home(), status, as_json=as_json))
    if retry:
        again(_home(), retry)
    else:
        start(_home(), job=job, model=model, benchmark=benchmark, priority=priority, force=force, dry_run=dry_run)


@app.command()
def gc(
    *,
    days: Annotated[float, typer.Option(min=0, help="Keep what was made or used in so many days.")] = 30,
    versions: Annotated[int, typer.Option(min=0, help="Keep so many of the newest versions of each partition.")] = 3,
    delete: Annotated[bool, typer.Option("--delete", help="Remove it; without this it is only listed.")] = False,
) -> None:
    """List old versions that nothing shows and what they take; --delete removes them. What is shown always stays.

    \b
    ab-assets gc
    ab-assets gc --days 7 --versions 1 --delete
    """
    from ab_assets.commands.upkeep import collect  # noqa: PLC0415

    collect(_home(), days=days, versions=versions, delete=delete)


@app.command("rebuild-catalogue")
def rebuild_catalogue() -> None:
    """Tell Dagster of everything the store shows, after its database is lost. Computes nothing; may be run again.

    \b
    ab-assets rebuild-catalogue
    """
    from ab_assets.commands.upkeep import rebuild  # noqa: PLC0415

    raise typer.Exit(rebuild(_home()))


@app.command()
def demo(
    benchmark: Annotated[list[str] | None, typer.Argument(metavar="DEMO", help="By default both.")] = None,
    *,
    model: Annotated[list[str] | None, typer.Option(help="Compare this model, too; may be said again.")] = None,
) -> None:
    """Make the demo benchmarks, demo-specificity and demo-paratope, from simulated antibodies to the reports.

    \b
    ab-assets demo
    ab-assets demo demo-specificity
    ab-assets demo --model my-bert
    """
    from ab_assets.commands.rounds import run_demo  # noqa: PLC0415

    run_demo(_home(), names=benchmark or (), models=model or ())


@app.command()
def mail(
    *,
    test: Annotated[bool, typer.Option("--test", help="Send a letter that says that letters arrive.")] = False,
    preview: Annotated[
        str | None, typer.Option(metavar="BENCHMARK", help="Write the letter that it would have now as HTML.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Where to write; default: BENCHMARK.mail.html")] = None,
) -> None:
    """Try the mail that the daemon sends when a benchmark is done (docs/automation.md).

    \b
    ab-assets mail --test
    ab-assets mail --preview demo-specificity
    """
    from ab_assets.commands.letters import send_trial, write_preview  # noqa: PLC0415

    if test == (preview is not None):
        complain("Say --test, or --preview BENCHMARK.")
        raise typer.Exit(2)
    if preview is not None:
        say(str(write_preview(_home(), preview, output)))
    else:
        say(f"Taken by the mail server, for {send_trial(_home())}.")


@app.command()
def ui(
    *,
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 3000,
    host: Annotated[str, typer.Option(help="Address to listen on; the UI has no password.")] = "127.0.0.1",
) -> None:
    """Open the Dagster UI with its daemon on this machine. Stop with Ctrl-C.

    While it runs, folders that arrive in the home, or in a directory that its benchmarks.toml names, become reports by
    themselves (docs/automation.md).

    \b
    ab-assets ui
    ab-assets ui --port 3001
    AB_ASSETS_AUTOMATION=off ab-assets ui         nothing is started by itself
    """
    from jobs.serving import serve  # noqa: PLC0415

    raise typer.Exit(serve(_home(), host=host, port=port))


def main() -> None:
    """Run the command; a refusal is one message and an exit code, never a traceback."""
    try:
        app()
    except AbAssetsError as error:
        complain(f"ab-assets: {error}")
        sys.exit(error.exit_code)


def _home() -> Any:  # noqa: ANN401 - Home is imported only when a command runs
    from ab_assets.home import Home  # noqa: PLC0415

    return Home.from_environment()


def _register(names: list[str]) -> None:
    from jobs.launching import open_instance, register  # noqa: PLC0415

    with open_instance(_home()) as instance:
        register(instance, names)


if __name__ == "__main__":
    main()
