"""Rows come in chunks, and nothing depends on where one ends."""

from __future__ import annotations

import polars as pl
import pytest

from ab_assets.datasets.curation import curate
from ab_assets.datasets.readers import chunks_as_far_as_possible, delimited, parquet, read_chunks, read_source
from ab_assets.errors import InvalidBenchmarkError

HEADER = ("heavy", "light", "label")


@pytest.fixture(params=[1, 2, 7, 1000])
def chunk_rows(request, monkeypatch):
    for module in (delimited, parquet):
        monkeypatch.setattr(module, "CHUNK_ROWS", request.param)
    return request.param


@pytest.fixture
def rows(vh, vl):
    variants = [vh[:30] + residue + vh[31:] for residue in "ACDEFGHIKLM"]
    return [(heavy, vl, str(index % 2)) for index, heavy in enumerate([*variants, *variants[:3], "B", vh[:9]])]


@pytest.mark.parametrize("file", ["a.csv", "a.parquet"])
def test_no_row_is_lost_or_moved_at_an_end(table_benchmark, write_csv, rows, chunk_rows, file):
    folder = write_csv("a.csv", HEADER, *rows)
    pl.read_csv(folder / "a.csv", infer_schema=False).write_parquet(folder / "a.parquet")
    chunks = list(read_chunks(table_benchmark([file]), folder))
    assert all(chunk.source_rows <= chunk_rows for chunk in chunks)
    whole = read_source(table_benchmark([file]), folder)
    assert whole.rows["row"].to_list() == list(range(1, len(rows) + 1))
    assert whole.rows["antibody"].n_unique() == len(rows)
    assert whole.rows["vh"].to_list() == [heavy for heavy, _, _ in rows]


def test_rows_after_many_empty_lines_are_read(table_benchmark, write_csv, rows, chunk_rows):
    folder = write_csv("a.csv", HEADER, *rows[:2], *[()] * 20, *rows[2:4])
    assert read_source(table_benchmark(), folder).rows["row"].to_list() == [1, 2, 23, 24]


def test_what_is_curated_does_not_depend_on_chunks(table_benchmark, write_csv, rows, chunk_rows, tmp_path):
    benchmark, folder = table_benchmark(["a.csv", "b.csv"]), write_csv("a.csv", HEADER, *rows)
    write_csv("b.csv", HEADER, *rows[::-1])
    whole = curate(read_source(benchmark, folder), benchmark, numbering=None)
    spool = tmp_path / "spool"
    spool.mkdir()
    parts = curate(read_chunks(benchmark, folder), benchmark, numbering=None, spool=spool)
    assert parts.rows.equals(whole.rows)
    assert parts.rejected.equals(whole.rejected)
    assert parts.counts == whole.counts


def test_chains_that_are_paired_come_together(chain_benchmark, write_csv, chunk_rows):
    header = ("pdb", "chain", "sequence", "imgt", "paratope")
    folder = write_csv("a.csv", header, *((f"{n % 5}", "HL"[n // 5], "EV", "", "") for n in range(10)))
    (chunk,) = read_chunks(chain_benchmark(), folder)
    assert chunk.rows["antibody"].n_unique() == 5


def test_a_flaw_late_in_the_file_is_still_told(table_benchmark, write_csv, rows, chunk_rows):
    folder = write_csv("a.csv", HEADER, *rows, ("one", "two"))
    problems = []
    read = sum(chunk.source_rows for chunk in chunks_as_far_as_possible(table_benchmark(), folder, problems))
    assert (read, len(problems)) == (len(rows), 1)
    with pytest.raises(InvalidBenchmarkError):
        list(read_chunks(table_benchmark(), folder))
