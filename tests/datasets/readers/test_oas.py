"""OAS data units: what the first line says holds for every row; paired and unpaired units read alike."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest

from ab_assets.datasets.readers import read_source

ABOUT = {"Run": "SRR1", "Subject": "Donor-1", "Disease": "SARS-COV-2", "Vaccine": "None"}
PAIRED = (
    "sequence_id_heavy",
    "v_call_heavy",
    "j_call_heavy",
    "cdr3_aa_heavy",
    "sequence_alignment_aa_heavy",
    "sequence_alignment_aa_light",
)
UNPAIRED = ("v_call", "locus", "sequence_alignment_aa", "cdr3_aa")
DISEASE = {"label": "Disease", "positive": ["SARS-COV-2"]}


def unit(header, *rows, about=ABOUT, first=None):
    """The text of a data unit as OAS writes it: the JSON object is one quoted field."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([json.dumps(about)] if first is None else [first])
    writer.writerows([header, *rows])
    return text.getvalue()


def test_a_paired_unit_is_one_antibody_per_row(format_benchmark, tmp_path):
    row = ("h1", "IGHV1-2*02", "IGHJ4*02", "ARDY", "EVQLV", "DIQMT")
    (tmp_path / "a.csv").write_text(unit(PAIRED, row))
    read = read_source(format_benchmark("oas", columns=DISEASE), tmp_path).rows.row(0, named=True)
    names = ("sequence_id", "v_call", "j_call", "cdrh3", "vh", "vl", "subject_id", "label")
    assert tuple(read[name] for name in names) == (*row, "Donor-1", "SARS-COV-2")


def test_an_unpaired_unit_is_one_chain_per_row(format_benchmark, tmp_path):
    rows = [("IGHV1-2*02", "H", "EVQLV", "ARDY"), ("IGKV1-5*01", "K", "DIQMT", "QQYY")]
    with gzip.open(tmp_path / "a.csv.gz", "wt") as stream:
        stream.write(unit(UNPAIRED, *rows))
    read = read_source(format_benchmark("oas", columns=DISEASE, files=["a.csv.gz"]), tmp_path).rows
    assert read.select("vh", "vl", "cdrh3").rows() == [("EVQLV", None, "ARDY"), (None, "DIQMT", None)]
    assert read["antibody"].n_unique() == 2


def test_units_of_both_kinds_stay_distinct_antibodies(format_benchmark, tmp_path):
    (tmp_path / "a.csv").write_text(unit(PAIRED, ("h1", "", "", "ARDY", "EVQLV", "DIQMT")))
    (tmp_path / "b.csv").write_text(unit(UNPAIRED, ("IGHV1-2*02", "H", "QVQLV", "ARDY")))
    read = read_source(format_benchmark("oas", columns=DISEASE, files=["a.csv", "b.csv"]), tmp_path).rows
    assert read.select("vh", "vl").rows() == [("EVQLV", "DIQMT"), ("QVQLV", None)]
    assert read["antibody"].n_unique() == 2


def test_no_disease_is_a_label(format_benchmark, tmp_path):
    for file, disease in (("a.csv", "SARS-COV-2"), ("b.csv", "None"), ("c.csv", "Undefined")):
        text = unit(PAIRED, ("h1", "", "", "ARDY", "EVQLV", "DIQMT"), about=ABOUT | {"Disease": disease})
        (tmp_path / file).write_text(text)
    benchmark = format_benchmark("oas", columns=DISEASE, files=["a.csv", "b.csv", "c.csv"])
    assert read_source(benchmark, tmp_path).rows["label"].to_list() == ["SARS-COV-2", "None", None]


@pytest.mark.parametrize("donor", ["no", "None", "undefined", " "])
def test_an_unknown_donor_is_no_donor(format_benchmark, tmp_path, donor):
    text = unit(PAIRED, ("h1", "", "", "ARDY", "EVQLV", "DIQMT"), about=ABOUT | {"Subject": donor})
    (tmp_path / "a.csv").write_text(text)
    assert read_source(format_benchmark("oas", columns=DISEASE), tmp_path).rows["subject_id"].to_list() == [None]


@pytest.mark.parametrize("first", ["h1,EVQLV", "[1, 2]", ""])
def test_a_table_without_metadata_is_no_data_unit(format_benchmark, problems_of, tmp_path, first):
    (tmp_path / "a.csv").write_text(unit(PAIRED, first=first))
    (problem,) = problems_of(format_benchmark("oas", columns=DISEASE), tmp_path)
    assert "no metadata" in problem.what


def test_a_unit_without_sequences_says_which_column_it_lacks(format_benchmark, problems_of, tmp_path):
    (tmp_path / "a.csv").write_text(unit(("v_call",), ("IGHV1-2*02",)))
    (problem,) = problems_of(format_benchmark("oas", columns=DISEASE), tmp_path)
    assert "sequence_alignment_aa_heavy" in problem.expected
