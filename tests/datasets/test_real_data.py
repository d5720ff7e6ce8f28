"""The published data sets are read to the last row."""

import os
from pathlib import Path

import polars as pl
import pytest

from ab_assets.datasets.curation import curate
from ab_assets.datasets.imgt import cdrh3_of
from ab_assets.datasets.numbering import AnarciiNumbering
from ab_assets.datasets.readers import read_source
from ab_assets.datasets.selection import select_rows
from ab_assets.datasets.validation import problems_in

MIRROR = os.environ.get("AB_ASSETS_MIRROR", "")
pytestmark = [pytest.mark.real_data, pytest.mark.skipif(not MIRROR, reason="AB_ASSETS_MIRROR is not set")]

PARTS = {
    part: f"topefind_paragraph_{file}.parquet"
    for part, file in [("train", "train"), ("validation", "val"), ("test", "test")]
}
CHAINS = {"train": (1289, 651), "validation": (357, 180), "test": (359, 181)}


@pytest.fixture
def paragraph(chain_benchmark):
    columns = {
        "chain": "chain_type",
        "sequence": "antibody_sequence",
        "positions": "antibody_imgt",
        "paratope": "full_paratope_labels",
    }
    split = {"policy": "published", "certificate": "report", "parts": {part: [file] for part, file in PARTS.items()}}
    return chain_benchmark(PARTS.values(), columns=columns, split=split, chains="HL")


@pytest.fixture
def neutralisation(table_benchmark):
    return table_benchmark(["derived_deepaai_sarscov2_paired.csv"], columns={"sequence_id": "id"}, chains="HL")


def test_every_paratope_chain_is_accounted_for(paragraph, fake_numbering):
    curation = curate(read_source(paragraph, Path(MIRROR)), paragraph, numbering=fake_numbering)
    assert fake_numbering.asked == []
    assert curation.counts["rejected"] == {}
    chains = curation.rows.explode("sources").group_by("part").len()
    assert dict(chains.iter_rows()) == {part: count for part, (count, _) in CHAINS.items()}
    assert dict(curation.rows.group_by("part").len().iter_rows()) == {
        part: count for part, (_, count) in CHAINS.items()
    }


def test_paratope_labels_stay_with_their_residues(paragraph):
    rows = curate(read_source(paragraph, Path(MIRROR)), paragraph, numbering=None).rows
    raw = pl.read_parquet(Path(MIRROR) / PARTS["test"])
    for chain, kind in (("vh", "heavy"), ("vl", "light")):
        fields = [chain, f"{chain}_positions", f"{chain}_paratope"]
        kept = rows.filter(pl.col("part") == "test").select("entry", *fields).drop_nulls(chain).sort("entry")
        published = raw.filter(chain_type=kind).sort("pdb")
        published = published.select("pdb", "antibody_sequence", "antibody_imgt", "full_paratope_labels")
        assert kept.rows() == published.rows()


def test_entries_without_a_partner_stay_since_each_chain_is_scored_by_itself(paragraph):
    rows = curate(read_source(paragraph, Path(MIRROR)), paragraph, numbering=None).rows
    selection = select_rows(rows, paragraph)
    assert selection.removed.height == 0
    assert selection.rows["vh"].null_count() == 13
    assert selection.rows["vl"].null_count() == 6


def test_published_data_pass_validation(paragraph, neutralisation):
    assert problems_in(paragraph, Path(MIRROR)) == []
    assert problems_in(neutralisation, Path(MIRROR)) == []


def test_repeated_heavy_chains_of_the_neutralisation_set_are_resolved(neutralisation):
    curation = curate(read_source(neutralisation, Path(MIRROR)), neutralisation, numbering=None)
    assert (curation.counts["rows"], curation.counts["positives"]) == (2841, 1643)
    heavy = select_rows(curation.rows, neutralisation.model_copy(update={"chains": "H"}))
    assert heavy.rows.height + heavy.removed.height == 2841
    assert dict(heavy.removed["reason"].value_counts().iter_rows()) == {
        "conflicting-labels": 37,
        "duplicate-chains": 39,
    }


def test_numbering_agrees_with_published_positions(paragraph, tmp_path):
    rows = curate(read_source(paragraph, Path(MIRROR)), paragraph, numbering=None).rows
    known = rows.filter(pl.col("part") == "test").drop_nulls("vh").head(40)
    results = AnarciiNumbering(tmp_path / "cache.sqlite", threads=1).number(known["vh"].to_list())
    agreeing = 0
    for vh, positions, cdrh3 in known.select("vh", "vh_positions", "cdrh3").iter_rows():
        assert cdrh3_of(vh, results[vh].positions) == cdrh3
        agreeing += results[vh].positions == tuple(positions)
    assert agreeing >= 36
