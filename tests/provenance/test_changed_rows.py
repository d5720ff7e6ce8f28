"""Rows are told apart by what makes them distinct, and every one is counted once."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from two_versions import NEW, OLD, antibodies

from ab_assets.provenance.changed_rows import changed_rows
from ab_assets.tables import CURATED

LABELS = st.dictionaries(st.sampled_from([f"x{n}" for n in range(8)]), st.sampled_from([True, False, None]))


def names(table: pl.DataFrame) -> list[str]:
    return table["sequence_id"].to_list()


def test_rows_are_added_removed_and_relabelled():
    found = changed_rows(antibodies(OLD), antibodies(NEW))
    assert (names(found.added), names(found.removed)) == (["a5", "a6"], ["a3"])
    assert found.relabelled.select("sequence_id", "was", "now").rows() == [
        ("a1", "positive", "negative"),
        ("a4", "unlabelled", "positive"),
    ]
    assert found.counts == {"added": 2, "removed": 1, "relabelled": 2, "renumbered": 0, "kept": 3}


@given(LABELS, LABELS)
def test_counts_balance_and_follow_from_the_labels(old, new):
    found = changed_rows(antibodies(old), antibodies(new))
    assert set(names(found.added)) == new.keys() - old.keys()
    assert set(names(found.removed)) == old.keys() - new.keys()
    assert set(names(found.relabelled)) == {name for name in old.keys() & new.keys() if old[name] is not new[name]}
    assert found.kept + found.added.height == len(new)
    assert found.kept + found.removed.height == len(old)


def test_where_a_row_stands_in_its_file_is_no_change():
    moved = antibodies(OLD).with_columns(sources=pl.lit(["other.csv:9"]))
    found = changed_rows(antibodies(OLD), moved)
    assert set(found.counts.values()) == {0, 4}


def test_changed_positions_and_other_columns_are_counted():
    new = antibodies(OLD, vh_positions=["1", "2"], subject_id="donor").with_columns(
        sequence_id=pl.when(pl.col("sequence_id") == "a1").then(pl.lit("b1")).otherwise("sequence_id")
    )
    found = changed_rows(antibodies(OLD), new)
    assert found.counts["renumbered"] == 4
    assert found.others == {"sequence_id": 1, "subject_id": 4}


def test_an_antibody_that_changes_its_part_stays_the_same_antibody():
    old = antibodies({"a1": True}, part="train")
    new = antibodies({"a1": True}, part="test").with_columns(row_id=pl.lit("f" * 16))
    found = changed_rows(old, new)
    assert (found.kept, found.others, found.added.height, found.removed.height) == (1, {"part": 1}, 0, 0)


def paratope(*rows: tuple[str, str, list[bool]]) -> pl.DataFrame:
    made = [
        {
            "row_id": f"{n}{entry}{touching}"[:16],
            "sequence_id": entry,
            "entry": entry,
            "vh": vh,
            "vh_paratope": touching,
        }
        for n, (entry, vh, touching) in enumerate(rows)
    ]
    return pl.DataFrame(made, schema=CURATED)


def test_a_paratope_with_other_residues_is_relabelled_though_its_row_id_is_another():
    found = changed_rows(
        paratope(("1abc", "EVQ", [True, False, False]), ("2xyz", "EVQ", [False, False, True])),
        paratope(("2xyz", "EVQ", [False, False, True]), ("1abc", "EVQ", [True, True, False])),
    )
    assert found.counts == {"added": 0, "removed": 0, "relabelled": 1, "renumbered": 0, "kept": 2}
    assert found.relabelled.select("sequence_id", "was", "now").rows() == [
        ("1abc", "1 residues touch", "2 residues touch")
    ]


def test_copies_of_one_chain_in_an_entry_are_paired_one_to_one():
    twice = [("1abc", "EVQ", [True, False, False]), ("1abc", "EVQ", [False, True, False])]
    found = changed_rows(paratope(*twice), paratope(("1abc", "EVQ", [True, True, True])))
    assert (found.kept, found.added.height, found.removed.height) == (1, 0, 1)
