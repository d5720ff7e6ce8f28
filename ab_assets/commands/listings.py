"""What is here and what it says, as plain rows: models, plan, status, metrics, damage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ab_assets.artifacts.store import Ref
from ab_assets.departures import departed
from ab_assets.errors import CorruptArtifactError, InvalidBenchmarkError, UnknownNameError
from ab_assets.models.availability import availability
from ab_assets.plan import plan
from ab_assets.reports.scoreboard import certificate_words

if TYPE_CHECKING:
    from ab_assets.home import Home
    from ab_assets.models.specification import ModelSpec

Row = dict[str, Any]
SHOWN_METRICS = ("ap", "auroc", "mcc", "f1", "recall", "fpr")


def model_rows(home: Home) -> list[Row]:
    """Return one row per model of the catalogue; `here` says in a word or two whether it can run now.

    `bring`: what a person has to put where, for a model that cannot be downloaded.
    """
    rows = []
    for name, spec in home.catalogue().items():
        found = availability(spec)
        missing = ", ".join(found.missing_files)
        download = found.download_bytes
        pinned = spec.source.kind == "twin" or bool(spec.source.revision)
        allowed = pinned or getattr(spec.source, "allow_unpinned", False)
        here = "yes" if allowed else "needs a pin"
        if not found.available:
            here = f"download {_bytes(download)}" if download is not None else "bring files"
        rows.append(
            {
                "name": name,
                "title": spec.title,
                "family": spec.family,
                "parameters": spec.parameters,
                "parameters_text": _size(spec.parameters),
                "licence": spec.licence,
                "trained_with": "pairs" if spec.pairing.context == "joined" else "single chains",
                "needs": spec.needs.model_dump(),
                "needs_text": _needs(spec),
                "available": found.available,
                "pinned": pinned,
                "here": here,
                "download_bytes": download,
                "missing_files": list(found.missing_files),
                "where": found.where,
                "bring": f"{missing} to {found.where}" if not found.available and download is None else "",
            }
        )
    return rows


def status_rows(home: Home) -> list[Row]:
    """Return one row per benchmark; `note` says that one is broken, or what became of one whose folder is gone."""
    rows = []
    for name in home.names():
        try:
            benchmark = home.benchmark(name)
        except (InvalidBenchmarkError, UnknownNameError):
            rows.append(_unplanned(home, name, "invalid", f"it cannot be read; see: ab-assets plan {name}"))
            continue
        steps = plan([(benchmark, home.folder(name))], home.catalogue(), home.store)
        rows.append(
            {
                "benchmark": name,
                "task": benchmark.task,
                "models": list(benchmark.models),
                "fresh": sum(step.status == "fresh" for step in steps),
                "partitions": len(steps),
                "report": _report_path(home, name),
                "note": "",
            }
        )
    return [*rows, *(_unplanned(home, name, "-", note) for name, note in departed(home).items())]


def metrics_document(home: Home, name: str) -> Row:
    """Return the metric table of a benchmark: per method each metric with its interval, and what it rests on."""
    benchmark = home.benchmark(name)
    table = home.store.require(Ref("metric_table", name))
    certificate = home.store.require(Ref("split", name)).document("certificate")
    methods: dict[str, Row] = {}
    for row in table.table("scores").iter_rows(named=True):
        method = methods.setdefault(row["method"], {"positives": row["positives"], "negatives": row["negatives"]})
        if row["view"] == "all":
            method[row["metric"]] = {field: row[field] for field in ("value", "low", "high", "reason")}
        else:
            views = method.setdefault("views", {}).setdefault(row["view"], {})
            views[row["metric"]] = {field: row[field] for field in ("value", "low", "high", "reason")}
    return {
        "benchmark": name,
        "task": benchmark.task,
        "certificate": certificate,
        "methods": methods,
        "comparisons": table.table("comparisons").to_dicts(),
        "missing": table.document("missing"),
    }


def metrics_lines(document: Row) -> list[str]:
    """Return the metric table as lines of text."""
    certificate = document["certificate"]
    lines = [f"{document['benchmark']} ({document['task']})", certificate_words(certificate)[1], ""]
    width = max((len(name) for name in document["methods"]), default=6)
    lines.append("method".ljust(width) + "".join(f"  {name:<18}" for name in SHOWN_METRICS))
    for name, method in document["methods"].items():
        lines.append(name.ljust(width) + "".join(f"  {_cell(method.get(metric)):<18}" for metric in SHOWN_METRICS))
    lines += ["", *(f"missing: {item}" for item in document["missing"])]
    return [line.rstrip() for line in lines]


def damage_in(home: Home) -> tuple[int, list[str]]:
    """Return how many stored files were hashed again, and one line for each that is not what was published."""
    checked, damaged = 0, [str(path) for path in home.store.unreadable()]
    for artifact in home.store.objects():
        for name in artifact.manifest["files"]:
            checked += 1
            try:
                artifact.path(name)
            except CorruptArtifactError as error:
                damaged.append(str(error))
    return checked, damaged


def _unplanned(home: Home, name: str, task: str, note: str) -> Row:
    unknown = {"models": [], "fresh": 0, "partitions": 0}
    return {"benchmark": name, "task": task, **unknown, "report": _report_path(home, name), "note": note}


def _report_path(home: Home, name: str) -> str | None:
    """Return where the report is; one that cannot be read is none, as `ab-assets plan` says."""
    try:
        report = home.store.current(Ref("report", name))
    except CorruptArtifactError:
        return None
    return str(report.folder / "report.html") if report else None


def _cell(value: Row | None) -> str:
    if value is None or value["value"] is None:
        return "-"
    if value["low"] is None:
        return f"{value['value']:.3f}"
    return f"{value['value']:.3f} [{value['low']:.2f}, {value['high']:.2f}]"


def _needs(spec: ModelSpec) -> str:
    needs = spec.needs
    if not needs.gpus or not needs.gpu_memory_gib:
        return f"{needs.memory_gib:g} GiB"
    times = f"{needs.gpus} x " if needs.gpus > 1 else ""
    return f"{times}{needs.gpu_memory_gib:g} GiB GPU, {needs.precision}"


def _bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _size(parameters: int) -> str:
    return f"{parameters / 1e9:.1f} B" if parameters >= 1e9 else f"{parameters / 1e6:.0f} M"
