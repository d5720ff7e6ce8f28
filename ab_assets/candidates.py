"""New antibodies scored by the fits of one model, with how far each is from anything it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from ab_assets.artifacts.store import Ref
from ab_assets.datasets.curation import curate
from ab_assets.datasets.readers import read_source
from ab_assets.datasets.readers.candidates import as_candidates
from ab_assets.datasets.selection import select_rows
from ab_assets.errors import BadInputError
from ab_assets.evaluation.candidates import CANDIDATE_SCORES, call_candidates
from ab_assets.exports import export_csv
from ab_assets.products import products_for
from ab_assets.splits.identity import Kind, pairwise_maximum
from ab_assets.tables import CANDIDATES, REJECTED, conform
from ab_assets.training.products import CHECKPOINTS, fit_folder

if TYPE_CHECKING:
    from pathlib import Path

    from ab_assets.artifacts.store import Draft
    from ab_assets.benchmarks.schema import Benchmark
    from ab_assets.home import Home
    from ab_assets.progress import Progress
    from ab_assets.training.products import ModelProducts


@dataclass(frozen=True, slots=True)
class ScoredCandidates:
    """table: CANDIDATES. rejected: REJECTED, the rows of the file that could not be read as antibodies."""

    table: pl.DataFrame
    rejected: pl.DataFrame


def draw_up_candidates(home: Home, products: ModelProducts, draft: Draft) -> None:
    """Write the benchmark's unlabelled antibodies and those of its candidate files, scored, into the draft."""
    benchmark = products.benchmark
    files = [home.folder(benchmark.name) / name for name in benchmark.candidates.files]
    scored = [_scored_file(home, products, file) for file in files]
    unlabelled = select_rows(products.curated, benchmark).unlabelled
    own = [_called(home, products, unlabelled)] if unlabelled.height else []
    table = pl.concat([CANDIDATES.to_frame(), *own, *(one.table for one in scored)])
    rejected = pl.concat([REJECTED.to_frame(), *(one.rejected for one in scored)])
    draft.table("candidates", table)
    draft.table("rejected", rejected)
    draft.path("candidates.csv").write_text(export_csv(table), encoding="utf-8")
    outside = int(table["out_of_domain"].sum())
    draft.metadata = {
        "candidates": table.height,
        "unlabelled_rows": unlabelled.height,
        "out_of_domain": outside,
        "rejected": rejected.height,
        "trunk_passes": products.session.trunk_passes,
    }


def score_candidates(home: Home, benchmark: Benchmark, model: str, path: Path, progress: Progress) -> ScoredCandidates:
    """Return the antibodies in `path` scored by every fit of `model` on true labels.

    Probability and threshold are means over fits. Raises BadInputError when the file holds no antibody with the
    chains the benchmark looks at, MissingArtifactError when the model was not evaluated yet.
    """
    return _scored_file(home, products_for(home, benchmark, model, progress), path)


def _scored_file(home: Home, products: ModelProducts, path: Path) -> ScoredCandidates:
    benchmark = products.benchmark
    over = as_candidates(benchmark, path)
    curation = curate(read_source(over, path.parent), over, numbering=None)
    present = [pl.col(chain).is_not_null() for chain in benchmark.chain_names]
    whole = pl.any_horizontal(present) if benchmark.task == "paratope" else pl.all_horizontal(present)
    as_in_the_file = pl.col("sources").list.first().str.extract(r":(\d+)$").cast(pl.Int64)
    rows = curation.rows.filter(whole).sort(as_in_the_file)
    if not rows.height:
        raise BadInputError(
            what=f"there is no antibody with the chains {benchmark.chains} in it",
            where=str(path),
            found=f"{curation.counts['source_rows']} rows, rejected: {curation.counts['rejected'] or 'none'}",
            hint="Name the columns as in the benchmark, or vh and vl.",
        )
    return ScoredCandidates(_called(home, products, rows), curation.rejected)


def _called(home: Home, products: ModelProducts, rows: pl.DataFrame) -> pl.DataFrame:
    """Return CANDIDATES for CURATED rows, in their order."""
    thresholds = products.artifact("model_metrics").table("thresholds").filter(pl.col("method") == "fine-tuned")
    scores, nearest = _scores(products, rows), _nearest(products, rows)
    return call_candidates(scores, thresholds, nearest, _nearest_of_tests(home, products.benchmark))


def _scores(products: ModelProducts, rows: pl.DataFrame) -> pl.DataFrame:
    checkpoint = products.artifact(CHECKPOINTS["true"])
    parts = []
    for fit, seed in products.fits:
        scored = products.session.predict_fit(checkpoint.subfolder(fit_folder(fit, seed)), rows)
        frame = rows.select("row_id", "sequence_id", "vh", "vl")
        if products.benchmark.task == "paratope":
            for chain in products.benchmark.chain_names:
                residues = scored.filter(pl.col("chain") == chain).sort("row_id", "residue")
                lists = residues.group_by("row_id", maintain_order=True).agg(
                    pl.col("score").alias(f"{chain}_probabilities")
                )
                frame = frame.join(lists, on="row_id", how="left", maintain_order="left")
        else:
            probability = scored.select("row_id", pl.col("score").alias("probability"))
            frame = frame.join(probability, on="row_id", how="left", maintain_order="left")
        numbered = frame.with_columns(pl.lit(fit).alias("fit"), pl.lit(seed, dtype=pl.Int64).alias("seed"))
        parts.append(conform(numbered, CANDIDATE_SCORES))
    return pl.concat(parts)


def _nearest(products: ModelProducts, rows: pl.DataFrame) -> pl.DataFrame:
    """Return (row_id, nearest_identity, nearest_row_id) over every row that any fit trained on; VL where no VH is."""
    trained = products.roles.filter(pl.col("role") == "train").select("row_id").unique()
    known = products.rows.join(trained, on="row_id", how="semi").sort("row_id")
    found = []
    kinds: tuple[Kind, ...] = ("vh", "vl")
    for chain in kinds:
        part = rows.filter(pl.col("vh").is_not_null() if chain == "vh" else pl.col("vh").is_null())
        nearest = pairwise_maximum(part[chain].to_list(), known[chain].to_list(), kind=chain)
        names = [known["row_id"][int(target)] if target >= 0 else None for target in nearest.target]
        columns = {"row_id": part["row_id"], "nearest_identity": nearest.identity, "nearest_row_id": names}
        found.append(pl.DataFrame(columns, schema_overrides={"nearest_row_id": pl.String}))
    return pl.concat(found)


def _nearest_of_tests(home: Home, benchmark: Benchmark) -> pl.Series:
    nearest = home.store.require(Ref("split", benchmark.name)).table("nearest")
    chain = "vl" if benchmark.chains == "L" else "vh"
    return nearest.filter((pl.col("role") == "test") & (pl.col("by") == chain))["identity"]
