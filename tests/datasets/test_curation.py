import hashlib

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ab_assets.datasets.curation import curate
from ab_assets.datasets.readers import read_source
from ab_assets.datasets.validation import problems_in
from ab_assets.tables import CURATED, REJECTED

HEADER = ("heavy", "light", "label")
HEAVY = "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPCSRWGGDGFYAMDYWGQGTLVTVSS"
CHAINS = ("pdb", "chain", "sequence", "imgt", "paratope")


def curated(benchmark, folder, numbering=None):
    return curate(read_source(benchmark, folder), benchmark, numbering=numbering)


def positions_of(sequence):
    return " ".join(["-"] * (len(sequence) - 24) + [str(number) for number in range(105, 129)])


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_the_tables_have_the_columns_of_their_schema_and_are_sorted(table_benchmark, write_csv, vh, vl):
    folder = write_csv("a.csv", HEADER, (vh, vl, "1"), (vh[1:], vl, "0"), ("B", "", ""))
    curation = curated(table_benchmark(), folder)
    assert curation.rows.schema == CURATED
    assert curation.rejected.schema == REJECTED
    assert curation.rows["row_id"].to_list() == sorted([sha(f"{vh}|{vl}"), sha(f"{vh[1:]}|{vl}")])


def test_exact_duplicates_are_one_row_that_names_all_sources(table_benchmark, write_csv, vh, vl):
    folder = write_csv("a.csv", HEADER, (vh, vl, "1"), (vh.lower(), f"{vl}*", "1.0"), (vh, vl, ""))
    curation = curated(table_benchmark(), folder)
    assert curation.rows.select("label", "sources").rows() == [(True, ["a.csv:1", "a.csv:2", "a.csv:3"])]
    assert curation.counts["merged_duplicates"] == 2


def test_contradicting_labels_reject_all_their_rows_and_name_each_other(table_benchmark, write_csv, vh, vl):
    folder = write_csv("a.csv", HEADER, (vh, vl, "1"), (vh, vl, "0"), (vh, vl, ""), (vh, "", "0"))
    curation = curated(table_benchmark(), folder)
    assert curation.rows["sources"].to_list() == [["a.csv:4"]]
    assert curation.counts["rejected"] == {"conflicting-labels": 3}
    assert "1 in a.csv:1; 0 in a.csv:2" in curation.rejected["detail"][0]


def test_a_duplicate_in_another_part_stays_visible(table_benchmark, write_csv, vh, vl):
    write_csv("a.csv", HEADER, (vh, vl, "1"))
    folder = write_csv("b.csv", HEADER, (vh, vl, "0"))
    split = {"policy": "published", "parts": {"train": ["a.csv"], "test": ["b.csv"]}}
    rows = curated(table_benchmark(["a.csv", "b.csv"], split=split), folder).rows
    assert sorted(rows.select("row_id", "part").rows()) == sorted(
        [(sha(f"{vh}|{vl}|train"), "train"), (sha(f"{vh}|{vl}|test"), "test")]
    )
    held_out = table_benchmark(["a.csv", "b.csv"], split={"test_files": ["b.csv"]})
    assert curated(held_out, folder).rows["part"].sort().to_list() == [None, "test"]


def test_one_antibody_in_two_complexes_is_two_paratopes(chain_benchmark, write_csv, vh, end_positions_of):
    positions = " ".join(position or "-" for position in end_positions_of(vh))
    flags = "0" * 110 + "1" * 10
    rows = [
        (entry, "H", vh, positions, labels)
        for entry, labels in [("1", flags), ("2", flags), ("1", flags), ("1", flags[::-1])]
    ]
    curation = curated(chain_benchmark(), write_csv("a.csv", CHAINS, *rows))
    assert sorted(curation.rows["sources"].to_list()) == [["a.csv:1", "a.csv:3"], ["a.csv:2"], ["a.csv:4"]]
    assert sha(f"1|{vh}||{flags}|") in curation.rows["row_id"].to_list()
    assert (curation.counts["positives"], curation.counts["negatives"]) == (30, 330)


