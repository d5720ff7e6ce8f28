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

Name = Annotated[str, typer.Argument(metavar="BENCHMARK", help="A benchmark in the home; `status` lists them.")]
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
    """List what would be made, and why each piece is needed.

    \b
    ab-assets plan
    ab-assets plan demo-specificity --json
    """
    from ab_assets.commands.listings import plan_rows  # noqa: PLC0415

    rows = plan_rows(_home(), benchmark)
    if as_json:
        say_json(rows)
        return
    due = [row for row in rows if row["status"] != "fresh"]
    say_table(
        ["asset", "benchmark", "model", "status", "why"],
        [
            [r["asset"], r["benchmark"], r["model"] or "", r["status"], "; ".join(r["reasons"])]
            for r in (rows if everything else due)
        ],
    )
    say(f"{len(due)} of {len(rows)} to make.")


@app.command()
def status(*, as_json: Json = False) -> None:
    """List the benchmarks: task, models, how much is made, where the report is.

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
def verify(*, as_json: Json = False) -> None:
    """Hash every stored file again and compare it with its manifest. Exit code 5 when one differs.

    \b
    ab-assets verify
    """
    from ab_assets.commands.listings import damage_in  # noqa: PLC0415

    checked, damaged = damage_in(_home())
    if as_json:
        say_json({"files": checked, "damaged": damaged})
    else:
        for line in damaged:
            complain(line)
        say(f"{checked} files checked, {len(damaged)} damaged.")
    raise typer.Exit(5 if damaged else 0)


@app.command()
def demo(
    *,
    model: Annotated[list[str] | None, typer.Option(help="Compare this model, too; may be said again.")] = None,
) -> None:
    """Make the two demo benchmarks, from simulated antibodies to the reports.

    \b
    ab-assets demo
    ab-assets demo --model my-bert
    """
    from ab_assets.commands.rounds import run_demo  # noqa: PLC0415

    run_demo(_home(), models=model or ())


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

    While it runs, folders that arrive in the home become reports by themselves (docs/automation.md).

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
