"""report: one HTML file, and its tables for a spreadsheet."""

from dagster import AssetExecutionContext, MaterializeResult, multi_asset

from ab_assets.artifacts.store import Artifact, Draft, Ref
from ab_assets.exports import export_csv
from ab_assets.plan import missing_models
from ab_assets.reports.gathering import gather
from ab_assets.reports.report import render_report
from ab_assets.reports.thumbnail import thumbnail_uri
from resources.home import HomeResource, Making, Metadata, markdown
from resources.specs import asset_spec


@multi_asset(name="render_report", specs=[asset_spec("report")])  # a job is called report already
def report(context: AssetExecutionContext, config: Making, home: HomeResource) -> MaterializeResult:
    """Opens anywhere, offline."""
    ref = Ref("report", context.partition_key)
    here, missing = home.home, missing_models(home.home, ref)

    def build(draft: Draft) -> None:
        data = gather(here.store, here.benchmark(ref.benchmark), here.catalogue(), without=list(missing))
        draft.path("report.html").write_text(render_report(data), encoding="utf-8")
        for name in ("scores", "comparisons"):
            table = getattr(data, name)
            draft.table(name, table)
            draft.path(f"{name}.csv").write_text(export_csv(table), encoding="utf-8")
        draft.metadata = {"methods": data.scores["method"].n_unique(), "missing": list(data.missing)}

    return home.make(ref, build, _shown, force=config.force)


def _shown(artifact: Artifact) -> Metadata:
    picture = thumbnail_uri(artifact.table("scores"))
    return {"report": str(artifact.path("report.html")), "picture": markdown(f"![scores]({picture})")}


SHOWN = {"report": _shown}