def test_the_partner_of_a_rejected_chain_is_kept_and_pairs_do_not_shift(chain_benchmark, write_csv, vh, vl):
    rows = [("1", "H", "B" + vh, "", ""), ("1", "L", vl, "", ""), ("1", "H", vh, "", ""), ("1", "L", vl[1:], "", "")]
    curation = curated(chain_benchmark(), write_csv("a.csv", CHAINS, *rows))
    assert set(curation.rows.select("vh", "vl").rows()) == {(None, vl), (vh, vl[1:])}
    assert curation.counts["rejected"] == {"illegal-residue": 1}


def test_undeclared_labels_are_rejected_with_what_was_declared(table_benchmark, write_csv, vh):
    folder = write_csv("a.csv", HEADER, (vh, "", "maybe"))
    rejected = curated(table_benchmark(columns={"negative": ["0"]}), folder).rejected.row(0, named=True)
    assert (rejected["column"], rejected["value"], rejected["reason"]) == ("label", "maybe", "undeclared-label")
    assert rejected["detail"] == "expected 1 (positive) or 0 (negative)"


def test_a_row_without_any_chain_is_rejected(table_benchmark, write_csv):
    assert curated(table_benchmark(), write_csv("a.csv", HEADER, (" ", "--", "1"))).counts["rejected"] == {
        "no-sequence": 1
    }


def test_without_positions_heavy_chains_alone_are_numbered(table_benchmark, write_csv, fake_numbering, vh, vl):
    folder = write_csv("a.csv", HEADER, (vh, vl, "1"), (vh, "", "1"), ("", vl, "0"))
    rows = curated(table_benchmark(), folder, fake_numbering).rows
    assert fake_numbering.asked == [vh]
    assert set(rows["cdrh3"]) == {vh[-24:-11], None}
    assert rows.filter(pl.col("vh").is_null())["vl_positions"].to_list() == [None]


def test_both_chains_are_numbered_for_paratopes(chain_benchmark, write_csv, fake_numbering, vh, vl):
    folder = write_csv("a.csv", CHAINS[:3] + CHAINS[4:], ("1", "H", vh, ""), ("1", "L", vl, ""))
    rows = curated(chain_benchmark(columns={"positions": None}), folder, fake_numbering).rows
    assert fake_numbering.asked == [vh, vl]
    assert rows["vl_positions"].list.len().to_list() == [len(vl)]


def test_chains_that_cannot_be_numbered_as_declared_are_rejected(table_benchmark, write_csv, fake_numbering, vh, vl):
    folder = write_csv("a.csv", HEADER, (vl, "", "1"), ("A" + vh, "", "0"), (vh, "", "0"))
    rejected = curated(table_benchmark(), folder, fake_numbering).rejected
    assert rejected.select("row", "column", "value", "reason").rows() == [
        (1, "heavy", vl, "light-chain-in-vh"),
        (2, "heavy", "A" + vh, "not-numbered"),
    ]
    assert rejected["detail"].to_list()[1] == "score too low"


def test_a_heavy_chain_in_the_light_column_is_rejected_where_light_chains_are_numbered(
    chain_benchmark, write_csv, fake_numbering, vh
):
    folder = write_csv("a.csv", CHAINS[:3] + CHAINS[4:], ("1", "L", vh, ""))
    curation = curated(chain_benchmark(columns={"positions": None}), folder, fake_numbering)
    assert curation.counts["rejected"] == {"heavy-chain-in-vl": 1}


def test_nothing_is_numbered_when_positions_are_given(table_benchmark, write_csv, fake_numbering, vh, end_positions_of):
    imgt = " ".join(position or "-" for position in end_positions_of(vh))
    elsewhere = " ".join(["1"] + ["-"] * (len(vh) - 2))
    folder = write_csv("a.csv", (*HEADER, "imgt"), (vh, "", "1", imgt), (vh[1:], "", "1", elsewhere))
    curation = curated(table_benchmark(columns={"vh_positions": "imgt"}), folder, fake_numbering)
    assert fake_numbering.asked == []
    assert curation.rows["cdrh3"].to_list() == [vh[-24:-11]]
    assert curation.rejected.select("row", "column", "reason").rows() == [(2, "imgt", "no-cdrh3")]


