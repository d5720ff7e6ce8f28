"""Tables cross from stage to stage with exactly the columns and types of their schema."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ab_assets import tables
from ab_assets.errors import CorruptArtifactError
from ab_assets.tables import EDGES, NODES, ROLES, conform

SCHEMAS = {name: value for name, value in vars(tables).items() if isinstance(value, pl.Schema)}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_survives_parquet(tmp_path, name):
    frame = pl.DataFrame(schema=SCHEMAS[name])
    frame.write_parquet(tmp_path / "x.parquet")
    assert pl.read_parquet(tmp_path / "x.parquet").schema == SCHEMAS[name]


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_table_that_conforms_stays_as_it_is(name):
    frame = pl.DataFrame(schema=SCHEMAS[name])
    assert_frame_equal(conform(frame, SCHEMAS[name]), frame)


@settings(deadline=None)
@given(st.sampled_from(sorted(SCHEMAS)), st.data(), st.integers(0, 3))
def test_any_columns_in_any_order_become_the_schema_with_as_many_rows(name, data, rows):
    schema = SCHEMAS[name]
    columns = data.draw(st.lists(st.sampled_from(list(schema)), min_size=1, unique=True))
    frame = pl.DataFrame({column: pl.Series([None] * rows, dtype=schema[column]) for column in columns})
    found = conform(frame, schema)
    assert found.schema == schema
    assert found.height == rows


def test_absent_columns_are_null():
    found = conform(pl.DataFrame({"row_id": ["a", "b"], "component": [0, 1]}), NODES)
    assert found.rows() == [("a", 0, None), ("b", 1, None)]


def test_unknown_columns_are_refused_by_name():
    frame = pl.DataFrame({"left": ["a"], "rihgt": ["b"], "score": [1.0]})
    with pytest.raises(CorruptArtifactError, match="rihgt, score"):
        conform(frame, EDGES)


def test_narrower_types_are_widened():
    frame = pl.DataFrame({"fit": [0], "row_id": ["a"], "role": ["test"], "fold": [1]}).with_columns(
        pl.col("fit", "fold").cast(pl.Int8), pl.col("role").cast(pl.Categorical)
    )
    found = conform(frame, ROLES)
    assert found.schema == ROLES
    assert found.row(0) == (0, "a", "test", 1)


def test_values_and_their_order_are_kept():
    frame = pl.DataFrame({"identity": [0.9, 1.0], "by": ["vh", "cdrh3"], "right": ["b", "d"], "left": ["a", "c"]})
    assert conform(frame, EDGES).rows() == [("a", "b", "vh", 0.9), ("c", "d", "cdrh3", 1.0)]


def test_every_table_of_rows_names_them_alike():
    assert all(schema["row_id"] == pl.String for schema in SCHEMAS.values() if "row_id" in schema)
    assert all(schema["fit"] == pl.Int64 for schema in SCHEMAS.values() if "fit" in schema)


@pytest.mark.parametrize("frame", [pl.DataFrame(), pl.DataFrame([])])
def test_a_table_without_columns_stays_without_rows(frame):
    assert_frame_equal(conform(frame, tables.REJECTED), tables.REJECTED.to_frame())


@pytest.mark.parametrize(
    ("column", "values"), [("fit", ["first"]), ("fit", [float("nan")]), ("row_id", [["a"]]), ("fit", [[0]])]
)
def test_values_that_a_column_cannot_hold_are_refused(column, values):
    with pytest.raises(CorruptArtifactError, match="values its schema does not allow"):
        conform(pl.DataFrame({column: values}), ROLES)


def test_whole_numbers_written_as_floats_are_kept_and_fractions_refused():
    assert conform(pl.DataFrame({"fit": [0.0, None, 2.0]}), ROLES)["fit"].to_list() == [0, None, 2]
    with pytest.raises(CorruptArtifactError, match=r"column fit holds whole numbers \(found 1\.5\)"):
        conform(pl.DataFrame({"fit": [0.0, 1.5]}), ROLES)
