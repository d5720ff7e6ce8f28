"""AIRR rearrangements become antibodies by cell, from amino-acid columns only."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import airr
import polars as pl
import pytest

from ab_assets.datasets.curation import curate
from ab_assets.datasets.readers import read_source

MIRROR = os.environ.get("AB_ASSETS_MIRROR", "")
HEADER = ("sequence_id", "sequence", "locus", "v_call", "j_call", "junction_aa", "cell_id", "productive", "sequence_aa")
BINDS = {"label": "binds", "positive": ["1"]}


@pytest.fixture
def read(format_benchmark, tmp_path):
    """Write rows, given as changes to a heavy chain, as a.tsv and read them."""

    def make(*rows, header=(*HEADER, "binds"), **columns):
        usual = dict.fromkeys(header, "") | {
            "locus": "IGH",
            "junction_aa": "CARDYW",
            "sequence_aa": "EVQLV",
            "binds": "1",
        }
        with (tmp_path / "a.tsv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, header, delimiter="\t", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(usual | row for row in rows)
        return read_source(format_benchmark("airr", columns=BINDS | columns), tmp_path)

    return make


def antibodies(source):
    return source.rows.group_by("antibody", maintain_order=True).agg("row")["row"].to_list()


def test_no_column_has_to_be_declared_but_the_label(read):
    row = read({"sequence_id": "s1", "v_call": "IGHV3-7*01", "j_call": "IGHJ4*02", "cell_id": "c1"}).rows.row(
        0, named=True
    )
    found = {name: row[name] for name in ("sequence_id", "vh", "vl", "cdrh3", "v_call", "j_call", "label")}
    assert found == {
        "sequence_id": "s1",
        "vh": "EVQLV",
        "vl": None,
        "cdrh3": "ARDY",
        "v_call": "IGHV3-7*01",
        "j_call": "IGHJ4*02",
        "label": "1",
    }


def test_chains_of_one_cell_are_one_antibody(read):
    source = read({"cell_id": "c1"}, {"cell_id": "c2"}, {"cell_id": "c1", "locus": "IGK"}, {}, {"locus": "IGL"})
    assert antibodies(source) == [[1, 3], [2], [4], [5]]
    assert source.rejected.is_empty()


def test_equal_barcodes_of_two_samples_are_two_cells(read):
    header = (*HEADER, "sample_id", "binds")
    source = read(
        {"cell_id": "c1", "sample_id": "a"}, {"cell_id": "c1", "sample_id": "b", "locus": "IGK"}, header=header
    )
    assert antibodies(source) == [[1], [2]]


def test_a_cell_with_two_heavy_chains_is_rejected_whole(read):
    source = read({"cell_id": "c1"}, {"cell_id": "c1"}, {"cell_id": "c1", "locus": "IGK"}, {"cell_id": "c2"})
    assert antibodies(source) == [[4]]
    assert source.rejected.select("row", "column", "value", "reason").rows() == [
        (row, "cell_id", "c1", "ambiguous-cell") for row in (1, 2, 3)
    ]


def test_what_is_not_productive_is_rejected_before_cells_are_judged(read):
    source = read(
        {"cell_id": "c1"}, {"cell_id": "c1", "productive": "F"}, {"cell_id": "c1", "productive": "T", "locus": "IGK"}
    )
    assert antibodies(source) == [[1, 3]]
    assert source.rejected["reason"].to_list() == ["not-productive"]


@pytest.mark.parametrize("locus", ["TRB", "TRA", "", "VH5"])
def test_other_loci_are_rejected(read, locus):
    assert read({"locus": locus}).rejected["reason"].to_list() == ["unknown-chain"]


def test_v_call_stands_in_for_a_missing_locus(read):
    header = (*tuple(name for name in HEADER if name != "locus"), "binds")
    source = read({"v_call": "IGHV3-7*01,IGHV3-7*04"}, {"v_call": "IGKV1-5*01"}, header=header)
    assert source.rows["vh"].to_list() == ["EVQLV", None]
    assert source.rows["vl"].to_list() == [None, "EVQLV"]


def test_the_aligned_amino_acids_are_preferred_and_another_column_can_be_named(read):
    header = (*HEADER, "sequence_alignment_aa", "mine", "binds")
    row = {"sequence_alignment_aa": "EVQ..LV", "mine": "QVQLV"}
    assert read(row, header=header).rows["vh"].to_list() == ["EVQ..LV"]
    assert read(row, header=header, sequence="mine").rows["vh"].to_list() == ["QVQLV"]


def test_a_table_without_amino_acids_is_no_input(format_benchmark, problems_of, tmp_path):
    (tmp_path / "a.tsv").write_text("sequence_id\tsequence\tlocus\ns1\tGAGGTG\tIGH\n")
    (problem,) = problems_of(format_benchmark("airr"), tmp_path)
    assert "'sequence_alignment_aa' or 'sequence_aa'" in problem.expected


@pytest.mark.real_data
@pytest.mark.skipif(not MIRROR, reason="AB_ASSETS_MIRROR is not set")
def test_a_real_table_reads_as_the_airr_package_reads_it(format_benchmark, fake_numbering):
    name = "amulety_AIRR_translated_single-cell.tsv"
    benchmark = format_benchmark("airr", files=[name], columns={"label": "disease_diagnosis", "positive": ["MG"]})
    curation = curate(read_source(benchmark, Path(MIRROR)), benchmark, numbering=fake_numbering)
    assert fake_numbering.asked == []
    assert curation.counts["rejected"] == {}
    with (Path(MIRROR) / name).open() as stream:
        parsed = pl.DataFrame(list(airr.io.RearrangementReader(stream)))
    heavy = parsed.filter(locus="IGH").sort("cell_id")
    light = parsed.filter(pl.col("locus") != "IGH").sort("cell_id")
    rows = curation.rows.sort("sequence_id")
    assert sorted(zip(rows["vh"], rows["vl"], rows["cdrh3"], strict=True)) == sorted(
        zip(
            heavy["sequence_alignment_aa"],
            light["sequence_alignment_aa"],
            heavy["junction_aa"].str.slice(1).str.head(-1),
            strict=True,
        )
    )
