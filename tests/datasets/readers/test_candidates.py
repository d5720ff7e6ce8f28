import pytest

from ab_assets.datasets.curation import curate
from ab_assets.datasets.readers import read_source
from ab_assets.datasets.readers.candidates import as_candidates
from ab_assets.errors import BadInputError


def read(benchmark, path):
    over = as_candidates(benchmark, path)
    return curate(read_source(over, path.parent), over, numbering=None).rows


def test_labels_are_neither_needed_nor_read(table_benchmark, write_csv, vh):
    folder = write_csv("new.csv", ("name", "heavy", "label"), ("x", vh, "1"))
    rows = read(table_benchmark(columns={"sequence_id": "name"}), folder / "new.csv")
    assert rows.select("sequence_id", "vh", "label").rows() == [("x", vh, None)]


def test_plain_column_names_are_understood(chain_benchmark, write_csv, vh):
    folder = write_csv("new.csv", ("id", "vh"), ("x", vh))
    assert read(chain_benchmark(), folder / "new.csv").select("sequence_id", "vh").rows() == [("x", vh)]


def test_per_chain_tables_are_paired(chain_benchmark, write_csv, vh, vl):
    folder = write_csv("new.csv", ("pdb", "chain", "sequence"), ("1abc", "H", vh), ("1abc", "L", vl))
    rows = read(chain_benchmark(chains="HL"), folder / "new.csv")
    assert rows.select("sequence_id", "vh", "vl", "vh_paratope").rows() == [("1abc", vh, vl, None)]


def test_fasta_files_need_no_side_table(table_benchmark, tmp_path, vh):
    (tmp_path / "new.fasta").write_text(f">x\n{vh}\n")
    assert read(table_benchmark(), tmp_path / "new.fasta")["sequence_id"].to_list() == ["x"]


def test_a_chain_that_is_looked_at_must_have_a_column(table_benchmark, write_csv, vh):
    folder = write_csv("new.csv", ("heavy", "lights"), (vh, ""))
    with pytest.raises(BadInputError, match=r"vl sequences.*expected 'light' or 'vl'.*Did you mean 'lights'"):
        as_candidates(table_benchmark(chains="HL"), folder / "new.csv")
