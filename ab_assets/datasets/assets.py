"""raw_dataset and curated_dataset."""

import shutil
import tempfile
from pathlib import Path

from dagster import AssetCheckResult, AssetExecutionContext, MaterializeResult, asset

from ab_assets.artifacts.store import Artifact, Draft, Ref
from ab_assets.datasets.curation import curate
from ab_assets.datasets.numbering import AnarciiNumbering
from ab_assets.datasets.readers import read_chunks
from ab_assets.datasets.validation import problems_in
from ab_assets.errors import BadInputError, InvalidBenchmarkError
from ab_assets.partitions import CONTENT
from ab_assets.plan import question_now, source_digests
from resources.compute import Reporting
from resources.home import HomeResource, Making, Metadata, markdown, preview
from resources.specs import asset_arguments, check_spec

_SOURCES = "files"


@asset(**asset_arguments("raw_dataset"))
def raw_dataset(context: AssetExecutionContext, config: Making, home: HomeResource) -> MaterializeResult:
    """Published only when `ab-assets validate` has nothing to say."""
    ref = Ref("raw_dataset", context.partition_key)
    benchmark, folder = home.home.benchmark(ref.benchmark), home.home.folder(ref.benchmark)
    asked = question_now(home.home, ref)
    if asked.fingerprint != context.run.tags.get(CONTENT, asked.fingerprint):
        raise _changed(folder, "since this run was asked for")
    if problems := problems_in(benchmark, folder):
        raise InvalidBenchmarkError(name=benchmark.name, problems=problems)

    def build(draft: Draft) -> None:
        for name in benchmark.source.received:
            shutil.copyfile(folder / name, draft.path(f"{_SOURCES}/{name}"))
        if source_digests(benchmark, draft.folder / _SOURCES) != asked.inputs:
            raise _changed(folder, "while they were read")
        draft.metadata = {"files": len(benchmark.source.received), "licence": benchmark.source.licence}

    return home.make(ref, build, force=config.force)


@asset(
    **asset_arguments("curated_dataset"),
    check_specs=[
        check_spec("counts_balance", "curated_dataset", "Every source row is kept, or rejected with a reason."),
    ],
)
def curated_dataset(
    context: AssetExecutionContext, config: Making, home: HomeResource, reporting: Reporting
) -> MaterializeResult:
    """One table for every later stage."""
    ref = Ref("curated_dataset", context.partition_key)
    benchmark, progress = home.home.benchmark(ref.benchmark), reporting.progress(context.log)

    def build(draft: Draft) -> None:
        raw = home.artifact("raw_dataset", ref.benchmark)
        source = read_chunks(benchmark, raw.subfolder(_SOURCES))
        numbering = AnarciiNumbering(home.home.cache / "numbering.sqlite")
        home.home.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.home.cache) as spool:
            curation = curate(source, benchmark, numbering=numbering, progress=progress, spool=Path(spool))
            draft.table("antibodies", curation.antibodies)
        draft.table("rejected", curation.rejected)
        draft.metadata = dict(curation.counts)

    return home.make(ref, build, _shown, force=config.force, check=_counts_balance)


def _changed(folder: Path, when: str) -> BadInputError:
    return BadInputError(what=f"the source files changed {when}", where=str(folder), hint="Run it again.")


def _shown(artifact: Artifact) -> Metadata:
    head = artifact.scan("antibodies").select("row_id", "sequence_id", "vh", "vl", "cdrh3", "label").head(5).collect()
    return {
        "head": markdown(preview(head)),
        "rejected_head": markdown(preview(artifact.scan("rejected").head(10).collect())),
    }


def _counts_balance(artifact: Artifact) -> AssetCheckResult:
    counts = artifact.metadata
    rejected = sum(counts["rejected"].values())
    return AssetCheckResult(
        check_name="counts_balance",
        asset_key="curated_dataset",
        passed=counts["source_rows"] == counts["kept_source_rows"] + rejected,
        metadata={"source_rows": counts["source_rows"], "kept": counts["kept_source_rows"], "rejected": rejected},
    )


SHOWN = {"curated_dataset": _shown}
CHECKED = {"curated_dataset": _counts_balance}
