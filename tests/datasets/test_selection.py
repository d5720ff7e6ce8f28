import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ab_assets.datasets.selection import select_rows
from ab_assets.tables import CURATED, REMOVED, conform


def table(*rows):
    """Curated rows named a, b, c ... in the order given."""
    named = [{"row_id": chr(ord("a") + i), **row} for i, row in enumerate(rows)]
    names = ["row_id", *dict.fromkeys(name for row in named for name in row if name != "row_id")]
    return conform(pl.DataFrame(named, schema={name: CURATED[name] for name in names}), CURATED)


def removed(selection):
    return selection.removed.rows()


@pytest.mark.parametrize(("chains", "kept"), [("H", ["a", "b"]), ("L", ["a", "c"]), ("HL", ["a"])])
def test_every_chain_that_is_looked_at_must_be_there(table_benchmark, chains, kept):
    rows = table({"vh": "A", "vl": "B", "label": True}, {"vh": "C", "label": False}, {"vl": "D", "label": False})
    selection = select_rows(rows, table_benchmark(chains=chains))
    assert selection.rows["row_id"].to_list() == kept
    assert set(selection.removed["reason"]) <= {"no-vh", "no-vl"}


def test_unlabelled_rows_are_set_apart_and_do_not_count_as_duplicates(table_benchmark):
    rows = table({"vh": "A"}, {"vh": "A", "label": True})
    selection = select_rows(rows, table_benchmark())
    assert selection.rows["row_id"].to_list() == ["b"]
    assert selection.unlabelled["row_id"].to_list() == ["a"]
    assert removed(selection) == [("a", "unlabelled", None)]


def test_of_antibodies_that_look_alike_the_first_stays_when_labels_agree(table_benchmark):
    rows = table({"vh": "A", "vl": "B", "label": True}, {"vh": "A", "vl": "C", "label": True})
    assert removed(select_rows(rows, table_benchmark())) == [("b", "duplicate-chains", "a")]
    assert removed(select_rows(rows, table_benchmark(chains="HL"))) == []


def test_of_antibodies_that_look_alike_none_stays_when_labels_differ(table_benchmark):
    rows = table(*({"vh": "A", "vl": vl, "label": vl == "B"} for vl in "BCD"))
    selection = select_rows(rows, table_benchmark())
    assert selection.rows.is_empty()
    assert selection.removed["reason"].to_list() == ["conflicting-labels"] * 3


def test_a_leak_between_parts_is_not_hidden_as_a_duplicate(table_benchmark):
    rows = table(
        *({"vh": "A", "label": label, "part": part} for label, part in [(True, "train"), (False, "test"), (True, None)])
    )
    assert select_rows(rows, table_benchmark()).rows.height == 3


def test_paratopes_are_alike_in_the_same_entry_with_the_same_labels_alone(chain_benchmark):
    flags = [[True], [True], [False], [True]]
    rows = table(*({"vh": "A", "entry": e, "vh_paratope": f} for e, f in zip("1112", flags, strict=True)))
    assert removed(select_rows(rows, chain_benchmark())) == [("b", "duplicate-chains", "a")]


def test_a_paratope_row_needs_one_labelled_chain_of_those_looked_at(chain_benchmark):
    rows = table({"vh": "A", "vl": "B", "vh_paratope": [True]})
    assert select_rows(rows, chain_benchmark(chains="HL")).rows.height == 1
    assert removed(select_rows(rows, chain_benchmark(chains="L"))) == [("a", "unlabelled", None)]


ROWS = st.fixed_dictionaries(
    {
        "vh": st.sampled_from([None, "A", "C"]),
        "vl": st.sampled_from([None, "D", "E"]),
        "label": st.sampled_from([None, True, False]),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROWS, max_size=10), st.sampled_from(["H", "L", "HL"]))
def test_every_row_is_selected_or_removed_once(table_benchmark, rows, chains):
    curated = table({"vh": "A", "vl": "D", "label": True}, *rows)
    benchmark = table_benchmark(chains=chains)
    selection = select_rows(curated, benchmark)
    ids = selection.rows["row_id"].to_list() + selection.removed["row_id"].to_list()
    assert sorted(ids) == curated["row_id"].to_list()
    assert selection.removed.schema == REMOVED
    assert selection.rows.schema == selection.unlabelled.schema == CURATED
    assert selection.rows.select(benchmark.chain_names).is_unique().all()
