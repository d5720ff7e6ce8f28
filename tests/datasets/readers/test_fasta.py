import gzip

import pytest

from ab_assets.datasets.readers import read_source
from ab_assets.datasets.readers.fasta import read_fasta
from ab_assets.errors import UnreadableFileError


@pytest.fixture
def fasta_benchmark(table_benchmark, write_csv, tmp_path):
    """Records as {id: sequence} beside a side table with id, label."""

    def make(records, *rows, header=("id", "label"), **others):
        (tmp_path / "a.fasta").write_text("".join(f">{name} text\n{sequence}\n" for name, sequence in records))
        write_csv("labels.csv", header, *rows)
        columns = {"vh": None, "vl": None, "sequence_id": "id"} | others.pop("columns", {})
        source = {"format": "fasta"}
        return table_benchmark(["a.fasta", "labels.csv"], columns=columns, source=source, **others)

    return make


def test_records_may_span_lines_and_count_from_one(tmp_path):
    (tmp_path / "a.fa.gz").write_bytes(gzip.compress(b">x the first\nEV\nQL\n\n>y\r\n>\nAA", mtime=0))
    table = read_fasta(tmp_path / "a.fa.gz", file="a.fa.gz")
    assert table.rows() == [(1, "x", "EVQL"), (2, "y", None), (3, None, "AA")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"EVQL\n>x\n", "a.fa: line 1: this is no FASTA"),
        (b">\xff\n", "no UTF-8"),
        (gzip.compress(b">x\nE", mtime=0), "UTF-8"),
    ],
)
def test_what_is_no_fasta_file_is_refused_in_words(tmp_path, content, words):
    (tmp_path / "a.fa").write_bytes(content)
    with pytest.raises(UnreadableFileError, match=words):
        read_fasta(tmp_path / "a.fa", file="a.fa")


@pytest.mark.parametrize(("heavy", "light"), [("x_H", "x_L"), ("x|H", "x|L"), ("x_VH", "x_vl"), ("x_heavy", "x|light")])
def test_a_suffix_tells_the_chain_and_pairs_records(fasta_benchmark, tmp_path, heavy, light):
    rows = read_source(fasta_benchmark([(light, "DI"), (heavy, "EV")], ("x", "1")), tmp_path).rows
    assert rows.select("antibody", "sequence_id", "vh", "vl", "label").rows() == [
        (0, "x", None, "DI", "1"),
        (0, "x", "EV", None, "1"),
    ]


def test_an_id_without_suffix_is_a_heavy_chain_of_its_own(fasta_benchmark, tmp_path):
    rows = read_source(fasta_benchmark([("x", "EV"), ("x", "QV"), ("yL", "EI")], ("x", "1")), tmp_path).rows
    assert rows.select("antibody", "vh", "label").rows() == [(0, "EV", "1"), (1, "QV", "1"), (2, "EI", None)]


def test_the_side_table_may_name_whole_ids(fasta_benchmark, tmp_path):
    rows = read_source(fasta_benchmark([("x_H", "EV"), ("x_L", "DI")], ("x_H", "1")), tmp_path).rows
    assert rows["label"].to_list() == ["1", None]


def test_rows_of_the_side_table_that_name_nothing_or_again_are_rejected(fasta_benchmark, tmp_path):
    source = read_source(fasta_benchmark([("x_H", "EV")], ("x", "1"), ("x", "0"), ("z", "1"), ("", "1")), tmp_path)
    assert source.rows["label"].to_list() == ["1"]
    assert source.rejected.select("file", "row", "reason").rows() == [
        ("labels.csv", 2, "duplicate-id"),
        ("labels.csv", 3, "no-sequence"),
        ("labels.csv", 4, "no-sequence"),
    ]
    assert source.source_rows == 4


def test_groups_and_parts_come_from_the_side_table(fasta_benchmark, tmp_path):
    benchmark = fasta_benchmark(
        [("x_H", "EV"), ("x_L", "DI"), ("y_H", "EV")],
        ("x", "1", "d1", "train"),
        ("y", "0", "d2", "test"),
        header=("id", "label", "donor", "set"),
        columns={"subject_id": "donor", "part": "set"},
        split={"policy": "published"},
    )
    rows = read_source(benchmark, tmp_path).rows
    assert rows.select("antibody", "subject_id", "part").rows() == [
        (0, "d1", "train"),
        (0, "d1", "train"),
        (2, "d2", "test"),
    ]
