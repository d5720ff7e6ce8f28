"""Columns that nothing reads reach the curated antibodies when [columns] keep names them."""

import csv
import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_assets.datasets.annotations import annotations_of, joined_annotations
from ab_assets.datasets.curation import curate
from ab_assets.datasets.readers import read_chunks
from ab_assets.datasets.validation import problems_in

BINDS = {"label": "binds", "positive": ["1"]}
HEADER = ("heavy", "light", "label")


def kept(benchmark, folder, **how):
    rows = curate(read_chunks(benchmark, folder), benchmark, numbering=None, **how).rows
    return [None if text is None else json.loads(text) for text in rows.sort("sequence_id")["annotations"]]


@settings(deadline=None)
@given(st.dictionaries(st.text(min_size=1), st.none() | st.text(), min_size=1, max_size=4))
def test_any_name_and_value_comes_back_trimmed_and_without_empty_cells(cells):
    text = annotations_of({name: pl.Series([value], dtype=pl.String) for name, value in cells.items()}).item()
    expected = {name: value.strip() for name, value in cells.items() if value and value.strip()}
    found = {} if text is None else json.loads(text)
    assert {name: value.strip() for name, value in found.items() if value.strip()} == expected
    assert list(found) == sorted(found)


def test_entries_of_a_list_are_separated_by_spaces():
    assert annotations_of({"a": pl.Series([["1", None, "2"], None])}).to_list() == ['{"a":"1 2"}', None]


def test_values_of_merged_rows_are_joined_in_one_order():
    texts = pl.Series([['{"a":"2","b":"x"}', '{"a":"1"}'], ['{"a":"1"}'], []], dtype=pl.List(pl.String))
    assert joined_annotations(texts).to_list() == ['{"a":"1|2","b":"x"}', '{"a":"1"}', None]


def test_nothing_is_kept_unless_it_is_asked_for(table_benchmark, write_csv, vh):
    folder = write_csv("a.csv", (*HEADER, "clone"), (vh, "", "1", "c7"))
    assert kept(table_benchmark(), folder) == [None]


@pytest.mark.parametrize("keep", [["clone", "note"], ["*"]])
def test_columns_of_a_table_are_kept(table_benchmark, write_csv, vh, keep):
    header = ("id", *HEADER, "clone", "note")
    folder = write_csv("a.csv", header, ("a", vh, "", "1", " c7 ", 'say "x"'), ("b", vh[1:], "", "0", "", ""))
    benchmark = table_benchmark(columns={"sequence_id": "id", "keep": keep})
    assert kept(benchmark, folder) == [{"clone": "c7", "note": 'say "x"'}, None]


def test_columns_of_parquet_are_kept_as_text(table_benchmark, tmp_path, vh):
    table = {"heavy": [vh], "light": [None], "label": [1], "kd": [0.5], "tags": [["x", "y"]]}
    pl.DataFrame(table, schema_overrides={"light": pl.String}).write_parquet(tmp_path / "a.parquet")
    assert kept(table_benchmark(["a.parquet"], columns={"keep": ["*"]}), tmp_path) == [{"kd": "0.5", "tags": "x y"}]


def test_duplicates_keep_all_that_their_rows_say(table_benchmark, write_csv, vh):
    rows = [(vh, "", "1", clone) for clone in ("c7", "c5", "", "c7")]
    benchmark = table_benchmark(columns={"keep": ["clone"]})
    folder = write_csv("a.csv", (*HEADER, "clone"), *rows)
    assert kept(benchmark, folder) == [{"clone": "c5|c7"}]
    assert kept(benchmark, write_csv("a.csv", (*HEADER, "clone"), *reversed(rows))) == [{"clone": "c5|c7"}]


