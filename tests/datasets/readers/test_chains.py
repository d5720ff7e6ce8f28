import polars as pl
import pytest

from ab_assets.datasets.readers import read_source

HEADER = ("pdb", "chain", "sequence", "imgt", "paratope")


def antibodies(rows):
    """The chains of each antibody, in file order."""
    return rows.group_by("antibody", maintain_order=True).agg("row")["row"].to_list()


def test_chains_of_an_entry_are_one_antibody(chain_benchmark, write_csv):
    folder = write_csv("a.csv", HEADER, ("1abc", "heavy", "EV", "1 2", "01"), ("1abc", "light", "DI", "1 2", "0 0"))
    rows = read_source(chain_benchmark(), folder).rows
    assert antibodies(rows) == [[1, 2]]
    assert rows.select("vh", "vl", "vh_paratope", "vl_positions").rows() == [
        ("EV", None, ["0", "1"], None),
        (None, "DI", None, ["1", "2"]),
    ]


def test_several_copies_pair_in_file_order_and_leftovers_stay_single(chain_benchmark, write_csv):
    kinds = ["H", "H", "L", "H", "L"]
    folder = write_csv("a.csv", HEADER, *(("1abc", kind, "EV", "", "") for kind in kinds))
    assert antibodies(read_source(chain_benchmark(), folder).rows) == [[1, 3], [2, 5], [4]]


def test_a_chain_without_entry_is_an_antibody_of_its_own(chain_benchmark, write_csv):
    folder = write_csv("a.csv", HEADER, ("", "H", "EV", "", ""), ("", "L", "DI", "", ""))
    assert antibodies(read_source(chain_benchmark(), folder).rows) == [[1], [2]]


def test_an_entry_in_two_parts_is_not_paired_across_them(chain_benchmark, write_csv):
    write_csv("a.csv", HEADER, ("1abc", "H", "EV", "", ""))
    folder = write_csv("b.csv", HEADER, ("1abc", "L", "DI", "", ""))
    files = ["a.csv", "b.csv"]
    assert antibodies(read_source(chain_benchmark(files), folder).rows) == [[1, 1]]
    split = {"policy": "published", "parts": {"train": ["a.csv"], "test": ["b.csv"]}}
    assert antibodies(read_source(chain_benchmark(files, split=split), folder).rows) == [[1], [1]]


@pytest.mark.parametrize(
    ("name", "column"), [("Heavy", "vh"), ("IGH", "vh"), ("kappa", "vl"), ("L", "vl"), ("IGL", "vl")]
)
def test_chains_are_named_in_the_usual_ways(chain_benchmark, write_csv, name, column):
    folder = write_csv("a.csv", HEADER, ("1abc", name, "EV", "", ""))
    assert read_source(chain_benchmark(), folder).rows[column].to_list() == ["EV"]


@pytest.mark.parametrize("name", ["antigen", ""])
def test_another_chain_is_rejected(chain_benchmark, write_csv, name):
    folder = write_csv("a.csv", HEADER, ("1abc", name, "EV", "", ""), ("1abc", "H", "EV", "", ""))
    source = read_source(chain_benchmark(), folder)
    assert source.rows["row"].to_list() == [2]
    assert source.rejected.select("row", "column", "reason").rows() == [(1, "chain", "unknown-chain")]


def test_lists_of_parquet_and_text_read_alike(chain_benchmark, write_csv, tmp_path):
    folder = write_csv("a.csv", HEADER, ("1abc", "H", "EV", "1 2", "01"))
    frame = pl.DataFrame({"pdb": "1abc", "chain": "H", "sequence": "EV", "imgt": [["1", "2"]], "paratope": [[0, 1]]})
    frame.write_parquet(tmp_path / "a.parquet")
    tables = [read_source(chain_benchmark([name]), folder).rows.drop("file") for name in ("a.csv", "a.parquet")]
    assert tables[0].equals(tables[1])


def test_the_cdrh3_of_a_light_row_is_no_cdrh3(chain_benchmark, write_csv):
    folder = write_csv("a.csv", (*HEADER, "cdr3"), ("1abc", "H", "EV", "", "", "AR"), ("1abc", "L", "DI", "", "", "QQ"))
    assert read_source(chain_benchmark(columns={"cdrh3": "cdr3"}), folder).rows["cdrh3"].to_list() == ["AR", None]
