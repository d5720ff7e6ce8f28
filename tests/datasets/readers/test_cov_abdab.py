"""CoV-AbDab: one antigen is chosen, its evidence is read as the database writes it, contradictions are named."""

from __future__ import annotations

import csv

import pytest

from ab_assets.datasets.curation import curate
from ab_assets.datasets.readers import read_source

HEADER = (
    "Name", "Ab or Nb", "Binds to", "Doesn't Bind to", "Neutralising Vs", "Not Neutralising Vs", "VHorVHH", "VL",
    "Heavy V Gene", "Heavy J Gene", "CDRH3",
)  # fmt: skip
WILD = "SARS-CoV2_WT"


@pytest.fixture
def read(format_benchmark, tmp_path):
    def make(*rows, **source):
        usual = dict.fromkeys(HEADER, "") | {"VHorVHH": "EVQLV", "VL": "DIQMT", "CDRH3": "ARDY", "Binds to": WILD}
        with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8-sig") as stream:
            writer = csv.DictWriter(stream, HEADER)
            writer.writeheader()
            writer.writerows(usual | row for row in rows)
        return read_source(format_benchmark("cov-abdab", **({"antigen": WILD} | source)), tmp_path)

    return make


@pytest.mark.parametrize(
    ("binds", "does_not", "label"),
    [
        (WILD, "", "yes"),
        ("SARS-CoV1; sars-cov2_wt ;MERS", "", "yes"),
        ("SARS-CoV1", WILD, "no"),
        ("", f"MERS;{WILD}", "no"),
        ("SARS-CoV1", "MERS", None),
        ("SARS-CoV2_WT_RBD", "", None),
    ],
)
def test_the_chosen_antigen_decides_the_label(read, binds, does_not, label):
    others = {"Binds to": WILD}
    assert read(others, {"Binds to": binds, "Doesn't Bind to": does_not}).rows["label"].to_list() == ["yes", label]


def test_neutralisation_is_another_question(read):
    rows = [{"Neutralising Vs": WILD}, {"Not Neutralising Vs": WILD}, {}]
    assert read(*rows, evidence="neutralisation").rows["label"].to_list() == ["yes", "no", None]


def test_contradictions_are_rejected_with_both_columns(read):
    source = read({}, {"Doesn't Bind to": WILD})
    assert source.rows["row"].to_list() == [1]
    (rejected,) = source.rejected.iter_rows(named=True)
    assert (rejected["row"], rejected["column"], rejected["reason"]) == (2, "Binds to", "contradictory-evidence")
    assert "Doesn't Bind to" in rejected["detail"]


@pytest.mark.parametrize(
    ("weak", "labels"), [("drop", ["yes"]), ("positive", ["yes", "yes"]), ("negative", ["yes", "no"])]
)
def test_weak_binding_counts_as_declared(read, weak, labels):
    source = read({}, {"Binds to": f"SARS-CoV1;{WILD} (weak)"}, weak=weak)
    assert source.rows["label"].to_list() == labels
    assert source.rejected["reason"].to_list() == ["weak-evidence"] * (weak == "drop")


def test_weak_on_another_antigen_says_nothing(read):
    assert read({"Binds to": f"SARS-CoV1 (weak);{WILD}"}).rows["label"].to_list() == ["yes"]


def test_not_determined_is_no_sequence_and_genes_lose_their_species(read):
    row = {"VL": "ND", "CDRH3": "ND", "Heavy V Gene": "IGHV3-53 (Human)", "Heavy J Gene": "ND"}
    rows = read(row).rows
    assert rows.select("vl", "cdrh3", "v_call", "j_call").row(0) == (None, None, "IGHV3-53", None)


def test_a_nanobody_has_no_light_chain(read):
    assert read({"Ab or Nb": "Nb", "VL": "N/A"}).rows.select("vh", "vl").row(0) == ("EVQLV", None)


def test_labels_need_no_declaration(format_benchmark, read, vh, tmp_path):
    source = read(
        {"VHorVHH": vh, "VL": "ND", "CDRH3": "ND"},
        {"VHorVHH": vh + "A", "VL": "ND", "CDRH3": "ND", "Binds to": "", "Doesn't Bind to": WILD},
    )
    curation = curate(source, format_benchmark("cov-abdab", antigen=WILD), numbering=None)
    assert (curation.counts["positives"], curation.counts["negatives"]) == (1, 1)


def test_an_antigen_that_no_row_names_is_refused_with_the_nearest(format_benchmark, read, problems_of, tmp_path):
    read({})
    (problem,) = problems_of(format_benchmark("cov-abdab", antigen="SARS-CoV2"), tmp_path)
    assert "Did you mean 'SARS-CoV2_WT'?" in problem.hint
