"""One stage of the product on the table of a folder, as its assets call it.

usage: python -m benches.our_stages STAGE FOLDER [ROWS]
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from ab_assets.benchmarks.schema import Benchmark
from ab_assets.datasets.curation import curate as curated
from ab_assets.datasets.imgt import cdrh3_of
from ab_assets.datasets.numbering import AnarciiNumbering
from ab_assets.datasets.readers import read_chunks
from ab_assets.datasets.selection import select_rows
from ab_assets.datasets.simulation import simulate_specificity
from ab_assets.splits.certificate import certify as certified
from ab_assets.splits.clusters import mmseqs_clusters
from ab_assets.splits.graph import similarity_graph
from ab_assets.splits.policies import make_split

WORKERS = 2
SEED = 1
# One row in a hundred comes twice, one in two hundred twice with the other label.
REPEATED, CONTRADICTED = 100, 200
NUMBERED = 1000
BENCHMARK = {
    "name": "simulated",
    "task": "antigen-specificity",
    "chains": "HL",
    "source": {"files": ["antibodies.csv"]},
    "columns": {
        "sequence_id": "id", "vh": "heavy", "vl": "light", "cdrh3": "cdrh3", "label": "binds", "positive": ["yes"],
        "negative": ["no"],
    },
    "split": {"identity": {"vh": 0.9, "cdrh3": 0.8}, "folds": 5, "fits": 1, "max_removed": 1.0},
}  # fmt: skip


def data(folder: Path, rows: int) -> None:
    """Write antibodies.csv: `rows` simulated pairs, and copies of some of them."""
    drawn = simulate_specificity(SEED, rows)
    numbered = zip(drawn["heavy"], drawn["heavy_imgt"], strict=True)
    loops = [cdrh3_of(heavy, positions.split(" ")) for heavy, positions in numbered]
    table = drawn.select(pl.col("sequence_id").alias("id"), "heavy", "light", pl.Series("cdrh3", loops), "binds")
    other = pl.when(pl.col("binds") == "yes").then(pl.lit("no")).otherwise(pl.lit("yes"))
    again = [table.gather_every(REPEATED), table.gather_every(CONTRADICTED, 1).with_columns(binds=other)]
    copies = pl.concat(again).with_columns(id=pl.col("id") + "-again")
    pl.concat([table, copies]).write_csv(folder / "antibodies.csv")


def curate(folder: Path) -> None:
    """Write antibodies.parquet."""
    spool = folder / "spool"
    spool.mkdir()
    numbering = AnarciiNumbering(folder / "numbering.sqlite", threads=WORKERS)
    source = read_chunks(_benchmark(), folder)
    curated(source, _benchmark(), numbering=numbering, spool=spool).rows.write_parquet(folder / "antibodies.parquet")


def graph(folder: Path) -> None:
    """Write edges.parquet, without clusters."""
    found = similarity_graph(_rows(folder), _benchmark().split.identity, cluster=_alone, workers=WORKERS)
    found.edges.write_parquet(folder / "edges.parquet")
    sys.stdout.write(f"{found.summary}\n")


def cluster(folder: Path) -> None:
    """Make the clusters."""
    sys.stdout.write(f"{len(set(mmseqs_clusters(_rows(folder)).values()))} clusters\n")


def split(folder: Path) -> None:
    """Write roles.parquet."""
    made = make_split(_rows(folder), pl.read_parquet(folder / "edges.parquet"), _benchmark())
    made.roles.write_parquet(folder / "roles.parquet")
    sys.stdout.write(f"{made.summary}\n")


def certify(folder: Path) -> None:
    """Write over.txt: how many test and validation rows reach a bound."""
    _certified(folder, pl.read_parquet(folder / "roles.parquet"), "over.txt")


def certify_by_hand(folder: Path) -> None:
    """Write over-by-hand.txt: the same of the division made by hand."""
    roles = pl.read_csv(folder / "by-hand-roles.csv", schema={"id": pl.String, "role": pl.String})
    named = _rows(folder).select("row_id", id="sequence_id").join(roles, on="id")
    roles = named.select(pl.lit(0, pl.Int64).alias("fit"), "row_id", "role", pl.lit(0, pl.Int64).alias("fold"))
    _certified(folder, roles, "over-by-hand.txt")


def number(folder: Path) -> None:
    """Number the first heavy chains, none of which is known."""
    chains = pl.read_csv(folder / "antibodies.csv")["heavy"].unique(maintain_order=True).head(NUMBERED)
    results = AnarciiNumbering(folder / "numbered.sqlite", threads=WORKERS).number(chains.to_list())
    lost = sum(result.failure is not None for result in results.values())
    sys.stdout.write(f"{len(results)} sequences, {lost} without an answer\n")


def _certified(folder: Path, roles: pl.DataFrame, name: str) -> None:
    certificate = certified(_rows(folder), roles, _benchmark().split, workers=WORKERS)
    held = roles.filter(pl.col("role") != "train").height
    (folder / name).write_text(f"{certificate.over} of {held}", encoding="ascii")


def _benchmark() -> Benchmark:
    return Benchmark.model_validate(BENCHMARK)


def _rows(folder: Path) -> pl.DataFrame:
    return select_rows(pl.read_parquet(folder / "antibodies.parquet"), _benchmark()).rows


def _alone(rows: pl.DataFrame) -> dict[str, str]:
    return {name: name for name in rows["row_id"]}


STAGES = {
    "curate": curate, "graph": graph, "cluster": cluster, "split": split, "certify": certify,
    "certify-by-hand": certify_by_hand, "number": number,
}  # fmt: skip

if __name__ == "__main__":
    if sys.argv[1] == "data":
        data(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        STAGES[sys.argv[1]](Path(sys.argv[2]))