@pytest.mark.parametrize(("name", "given"), [("cdr3_aa", "srwggdgfyamdy"), ("junction_aa", "CSRWGGDGFYAMDYW")])
def test_nothing_is_numbered_when_cdrh3_is_given(table_benchmark, write_csv, fake_numbering, name, given):
    folder = write_csv("a.csv", (*HEADER, name), (HEAVY, "", "1", given))
    curation = curated(table_benchmark(columns={"cdrh3": name}), folder, fake_numbering)
    assert fake_numbering.asked == []
    assert curation.rows["cdrh3"].to_list() == ["SRWGGDGFYAMDY"]


def test_a_cdrh3_that_the_heavy_chain_does_not_contain_is_rejected(table_benchmark, write_csv, vh):
    folder = write_csv("a.csv", (*HEADER, "cdr3"), (vh, "", "1", "ARWWWW"))
    assert curated(table_benchmark(columns={"cdrh3": "cdr3"}), folder).counts["rejected"] == {"cdrh3-mismatch": 1}


def test_only_chains_that_come_without_are_numbered(table_benchmark, write_csv, fake_numbering, vh, vl):
    rows = [
        (vh, vl, "1", "SRWGGDGFYAMDY", ""),
        (vh + "A", vl, "0", "", ""),
        (vh + "C", vl, "0", "", positions_of(vh + "C")),
    ]
    folder = write_csv("a.csv", (*HEADER, "cdr3", "imgt"), *rows)
    columns = {"cdrh3": "cdr3", "vh_positions": "imgt"}
    curation = curated(table_benchmark(columns=columns), folder, fake_numbering)
    assert fake_numbering.asked == [vh + "A"]
    assert curation.rows.height == 3
    assert curation.rows["cdrh3"].null_count() == 0


def test_chains_of_paratopes_are_numbered_where_positions_are_missing(
    chain_benchmark, write_csv, fake_numbering, vh, vl
):
    flags = "0" * (len(vh) - 5) + "11111"
    rows = [
        ("1", "H", vh, "", flags),
        ("1", "L", vl, "", "1" * len(vl)),
        ("2", "H", vh + "A", positions_of(vh + "A"), flags + "0"),
    ]
    curated(chain_benchmark(), write_csv("a.csv", CHAINS, *rows), fake_numbering)
    assert fake_numbering.asked == [vh, vl]


def test_merged_rows_keep_the_first_known_value_and_the_earliest_date(table_benchmark, write_csv, vh):
    header = (*HEADER, "id", "donor", "day")
    folder = write_csv("a.csv", header, (vh, "", "1", "", "", "2021-02-01"), (vh, "", "", "x", "d", "2020-03-01"))
    columns = {"sequence_id": "id", "subject_id": "donor", "date": "day"}
    rows = curated(table_benchmark(columns=columns), folder).rows
    assert rows.select("sequence_id", "subject_id", "date").rows() == [("a.csv:1", "d", "2020-03-01")]


def test_curation_does_not_depend_on_the_chains_or_on_the_order_of_rows(table_benchmark, write_csv, vh, vl):
    rows = [(vh, vl, "1"), (vh[1:], "", "0"), ("", vl, "0")]
    table = [
        curated(table_benchmark(chains=chains), write_csv("a.csv", HEADER, *order)).rows.drop("sources", "sequence_id")
        for chains, order in [("H", rows), ("L", rows), ("HL", rows[::-1])]
    ]
    assert table[0].equals(table[1])
    assert table[0].equals(table[2])