def test_both_chains_of_an_airr_cell_say_what_they_are(format_benchmark, tmp_path, vh, vl):
    header = ("sequence_id", "locus", "cell_id", "sequence_alignment_aa", "binds", "c_call", "clone_id", "sequence")
    with (tmp_path / "a.tsv").open("w", newline="") as stream:
        csv.writer(stream, delimiter="\t").writerows(
            [
                header,
                ("s1", "IGH", "c1", vh, "1", "IGHG1", "7", "GAGG"),
                ("s2", "IGK", "c1", vl, "1", "IGKC", "7", "GACA"),
            ]
        )
    benchmark = format_benchmark("airr", columns=BINDS | {"keep": ["c_call", "clone_id"]})
    assert kept(benchmark, tmp_path) == [{"c_call": "IGHG1|IGKC", "clone_id": "7"}]
    (everything,) = kept(format_benchmark("airr", columns=BINDS | {"keep": ["*"]}), tmp_path)
    assert everything == {"c_call": "IGHG1|IGKC", "clone_id": "7", "sequence": "GACA|GAGG"}


def test_columns_and_metadata_of_an_oas_unit_are_kept(format_benchmark, write_csv, vh, vl):
    header = ("sequence_id_heavy", "sequence_alignment_aa_heavy", "sequence_alignment_aa_light", "c_region_heavy")
    about = (json.dumps({"Subject": "D1", "Disease": "SARS-COV-2", "BSource": "PBMC", "Age": "no"}),)
    folder = write_csv("a.csv", about, header, ("h1", vh, vl, "IGHG1"))
    columns = {"label": "Disease", "positive": ["SARS-COV-2"], "keep": ["BSource", "c_region_heavy", "Age"]}
    assert kept(format_benchmark("oas", columns=columns), folder) == [{"BSource": "PBMC", "c_region_heavy": "IGHG1"}]


def test_columns_of_a_side_table_are_kept_with_their_record(table_benchmark, write_csv, tmp_path, vh, vl):
    (tmp_path / "a.fasta").write_text(f">x_H\n{vh}\n>x_L\n{vl}\n>y_H\n{vh[1:]}\n")
    folder = write_csv("side.csv", ("id", "label", "clone"), ("x", "1", "c7"), ("z", "0", "c8"))
    columns = {"vh": None, "vl": None, "sequence_id": "id", "keep": ["clone"]}
    benchmark = table_benchmark(["a.fasta", "side.csv"], columns=columns, source={"format": "fasta"})
    assert kept(benchmark, folder) == [{"clone": "c7"}, None]


def test_columns_of_cov_abdab_are_kept(format_benchmark, write_csv, vh):
    header = ("Name", "Binds to", "Doesn't Bind to", "Neutralising Vs", "VHorVHH", "Origin")
    folder = write_csv("a.csv", header, ("x", "RBD", "", "", vh, "Immunised Mouse"))
    benchmark = format_benchmark("cov-abdab", antigen="RBD", columns={"keep": ["Origin"]})
    assert kept(benchmark, folder) == [{"Origin": "Immunised Mouse"}]


def test_chunks_on_disk_are_joined_alike(table_benchmark, write_csv, tmp_path, vh):
    write_csv("a.csv", (*HEADER, "clone"), (vh, "", "1", "c7"))
    folder = write_csv("b.csv", (*HEADER, "clone"), (vh, "", "1", "c5"), (vh[1:], "", "0", "c1"))
    benchmark = table_benchmark(["a.csv", "b.csv"], columns={"keep": ["clone"]})
    (tmp_path / "spool").mkdir()
    assert kept(benchmark, folder, spool=tmp_path / "spool") == kept(benchmark, folder)


def test_a_misspelt_column_is_named_with_the_nearest(table_benchmark, write_csv, vh):
    folder = write_csv("a.csv", (*HEADER, "clone_id"), (vh, "", "1", "c7"), (vh[1:], "", "0", "c7"))
    (problem,) = problems_in(table_benchmark(columns={"keep": ["clon_id"]}), folder)
    assert problem.what == "column 'clon_id' (columns.keep) is missing"
    assert problem.hint == "Did you mean 'clone_id'?"


@pytest.mark.parametrize("column", ["*", "^l.*$", "file", "row", "annotations", "none"])
def test_a_column_may_have_any_name(table_benchmark, write_csv, vh, column):
    folder = write_csv("a.csv", (*HEADER, column), (vh, "", "1", "x"))
    assert kept(table_benchmark(columns={"keep": ["*"]}), folder) == [{column: "x"}]
