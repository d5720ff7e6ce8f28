"""Source rows become antibodies: cleaned, numbered, labelled, deduplicated, and every row accounted for.

Nothing here depends on which chains a benchmark looks at, so benchmarks over the same files share the result.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from ab_assets.datasets.annotations import joined_annotations
from ab_assets.datasets.imgt import cdrh3_of
from ab_assets.datasets.labels import read_labels
from ab_assets.datasets.readers.layouts import column_of, column_of_chain
from ab_assets.datasets.readers.source import SourceTable
from ab_assets.datasets.rejection import Sieve, join_rejected
from ab_assets.datasets.residues import clean_cdrh3, clean_chain
from ab_assets.datasets.spool import Spool
from ab_assets.progress import Progress, silent
from ab_assets.tables import CURATED, conform

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ab_assets.benchmarks.schema import Benchmark
    from ab_assets.datasets.numbering import Numbering


COUNTS = ("source_rows", "kept_source_rows", "rows", "merged_duplicates", "unlabelled", "positives", "negatives")


@dataclass(frozen=True, slots=True)
class Curation:
    """Antibodies (CURATED, sorted by row_id; on disk where there was a spool), rejected source rows, and counts.

    counts: source_rows = kept_source_rows + the sum of rejected {reason: rows}; rows (antibodies) + merged_duplicates =
    antibodies as written; unlabelled antibodies; positives and negatives (paratope: residues, else antibodies).
    """

    antibodies: pl.LazyFrame
    rejected: pl.DataFrame
    counts: dict[str, Any]

    @property
    def rows(self) -> pl.DataFrame:
        """The antibodies, in memory."""
        return self.antibodies.collect()


def curate(
    source: SourceTable | Iterable[SourceTable],
    benchmark: Benchmark,
    *,
    numbering: Numbering | None,
    progress: Progress = silent,
    spool: Path | None = None,
) -> Curation:
    """Return the antibodies of `source`, what was rejected and why, and counts that balance.

    Positions and CDR-H3 given by the data win: only chains that come without are numbered (for antigen specificity,
    heavy chains without either). A heavy chain without a CDR-H3 is rejected, because the bound on it could not be
    checked. With `numbering` None nothing is numbered and CDR-H3 may stay unknown: what is wanted for quick checks, and
    for antibodies that are only to be scored.

    `source` may come in chunks. With an empty folder as `spool` no more than a chunk, or a sixteenth of all rows, is in
    memory at a time, and the result can be read as long as the folder is there.
    """
    cleaned = Spool(spool)
    rejected: list[pl.DataFrame] = []
    counts: Counter[str] = Counter()
    for chunk in [source] if isinstance(source, SourceTable) else source:
        counts["source_rows"] += chunk.source_rows
        sieve = _cleaned(chunk, benchmark, numbering, progress)
        rejected += [chunk.rejected, sieve.rejected]
        cleaned.put(sieve.rows)
    parts = [CURATED.to_frame().lazy()]
    for bucket in cleaned.buckets():
        sieve = Sieve(bucket)
        _settle_conflicts(sieve, benchmark)
        rows = _merged(sieve.rows)
        rejected.append(sieve.rejected)
        counts += _counted(sieve.rows, rows, benchmark)
        parts.append(cleaned.keep(rows))
    table = join_rejected(rejected)
    by_reason = dict(table.group_by("reason").len().sort("reason").iter_rows())
    return Curation(pl.concat(parts), table, {name: counts[name] for name in COUNTS} | {"rejected": by_reason})


def _cleaned(chunk: SourceTable, benchmark: Benchmark, numbering: Numbering | None, progress: Progress) -> Sieve:
    sieve = Sieve(chunk.rows)
    for chain in ("vh", "vl"):
        clean_chain(sieve, chain, benchmark)
    sieve.reject(
        pl.col("vh").is_null() & pl.col("vl").is_null(),
        reason="no-sequence",
        column=column_of_chain(benchmark, "vh"),
        value=pl.lit(None),
        detail="neither a heavy nor a light chain",
    )
    _label(sieve, benchmark)
    _read_cdrh3(sieve, benchmark)
    if numbering is not None:
        for chain in ("vh", "vl") if benchmark.task == "paratope" else ("vh",):
            _number(sieve, chain, benchmark, numbering, progress)
    _find_cdrh3(sieve, benchmark, required=numbering is not None)
    sieve.rows = _with_row_id(sieve.rows, benchmark)
    return sieve


def _label(sieve: Sieve, benchmark: Benchmark) -> None:
    positive, negative = benchmark.label_values
    label, undeclared = read_labels(sieve.rows["label"], positive=positive, negative=negative)
    sieve.rows = sieve.rows.with_columns(
        pl.col("label").alias("written_label"), label.alias("label"), undeclared.alias("undeclared")
    )
    sieve.reject(
        pl.col("undeclared"),
        reason="undeclared-label",
        column=column_of(benchmark, "label"),
        value="written_label",
        detail=f"expected {', '.join(positive)} (positive) or {', '.join(negative)} (negative)",
    )


def _number(sieve: Sieve, chain: str, benchmark: Benchmark, numbering: Numbering, progress: Progress) -> None:
    unknown = pl.col(f"{chain}_positions").is_null()
    if benchmark.task == "antigen-specificity":
        unknown &= pl.col("cdrh3").is_null()
    sieve.rows = sieve.rows.with_columns(pl.when(unknown).then(chain).alias("unnumbered"))
    sequences = sieve.rows["unnumbered"].drop_nulls().unique(maintain_order=True).to_list()
    if not sequences:
        sieve.rows = sieve.rows.drop("unnumbered")
        return
    results = numbering.number(sequences, progress=progress)
    table = pl.DataFrame(
        {
            "unnumbered": sequences,
            "reason": [results[sequence].reason_against(chain) for sequence in sequences],
            "failure": [results[sequence].failure for sequence in sequences],
            "numbered": [results[sequence].positions for sequence in sequences],
        },
        schema={"unnumbered": pl.String, "reason": pl.String, "failure": pl.String, "numbered": pl.List(pl.String)},
    )
    sieve.rows = sieve.rows.join(table, on="unnumbered", how="left", maintain_order="left")
    for reason in table["reason"].drop_nulls().unique().sort():
        sieve.reject(
            pl.col("reason") == reason,
            reason=reason,
            column=column_of_chain(benchmark, chain),
            value=chain,
            detail=pl.col("failure").fill_null(f"this is a V domain of another chain than {chain}"),
        )
    positions = f"{chain}_positions"
    sieve.rows = sieve.rows.with_columns(pl.coalesce(positions, "numbered").alias(positions)).drop(
        "unnumbered", "reason", "failure", "numbered"
    )


def _read_cdrh3(sieve: Sieve, benchmark: Benchmark) -> None:
    sieve.rows = clean_cdrh3(sieve.rows).with_columns(pl.when(pl.col("vh").is_not_null()).then("cdrh3").alias("cdrh3"))
    sieve.reject(
        ~pl.col("vh").str.contains(pl.col("cdrh3"), literal=True),
        reason="cdrh3-mismatch",
        column=column_of(benchmark, "cdrh3"),
        value="cdrh3",
        detail="the heavy chain does not contain it; a column with C104 and W118 must have junction in its name",
    )


def _find_cdrh3(sieve: Sieve, benchmark: Benchmark, *, required: bool) -> None:
    known = zip(*(sieve.rows[name] for name in ("vh", "vh_positions", "cdrh3")), strict=True)
    found = [
        cdrh3_of(vh, positions.to_list()) if cdrh3 is None and vh is not None and positions is not None else cdrh3
        for vh, positions, cdrh3 in known
    ]
    sieve.rows = sieve.rows.with_columns(pl.Series("cdrh3", found, dtype=pl.String))
    if required:
        sieve.reject(
            pl.col("vh").is_not_null() & pl.col("cdrh3").is_null(),
            reason="no-cdrh3",
            column=column_of_chain(benchmark, "vh_positions"),
            value="vh",
            detail="no residue of the heavy chain is known to be at IMGT 105-117",
        )


def _with_row_id(rows: pl.DataFrame, benchmark: Benchmark) -> pl.DataFrame:
    """Add `row_id`: what makes an antibody distinct, joined by "|" and digested.

    That is vh|vl; for paratopes entry|vh|vl|labels of vh|labels of vl, since one antibody may be in several complexes.
    The part of a published split or test file is appended, so that a leak between parts stays visible.
    """
    names = ["vh", "vl"]
    if benchmark.task == "paratope":
        names = ["entry", "vh", "vl", "vh_paratope", "vl_paratope"]
    antibodies = _by_antibody(rows)
    spelled = [
        pl.col(name).list.eval(pl.element().cast(pl.Int8).cast(pl.String)).list.join("")
        if isinstance(antibodies.schema[name], pl.List)
        else pl.col(name)
        for name in names
    ]
    identity = pl.concat_str(*(text.fill_null("") for text in spelled), separator="|")
    identity = pl.concat_str(identity, pl.col("part"), separator="|", ignore_nulls=True)
    texts = antibodies.select(identity.alias("identity"))["identity"]
    ids = [hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts]
    return rows.join(
        antibodies.select("antibody", pl.Series("row_id", ids, dtype=pl.String)),
        on="antibody",
        how="left",
        maintain_order="left",
    )


def _settle_conflicts(sieve: Sieve, benchmark: Benchmark) -> None:
    """Reject the rows of an antibody whose labels contradict each other: all of them, or under "majority" the fewer."""
    if benchmark.task == "paratope":
        return
    labels = sieve.rows.group_by("row_id").agg(
        (pl.col("label").sum() / pl.col("label").count()).alias("share"),
        pl.col("label").drop_nulls().n_unique().alias("kinds"),
    )
    split = labels.filter(pl.col("kinds") > 1)
    if split.is_empty():
        return
    said = (
        sieve.rows.join(split, on="row_id", how="semi", maintain_order="left")
        .group_by("row_id")
        .agg(pl.format("{} in {}:{}", "written_label", "file", "row").str.join("; ").alias("said"))
    )
    table = split.join(said, on="row_id", how="left")
    sieve.rows = sieve.rows.join(
        table.select("row_id", "share", "said"), on="row_id", how="left", maintain_order="left"
    )
    outvoted = pl.lit(value=True)
    if benchmark.curation.conflicts == "majority":
        outvoted = (pl.col("share") == 0.5) | (pl.col("label") != (pl.col("share") > 0.5))
    sieve.reject(
        pl.col("said").is_not_null() & outvoted,
        reason="conflicting-labels",
        column=column_of(benchmark, "label"),
        value="written_label",
        detail=pl.format("the same antibody is labelled {}", "said"),
    )
    sieve.rows = sieve.rows.drop("share", "said")


def _by_antibody(rows: pl.DataFrame) -> pl.DataFrame:
    """Join the chains of each antibody, in file order; what both chains say is taken from the heavy one."""
    ordered = rows.sort("antibody", pl.col("vh").is_null(), maintain_order=True)
    return ordered.group_by("antibody", maintain_order=True).agg(_first_known(ordered.columns, ("antibody",)))


def _first_known(columns: list[str], keys: tuple[str, ...]) -> list[pl.Expr]:
    return [pl.col(name).drop_nulls().first() for name in columns if name not in keys]


def _merged(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per row_id: the first known value of each column, the earliest date, all sources and annotations."""
    ordered = rows.sort("antibody", pl.col("vh").is_null(), maintain_order=True).with_columns(
        pl.format("{}:{}", "file", "row").alias("sources"),
        pl.coalesce("sequence_id", "entry", pl.format("{}:{}", "file", "row")).alias("sequence_id"),
    )
    taken = _first_known(ordered.columns, ("row_id", "sources", "date", "annotations"))
    merged = ordered.group_by("row_id", maintain_order=True).agg(
        *taken, pl.col("date").min(), "sources", pl.col("annotations").drop_nulls().unique().sort()
    )
    merged = merged.with_columns(joined_annotations(merged["annotations"]))
    return conform(merged.select(name for name in CURATED if name in merged.columns), CURATED).sort("row_id")


def _counted(kept: pl.DataFrame, rows: pl.DataFrame, benchmark: Benchmark) -> Counter[str]:
    if benchmark.task == "paratope":
        labels = pl.concat([rows[name].explode().drop_nulls() for name in ("vh_paratope", "vl_paratope")])
        unlabelled = rows.filter(pl.col("vh_paratope").is_null() & pl.col("vl_paratope").is_null()).height
    else:
        labels = rows["label"].drop_nulls()
        unlabelled = rows["label"].null_count()
    return Counter(
        kept_source_rows=kept.height,
        rows=rows.height,
        merged_duplicates=kept["antibody"].n_unique() - rows.height,
        unlabelled=unlabelled,
        positives=int(labels.sum()),
        negatives=int((~labels).sum()),
    )
