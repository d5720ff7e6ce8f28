import gzip

import pytest

from ab_assets.datasets.readers.delimited import read_delimited
from ab_assets.errors import UnreadableFileError


def read(path, *wanted, separator=","):
    (table,) = read_delimited(path, file=path.name, separator=separator, wanted=wanted)
    return table


def rows_of(table):
    return list(zip(table.rows.to_list(), *(column.to_list() for column in table.columns.values()), strict=True))


@pytest.fixture
def file(tmp_path):
    def write(content, name="a.csv"):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


def test_only_wanted_columns_are_kept_and_rows_count_from_one(file):
    table = read(file(b"a,b,c\n1,2,3\n4,5,6\n"), "c", "a", "z")
    assert table.header == ("a", "b", "c")
    assert list(table.columns) == ["a", "c"]
    assert rows_of(table) == [(1, "1", "3"), (2, "4", "6")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_line_ends_byte_order_mark_and_quotes_are_spelling(file, end):
    content = b"\xef\xbb\xbf" + end.join([b"a, b ", b'"x,\ny",2', b""])
    assert rows_of(read(file(content), "a", "b")) == [(1, "x,\ny", "2")]


def test_tabs_and_gzip_are_read_alike(file):
    assert rows_of(read(file(gzip.compress(b"a\tb\n1\t2\n", mtime=0), "a.tsv.gz"), "b", separator="\t")) == [(1, "2")]


def test_an_empty_line_counts_but_is_no_row(file):
    assert rows_of(read(file(b"a,b\n1,2\n\n3,4\n"), "a")) == [(1, "1"), (3, "3")]


def test_a_header_alone_is_a_table_without_rows(file):
    assert rows_of(read(file(b"a,b\n"), "a")) == []


@pytest.mark.parametrize(
    ("content", "row", "found"), [(b"a,b\n1,2\n3\n", 2, "1 cells"), (b"a,b\n1,2,3\n", 1, "3 cells")]
)
def test_a_row_with_another_number_of_cells_is_named(file, content, row, found):
    with pytest.raises(UnreadableFileError) as caught:
        read(file(content), "a")
    assert (caught.value.problem.where, caught.value.problem.found) == (f"a.csv:{row}", found)


@pytest.mark.parametrize("cut", [5, 15, 30, 60])
def test_a_truncated_gzip_file_is_said_to_be_one(file, cut):
    whole = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(50)))
    with pytest.raises(UnreadableFileError, match=r"a\.csv\.gz.*truncated or damaged"):
        read(file(whole[:cut], "a.csv.gz"), "a")


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"", "a.csv", "empty"),
        (b"a,b\n", "a.csv.gz", "no gzip file"),
        (gzip.compress(b"a,b\n", mtime=0), "a.csv", "no UTF-8 text"),
        ("a,b\n1,ä\n".encode("latin-1"), "a.csv", "no UTF-8 text"),
        (b'a,b\n1,2\n"3,4\n', "a.csv", r"a\.csv:2: row 2 below the header: a quotation mark has no partner"),
        (b'"a,b\n', "a.csv", "the header: a quotation mark has no partner"),
        (b"\na,b\n", "a.csv", "the first line is empty"),
        (gzip.compress("a,b\n1,ä\n".encode("latin-1"), mtime=0), "a.csv.gz", r"line 2: this is no UTF-8 text.*'1,'"),
        (b"PK\x03\x04\xff", "a.csv", "spreadsheet"),
        ("a,b\n".encode("utf-16"), "a.csv", "UTF-16"),
        (gzip.compress(b"a,b\n" + b"\xff" * 9999 + bytes(range(256)) * 99, mtime=0)[:300], "a.csv.gz", "no UTF-8 text"),
    ],
)
def test_what_is_no_table_is_refused_in_words(file, content, name, words):
    with pytest.raises(UnreadableFileError, match=words):
        read(file(content, name), "a")
