import polars as pl
import pytest

from ab_assets.datasets.readers import chunks_as_far_as_possible, read_source, suffix_of

HEADER = ("heavy", "light", "label")


def test_rows_of_all_files_are_kept_as_written_with_their_place(table_benchmark, write_csv):
    write_csv("a.csv", HEADER, (" EV ", "", "1.0"), ("", "DI", "no"))
    folder = write_csv("b.tsv", HEADER, ("QV", "DI", ""), separator="\t")
    source = read_source(table_benchmark(["a.csv", "b.tsv"]), folder)
    assert source.rows.select("file", "row", "antibody", "vh", "vl", "label").rows() == [
        ("a.csv", 1, 0, "EV", None, "1.0"),
        ("a.csv", 2, 1, None, "DI", "no"),
        ("b.tsv", 1, 2, "QV", "DI", None),
    ]
    assert source.source_rows == 3


def test_csv_and_parquet_of_the_same_table_read_alike(table_benchmark, write_csv, tmp_path):
    folder = write_csv("a.csv", HEADER, ("EV", "DI", "1"), ("QV", "", "0"))
    pl.DataFrame({"heavy": ["EV", "QV"], "light": ["DI", None], "label": [1, 0]}).write_parquet(tmp_path / "a.parquet")
    tables = [read_source(table_benchmark([name]), folder).rows.drop("file") for name in ("a.csv", "a.parquet")]
    assert tables[0].equals(tables[1])


def test_all_files_that_cannot_be_read_are_named_at_once(table_benchmark, write_csv, problems_of, tmp_path):
    write_csv("a.csv", ("heavy", "light"), ("EV", "DI"))
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and no more")
    benchmark = table_benchmark(["a.csv", "b.parquet", "c.csv", "d.xlsx"])
    (tmp_path / "d.xlsx").touch()
    assert [problem.where for problem in problems_of(benchmark, tmp_path)] == ["a.csv", "b.parquet", "c.csv", "d.xlsx"]


def test_the_files_that_can_be_read_are_read_nevertheless(table_benchmark, write_csv):
    folder = write_csv("a.csv", HEADER, ("EV", "DI", "1"))
    problems = []
    (chunk,) = chunks_as_far_as_possible(table_benchmark(["b.csv", "a.csv"]), folder, problems)
    assert chunk.rows["vh"].to_list() == ["EV"]
    assert [problem.where for problem in problems] == ["b.csv"]


def test_columns_may_be_called_like_our_own(table_benchmark, write_csv):
    folder = write_csv("a.csv", ("file", "row", "antibody"), ("EV", "DI", "1"), ("QV", "", "0"))
    names = {"vh": "file", "vl": "row", "label": "antibody", "sequence_id": "row"}
    rows = read_source(table_benchmark(columns=names), folder).rows
    assert rows.select("file", "row", "vh", "vl", "label").rows() == [
        ("a.csv", 1, "EV", "DI", "1"),
        ("a.csv", 2, "QV", None, "0"),
    ]


def test_all_columns_missing_leaves_rows_without_content(table_benchmark, write_csv):
    folder = write_csv("a.csv", ("x", "y"), ("1", "2"), ("3", "4"))
    problems = []
    (chunk,) = chunks_as_far_as_possible(table_benchmark(), folder, problems)
    assert "columns 'label' (columns.label), 'heavy' (columns.vh), 'light' (columns.vl) are missing" in str(problems[0])
    assert chunk.rows.select("row", "vh").rows() == [(1, None), (2, None)]


@pytest.mark.parametrize("layout", ["airr", "oas", "cov-abdab"])
def test_a_file_without_the_columns_of_its_format_gives_no_rows(format_benchmark, write_csv, layout):
    first = ('{"Subject": "D1"}',)
    write_csv("a.csv", *((first, ("x", "y")) if layout == "oas" else (("x", "y"),)), ("1", "2"))
    folder = write_csv("a.tsv", ("x", "y"), ("1", "2"), separator="\t")
    problems = []
    assert list(chunks_as_far_as_possible(format_benchmark(layout), folder, problems)) == []
    assert [f'format "{layout}"' in problem.what for problem in problems] == [True]


def test_a_part_column_counts_in_published_splits_alone(table_benchmark, write_csv):
    folder = write_csv(
        "a.csv", (*HEADER, "set"), ("E", "D", "1", "Training"), ("Q", "D", "0", "val"), ("E", "D", "1", "?")
    )
    published = table_benchmark(columns={"part": "set"}, split={"policy": "published"})
    source = read_source(published, folder)
    assert source.rows["part"].to_list() == ["train", "validation"]
    assert source.rejected.select("row", "column", "value", "reason").rows() == [(3, "set", "?", "undeclared-part")]
    assert read_source(table_benchmark(columns={"part": "set"}), folder).rows["part"].to_list() == [None] * 3


def test_positions_of_a_table_are_lists(table_benchmark, write_csv):
    folder = write_csv("a.csv", (*HEADER, "imgt"), ("EV", "", "1", "1 2"), ("EV", "", "1", ""))
    rows = read_source(table_benchmark(columns={"vh_positions": "imgt"}), folder).rows
    assert rows["vh_positions"].to_list() == [["1", "2"], None]


@pytest.mark.parametrize(("name", "suffix"), [("A.CSV.GZ", ".csv"), ("x/b.fasta", ".fasta"), ("c", ""), ("d.gz", "")])
def test_the_suffix_tells_the_format(name, suffix):
    assert suffix_of(name) == suffix
