import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ab_assets.datasets.readers import SOURCE
from ab_assets.datasets.rejection import Sieve
from ab_assets.datasets.residues import clean_cdrh3, clean_chain
from ab_assets.tables import conform

BODY = "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTR"


def clean(benchmark, **columns):
    row = {"file": "a.csv", "row": 1, **{name: value for name, value in columns.items() if value is not None}}
    frame = pl.DataFrame({name: [value] for name, value in row.items()}, schema={name: SOURCE[name] for name in row})
    sieve = Sieve(conform(frame, SOURCE))
    clean_chain(sieve, "vh", benchmark)
    return sieve


@pytest.mark.parametrize(
    "written", [BODY.lower(), f" {BODY[:9]} {BODY[9:]}\n", BODY + "*", f"-{BODY[:5]}.-{BODY[5:]}-*-", BODY + "**"]
)
def test_case_space_gaps_and_the_stop_at_the_end_are_spelling(table_benchmark, written):
    assert clean(table_benchmark(), vh=written).rows["vh"].to_list() == [BODY]


@pytest.mark.parametrize(
    ("written", "value", "place"),
    [
        ("B" + BODY, "B", 1),
        ("EV*" + BODY, "*", 3),
        ("E-V2" + BODY, "2", 4),
        (BODY + "\u017f", "\u017f", 60),
        ("e v1" + BODY, "1", 3),
    ],
)
def test_an_illegal_residue_is_named_with_column_value_and_place(table_benchmark, written, value, place):
    sieve = clean(table_benchmark(), vh=written)
    assert sieve.rows.is_empty()
    rejected = sieve.rejected.row(0, named=True)
    assert (rejected["reason"], rejected["column"], rejected["value"]) == ("illegal-residue", "heavy", value)
    assert rejected["detail"].startswith(f"sign {place} of ")


def test_unknown_residues_are_kept(table_benchmark):
    assert clean(table_benchmark(), vh="X" + BODY).rows["vh"].to_list() == ["X" + BODY]


@pytest.mark.parametrize(("length", "kept"), [(49, 0), (50, 1), (200, 1), (201, 0)])
def test_a_chain_has_50_to_200_residues(table_benchmark, length, kept):
    sieve = clean(table_benchmark(), vh="-" * 300 + "S" * length)
    assert sieve.rows.height == kept
    assert sieve.rejected["reason"].to_list() == ["length"] * (1 - kept)


def test_only_gaps_are_no_sequence(table_benchmark):
    assert clean(table_benchmark(), vh="--.").rows["vh"].to_list() == [None]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from("-. "), max_size=6), st.integers(0, len(BODY)))
def test_a_list_loses_the_entries_of_removed_signs(chain_benchmark, gaps, place):
    written = BODY[:place] + "".join(gaps) + BODY[place:] + "*"
    signs = written.replace(" ", "")
    flags = ["1" if sign == "G" else "0" for sign in signs]
    positions = [None if sign in "-.*" else str(i + 1) for i, sign in enumerate(signs)]
    rows = clean(chain_benchmark(), vh=written, vh_paratope=flags, vh_positions=positions).rows
    assert rows["vh_paratope"].to_list() == [[residue == "G" for residue in BODY]]
    assert rows["vh_positions"].to_list() == [[position for position in positions if position]]


def test_a_list_that_has_one_entry_per_residue_already_is_kept(chain_benchmark):
    flags = ["0", "1"] * len(BODY)
    rows = clean(chain_benchmark(), vh=BODY[:3] + "--" + BODY[3:], vh_paratope=flags[: len(BODY)]).rows
    assert rows["vh_paratope"].list.len().to_list() == [len(BODY)]


def test_a_list_of_another_length_is_rejected_with_both_lengths(chain_benchmark):
    rejected = clean(chain_benchmark(), vh=BODY, vh_paratope=["0", "1"]).rejected.row(0, named=True)
    assert (rejected["reason"], rejected["column"], rejected["value"]) == ("length-mismatch", "paratope", "2")
    assert rejected["detail"] == f"expected {len(BODY)}, one for each residue"


@pytest.mark.parametrize(
    ("changes", "value"),
    [({4: "5B7"}, "5B7"), ({4: "3"}, "3"), ({4: "4"}, "4"), ({4: None, 5: "2"}, "2"), ({0: "130"}, "130")],
)
def test_positions_must_be_imgt_and_ascend(chain_benchmark, changes, value):
    positions = [changes.get(i, str(i + 1)) for i in range(len(BODY))]
    rejected = clean(chain_benchmark(), vh=BODY, vh_positions=positions).rejected.row(0, named=True)
    assert (rejected["reason"], rejected["column"], rejected["value"]) == ("illegal-position", "imgt", value)


def test_a_residue_may_have_no_position(chain_benchmark):
    positions = ["-", "", None, *(str(i) for i in range(4, len(BODY) + 1))]
    assert clean(chain_benchmark(), vh=BODY, vh_positions=positions).rows["vh_positions"][0].to_list()[:4] == [
        None,
        None,
        None,
        "4",
    ]


def test_positions_of_no_residue_are_no_positions(chain_benchmark):
    assert clean(chain_benchmark(), vh=BODY, vh_positions=["-"] * len(BODY)).rows["vh_positions"].to_list() == [None]


@pytest.mark.parametrize(("flag", "value"), [("2", "2"), ("", ""), (None, "empty"), ("0.5", "0.5")])
def test_a_paratope_label_is_yes_or_no(chain_benchmark, flag, value):
    flags = ["True", "f", flag, *["0"] * (len(BODY) - 3)]
    rejected = clean(chain_benchmark(), vh=BODY, vh_paratope=flags).rejected.row(0, named=True)
    assert (rejected["reason"], rejected["value"]) == ("illegal-paratope", value)


def test_a_cdrh3_is_cleaned():
    assert clean_cdrh3(pl.DataFrame({"cdrh3": ["a-r D.y"]}))["cdrh3"].to_list() == ["ARDY"]


def test_nucleotides_are_no_chain(chain_benchmark):
    rejected = clean(chain_benchmark(), vh="GAGGTGCAGCTGGTGGAGTCTGGGGGAGGCNTGG").rejected.row(0, named=True)
    assert (rejected["reason"], rejected["value"]) == ("nucleotides", "GAGGTGCAGCTGGTGGAGTC")


@pytest.mark.parametrize("residue", "BJOUZz")
def test_ambiguous_letters_are_rejected_or_become_x(chain_benchmark, residue):
    given = BODY[:5] + residue + BODY[6:]
    assert clean(chain_benchmark(), vh=given).rejected["reason"].to_list() == ["illegal-residue"]
    kept = clean(chain_benchmark(curation={"ambiguous": "x"}), vh=given).rows
    assert kept["vh"].to_list() == [BODY[:5] + "X" + BODY[6:]]


def test_unknown_residues_are_kept_or_rejected(chain_benchmark):
    given = BODY[:5] + "x" + BODY[6:]
    assert clean(chain_benchmark(), vh=given).rejected.is_empty()
    rejected = clean(chain_benchmark(curation={"unknown": "reject"}), vh=given).rejected.row(0, named=True)
    assert (rejected["reason"], rejected["detail"]) == ("unknown-residue", f"residue 6 of {len(BODY)}")


def test_how_long_a_chain_may_be_is_declared_by_chain(chain_benchmark):
    curation = {"vh_length": [10, len(BODY) - 1]}
    assert clean(chain_benchmark(curation=curation), vh=BODY).rejected["reason"].to_list() == ["length"]
    assert clean(chain_benchmark(curation=curation), vl=BODY).rejected.is_empty()