SEQUENCES = st.sampled_from(
    [
        "",
        " ",
        "-",
        "E" * 60,
        "e" * 60,
        "E" * 30 + "-" * 3 + "E" * 30,
        "Q" * 70 + "*",
        "D" * 60,
        "A" * 55,
        "EB" * 40,
        "E" * 9,
        "E" * 201,
    ]
)
LABELS = st.sampled_from(["1", "1.0", "0", "", "NA", "yes", "1e0"])
FLAGS = st.sampled_from(["", "0" * 60, "01" * 30, "0" * 63, "2" * 60, "0 1"])
MESSY = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def assert_balanced(curation, files):
    counts = curation.counts
    assert counts["source_rows"] == sum(files.values())
    assert counts["source_rows"] == counts["kept_source_rows"] + sum(counts["rejected"].values())
    rejected = [f"{file}:{row}" for file, row in curation.rejected.select("file", "row").iter_rows()]
    kept = curation.rows["sources"].explode().drop_nulls().to_list()
    assert sorted(rejected + kept) == sorted(f"{file}:{i}" for file, rows in files.items() for i in range(1, rows + 1))
    assert curation.rows["row_id"].is_unique().all()
    assert curation.rejected["reason"].null_count() == 0


@MESSY
@given(st.lists(st.tuples(SEQUENCES, SEQUENCES, LABELS), max_size=12), st.sampled_from([[], ["0"]]))
def test_every_row_of_a_messy_table_is_kept_or_rejected_once(
    table_benchmark, write_csv, fake_numbering, rows, negative
):
    curation = curated(
        table_benchmark(columns={"negative": negative}), write_csv("a.csv", HEADER, *rows), fake_numbering
    )
    assert_balanced(curation, {"a.csv": len(rows)})
    counts = curation.counts
    assert counts["rows"] == counts["unlabelled"] + counts["positives"] + counts["negatives"] == curation.rows.height


@MESSY
@given(
    st.lists(st.tuples(st.sampled_from("12"), st.sampled_from(["H", "L", "L", "?"]), SEQUENCES, FLAGS), max_size=12),
    st.integers(0, 12),
)
def test_every_chain_of_a_messy_table_is_kept_or_rejected_once(chain_benchmark, write_csv, fake_numbering, rows, cut):
    header = ("pdb", "chain", "sequence", "paratope")
    write_csv("a.csv", header, *rows[:cut])
    folder = write_csv("b.csv", header, *rows[cut:])
    benchmark = chain_benchmark(["a.csv", "b.csv"], columns={"positions": None})
    curation = curated(benchmark, folder, fake_numbering)
    assert_balanced(curation, {"a.csv": len(rows[:cut]), "b.csv": len(rows[cut:])})
    for chain in ("vh", "vl"):
        fitting = curation.rows.drop_nulls([chain, f"{chain}_paratope"])
        assert (fitting[chain].str.len_chars() == fitting[f"{chain}_paratope"].list.len()).all()


@pytest.mark.parametrize(("labels", "kept"), [("110", [1, 2]), ("0100", [1, 3, 4]), ("10", []), ("1010", [])])
def test_the_majority_of_labels_stays_where_that_is_declared(table_benchmark, write_csv, vh, labels, kept):
    folder = write_csv("a.csv", HEADER, *((vh, "", label) for label in labels))
    curation = curated(table_benchmark(curation={"conflicts": "majority"}), folder)
    assert curation.rows["sources"].explode().drop_nulls().to_list() == [f"a.csv:{row}" for row in kept]
    assert curation.counts["rejected"] == {"conflicting-labels": len(labels) - len(kept)}


def test_a_conflict_is_an_error_where_that_is_declared(table_benchmark, write_csv, vh, vl):
    folder = write_csv("a.csv", HEADER, (vh, vl, "1"), (vh, vl, "0"), (vh[1:], vl, "1"), (vh[2:], vl, "0"))
    assert problems_in(table_benchmark(), folder) == []
    problems = problems_in(table_benchmark(curation={"conflicts": "error"}), folder)
    assert [problem.where for problem in problems] == ["a.csv:1", "a.csv:2"]
    assert "1 in a.csv:1; 0 in a.csv:2" in problems[0].hint
