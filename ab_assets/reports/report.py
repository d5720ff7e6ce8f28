"""One report as one HTML file that opens anywhere, offline, and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ab_assets.reports import balance, headline, notes, tables, wording
from ab_assets.reports.chance import prevalence
from ab_assets.reports.curves import calibration_figure, curve_figure
from ab_assets.reports.diagnostics import attention_figure, leakage_figure, training_figure
from ab_assets.reports.figures import comparison_figure, score_figure
from ab_assets.reports.ladder import ladder_figure, ladder_table, ladder_words
from ab_assets.reports.methods import describe
from ab_assets.reports.paratope import position_figure, region_figure, regions_in
from ab_assets.reports.report_data import ReportData
from ab_assets.reports.residue_map import STATES, residue_map
from ab_assets.reports.thumbnail import thumbnail_uri

if TYPE_CHECKING:
    from collections.abc import Mapping

    import plotly.graph_objects as go

    from ab_assets.benchmarks.schema import Benchmark
    from ab_assets.reports.methods import Method

__all__ = ["ReportData", "render_report"]

CURVES_OFFERED = 12  # more lines than this fill a legend and help nobody
NO_CURVE = frozenset({"majority"})  # one score for all: its curve is the line of chance


def render_report(data: ReportData) -> str:
    """Return the whole report as one HTML document; equal data give equal text."""
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - loaded by who draws, not by who imports

    drawn = {name: figure for name, figure in _figures(data).items() if figure is not None}
    library = get_plotlyjs()
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["csp"] = _script_digest
    return environment.from_string(_package_text("template.html")).render(
        data=data,
        benchmark=data.benchmark,
        style=Markup(_package_text("style.css")),  # noqa: S704 - our own file
        plotly=Markup(library),  # noqa: S704 - the library as published
        specifications=_script_json({name: json.loads(str(figure.to_json())) for name, figure in drawn.items()}),
        heights={name: int(figure.layout.height) for name, figure in drawn.items()},
        thumbnail=thumbnail_uri(data.scores, data.titles),
        **_headline(data),
        **_results(data),
        **_background(data),
    )


def _package_text(name: str) -> str:
    return files("ab_assets.reports").joinpath(name).read_text(encoding="utf-8")


def _script_digest(script: str) -> str:
    """Return the source expression by which a content security policy allows exactly this inline script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _script_json(value: object) -> Markup:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


def _curve_methods(data: ReportData) -> list[Method]:
    return [m for m in data.methods if m.group != "control" and m.name not in NO_CURVE][:CURVES_OFFERED]


def _region_methods(data: ReportData) -> list[Method]:
    """Return the best fine-tuned and the best probed method, then the baselines that are no constants."""
    models = [m for m in data.methods if m.group == "model"]
    best = [next((m for m in models if m.arm == arm), None) for arm in ("fine-tuned", "frozen-probe")]
    baselines = [m for m in data.methods if m.group == "baseline" and m.name not in NO_CURVE]
    return [m for m in best if m is not None] + baselines


def _figures(data: ReportData) -> dict[str, go.Figure | None]:
    shown = _curve_methods(data)
    lead = headline.leading(data)
    paratope = data.benchmark.task == "paratope"
    drawn = {
        "scores": score_figure(data.scores, data.titles),
        "comparisons": comparison_figure(data.comparisons, data.titles),
        "regions": region_figure(data.scores, _region_methods(data)) if paratope else None,
        "positions": position_figure(data.predictions, lead) if paratope and lead else None,
        "curves": curve_figure(data.predictions, shown, prevalence=prevalence(data.scores)),
        "calibration": calibration_figure(data.predictions, shown),
        "leakage": leakage_figure(data.nearest, data.bounds),
        "ladder": ladder_figure(data.ladder),
        "training": training_figure(data.histories, data.titles),
    }
    return drawn | {f"attention-{place}": attention_figure(t) for place, t in enumerate(data.attention.values())}


def _headline(data: ReportData) -> dict[str, object]:
    return {
        "answer": headline.answer(data),
        "banners": headline.banners(data),
        "facts": headline.facts(data),
        "lead": headline.leading(data),
    }


def _results(data: ReportData) -> dict[str, object]:
    regions = {f"region:{region}": wording.REGION_NAMES[region] for region in regions_in(data.scores)}
    present = set(data.scores["view"].unique().to_list())
    chains = {"per-chain": "Mean per chain", "chain:vh": "Heavy chain", "chain:vl": "Light chain"}
    views = regions | {view: heading for view, heading in chains.items() if view in present}
    return {
        "score_table": tables.score_table(data.scores, data.titles),
        "view_tables": [
            (wording.METRICS[metric], tables.view_table(data.scores, data.titles, views=views, metric=metric))
            for metric in ("ap", "mcc", "auroc")
            if views and metric in data.scores["metric"].unique().to_list()
        ],
        "spreads": tables.spreads(data.scores, data.titles),
        "primary": tables.difference_matrix(data.comparisons, data.titles),
        "exploratory": [
            d for d in tables.differences(data.comparisons, data.titles, family="exploratory") if d.metric == "AP"
        ],
        "baseline_in_sentence": wording.in_sentence(describe(data.benchmark.primary_baseline, {}).label),
        "residue_maps": residue_map(data.residues) if data.residues is not None else (),
        "residue_states": STATES,
        "residues_label": describe(data.residues_method, data.titles).label,
    }


def _background(data: ReportData) -> dict[str, object]:
    return {
        "accounts": balance.accounts(data),
        "fit_sizes": balance.fit_sizes(data),
        "closeness": headline.closeness(data),
        "ladder": ladder_table(data.ladder, data.rungs),
        "ladder_words": ladder_words(data.ladder, data.left_out),
        "attention_titles": [data.titles.get(name, name) for name in data.attention],
        "corrections": notes.corrections(data),
        "method_notes": notes.method_notes(data),
        "models": [_model(model) for model in data.models],
        "commands": _commands(data.benchmark),
        "provenance": _provenance(data.provenance),
        "count": wording.count,
    }


def _commands(benchmark: Benchmark) -> str:
    """Return the commands that make this report again, each with a remark, in two columns."""
    name = benchmark.name
    source = (
        (f"ab-assets fetch {name}", "the source files, checked by sha256")
        if benchmark.source.download
        else ("ab-assets add DIR", f"the folder {name} with benchmark.toml and the source files")
    )
    commands = (
        source,
        (f"ab-assets materialize {name}", "everything that is not there yet"),
        (f"ab-assets metrics {name} --json", "these numbers"),
        (f"ab-assets report {name}", "the path of this page"),
        ("ab-assets verify", "every stored file against its digest"),
    )
    width = max(len(command) for command, _ in commands)
    return "\n".join(f"{command:<{width}}  # {remark}" for command, remark in commands)


def _model(model: Mapping[str, object]) -> dict[str, str]:
    """Return one model as text, its parameters as a rounded number of millions where they are a number."""
    shown = {key: str(model.get(key) or "") for key in ("name", "title", "parameters", "licence", "revision")}
    parameters = model.get("parameters")
    if isinstance(parameters, int | float):
        shown["parameters"] = f"{parameters / 1e6:,.1f} million"
    return shown | {"title": shown["title"] or shown["name"]}


def _provenance(provenance: Mapping[str, object]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return headings with their entries; single values are gathered under the first heading."""
    single = [(name, str(value)) for name, value in provenance.items() if not hasattr(value, "items")]
    grouped = [
        (name, [(str(key), str(entry)) for key, entry in value.items()])
        for name, value in provenance.items()
        if hasattr(value, "items")
    ]
    return ([("Made by", single)] if single else []) + grouped
