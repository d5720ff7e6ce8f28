"""One report as one HTML file that opens anywhere, offline, and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from typing import TYPE_CHECKING

import polars as pl
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ab_assets.reports import balance, curves, diagnostics, figures, headline, notes, paratope, residue_map, tables, wording
from ab_assets.reports.report_data import ReportData
from ab_assets.reports.thumbnail import thumbnail_uri

if TYPE_CHECKING:
    from collections.abc import Mapping

    import plotly.graph_objects as go

    from ab_assets.reports.methods import Method

__all__ = ["ReportData", "render_report"]

CURVES_OFFERED = 12  # more lines than this fill a legend, not a mind
EXPLORATORY_METRIC = "AP"


def render_report(data: ReportData) -> str:
    """Return the whole report as one HTML document; equal data give equal bytes."""
    from plotly.offline import get_plotlyjs

    drawn = {name: figure for name, figure in _figures(data).items() if figure is not None}
    library = get_plotlyjs()
    program = _package_text("report.js")
    page = _environment().from_string(_package_text("template.html"))
    return page.render(
        data=data,
        benchmark=data.benchmark,
        style=Markup(_package_text("style.css")),
        plotly=Markup(library),
        program=Markup(program),
        hashes=[_digest(library), _digest(program)],
        figures=Markup(_script_json({name: json.loads(str(figure.to_json())) for name, figure in drawn.items()})),
        heights={name: figure.layout.height for name, figure in drawn.items()},
        **_content(data),
    )


def _package_text(name: str) -> str:
    return files("ab_assets.reports").joinpath(name).read_text(encoding="utf-8")
