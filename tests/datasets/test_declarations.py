import pytest

from ab_assets.datasets.declarations import declaration_problems


def said(benchmark):
    return [str(problem) for problem in declaration_problems(benchmark)]


def test_a_complete_declaration_has_no_problems(table_benchmark, chain_benchmark):
    assert said(table_benchmark(chains="HL")) == []
    assert said(chain_benchmark(chains="HL")) == []


@pytest.mark.parametrize(("chains", "missing"), [("H", ["vh"]), ("L", ["vl"]), ("HL", ["vh", "vl"])])
def test_tables_need_a_column_for_each_chain(table_benchmark, chains, missing):
    lines = said(table_benchmark(columns={"vh": None, "vl": None}, chains=chains))
    assert [line.split(" is not declared")[0].split("columns.")[-1] for line in lines] == missing


def test_each_format_and_task_needs_its_columns(chain_benchmark, table_benchmark):
    lines = said(chain_benchmark(columns={"entry": None, "paratope": None, "chain": None}, chains="HL"))
    assert len(lines) == 3
    assert "columns.label is not declared" in said(table_benchmark(columns={"label": None, "positive": []}))[0]


def test_paratopes_need_one_label_per_residue(table_benchmark):
    assert 'expected "sabdab"' in said(table_benchmark(task="paratope"))[0]


def test_a_column_that_the_format_does_not_read_is_named(table_benchmark):
    assert "columns.paratope says nothing" in said(table_benchmark(columns={"paratope": "x"}))[0]


def test_labels_must_tell_positives_from_negatives(table_benchmark):
    assert "no value is declared as positive" in said(table_benchmark(columns={"positive": []}))[0]
    assert (
        "label '1' is declared as positive and as negative" in said(table_benchmark(columns={"negative": ["1.0"]}))[0]
    )


def test_a_file_stands_in_one_part(table_benchmark):
    lines = said(table_benchmark(["a.csv"], split={"test_files": ["a.csv"], "parts": {"train": ["a.csv"]}}))
    assert "more than one part" in lines[0]


def test_parts_and_test_files_must_be_among_the_files(table_benchmark):
    lines = said(table_benchmark(["a.csv"], split={"test_files": ["a.tsv"], "parts": {"validation": ["zzz"]}}))
    assert "Did you mean 'a.csv'?" in lines[0]
    assert "split.parts.validation: file 'zzz' is not among source.files" in lines[1]


def test_policies_need_what_they_divide_by(table_benchmark):
    assert "columns.date" in said(table_benchmark(split={"policy": "time"}))[0]
    assert "columns.subject_id" in said(table_benchmark(split={"policy": "group"}))[0]
    assert "which part 'a.csv' is" in said(table_benchmark(split={"policy": "published"}))[0]
    assert said(table_benchmark(columns={"part": "set"}, split={"policy": "published"})) == []


def test_fasta_needs_records_and_a_side_table(table_benchmark):
    columns = {"vh": None, "vl": None, "sequence_id": "id"}
    assert "side table" in said(table_benchmark(["a.fasta"], columns=columns, source={"format": "fasta"}))[0]
    assert "no FASTA file" in said(table_benchmark(["a.csv"], columns=columns, source={"format": "fasta"}))[0]
    split = {"policy": "published", "parts": {"train": ["a.fa.gz"]}}
    benchmark = table_benchmark(["a.fa.gz", "b.csv"], columns=columns, source={"format": "fasta"}, split=split)
    assert said(benchmark) == []
