import subprocess
import sys

import pytest

from ab_assets.datasets.validation import problems_in, require_valid
from ab_assets.errors import InvalidBenchmarkError

HEADER = ("heavy", "light", "label")
CHAINS = ("pdb", "chain", "sequence", "imgt", "paratope")


def test_good_data_have_no_problems(table_benchmark, write_csv, vh, vl):
    folder = write_csv("a.csv", HEADER, (vh, vl, "1"), (vh[1:], vl, "0"), ("flawed", "", "0"))
    assert problems_in(table_benchmark(), folder) == []
    require_valid(table_benchmark(), folder)


def test_everything_is_said_at_once(table_benchmark, write_csv, vh, vl, tmp_path):
    write_csv("a.csv", HEADER, (vh, vl, "perhaps"), (vh, vl, "perhaps"))
    write_csv("b.csv", ("Heavy", "light", "label"), (vh, vl, "1"))
    (tmp_path / "c.csv.gz").write_bytes(b"\x1f\x8b\x08")
    benchmark = table_benchmark(["a.csv", "b.csv", "c.csv.gz", "d.csv"], columns={"negative": ["0"]})
    benchmark = benchmark.model_copy(update={"split": benchmark.split.model_copy(update={"test_files": ("e.csv",)})})
    text = "\n".join(str(problem) for problem in problems_in(benchmark, tmp_path))
    for words in (
        "'e.csv' is not among source.files",
        "column 'heavy' (columns.vh) is missing",
        "Did you mean 'Heavy'?",
        "c.csv.gz: the compressed file is truncated",
        "d.csv: there is no such file",
        "a.csv:1: row 1 below the header, column 'label': the label is not among the declared values (and 1 more row)",
    ):
        assert words in text


def test_many_wrong_values_are_summed_up(table_benchmark, write_csv, vh):
    folder = write_csv("a.csv", HEADER, *((vh, "", f"v{i}") for i in range(20)))
    problems = problems_in(table_benchmark(columns={"negative": ["0"]}), folder)
    assert [problem.where for problem in problems] == [*(f"a.csv:{i}" for i in range(1, 6)), "a.csv"]
    assert "15 more rows" in problems[-1].what


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("1", "H", "VH", "1 2", ""), "a.csv:1: row 1 below the header, column 'imgt': the list has another length"),
        (("1", "H", "VH", "", "01"), "column 'paratope': the list has another length"),
        (("1", "H", "VH", "", "2" * 120), "this is no list of paratope labels (found '2', expected 0 or 1"),
        (("1", "?", "VH", "", ""), "the chain is neither heavy nor light (found '?', expected heavy or light"),
    ],
)
def test_per_residue_data_that_do_not_fit_are_named_by_row(chain_benchmark, write_csv, vh, row, words):
    folder = write_csv("a.csv", CHAINS, [vh if cell == "VH" else cell for cell in row])
    assert words in "\n".join(str(problem) for problem in problems_in(chain_benchmark(), folder))


@pytest.mark.parametrize(
    ("label", "words"), [("1", "no negative antibody"), ("0", "no positive antibody"), ("", "no antibody has a label")]
)
def test_an_empty_class_is_a_problem(table_benchmark, write_csv, vh, label, words):
    assert words in str(problems_in(table_benchmark(), write_csv("a.csv", HEADER, (vh, "", label)))[0])


def test_a_paratope_set_without_paratopes_is_a_problem(chain_benchmark, write_csv, vh):
    folder = write_csv("a.csv", CHAINS, ("1", "H", vh, "", "0" * len(vh)))
    (problem,) = problems_in(chain_benchmark(), folder)
    assert "no residue of a paratope" in problem.what


def test_each_part_of_a_published_split_needs_both_classes(table_benchmark, write_csv, vh):
    write_csv("a.csv", HEADER, (vh, "", "1"), (vh[1:], "", "0"))
    folder = write_csv("b.csv", HEADER, (vh, "", "1"))
    split = {"policy": "published", "parts": {"train": ["a.csv"], "test": ["b.csv"]}}
    (problem,) = problems_in(table_benchmark(["a.csv", "b.csv"], split=split), folder)
    assert (problem.where, problem.what) == ("test part", "there is no negative antibody")
    without = table_benchmark(["a.csv"], split={"policy": "published", "parts": {"train": ["a.csv"]}})
    assert "the test part has no antibodies" in str(problems_in(without, folder))


def test_data_of_which_nothing_is_left_say_why(table_benchmark, write_csv):
    problems = problems_in(table_benchmark(), write_csv("a.csv", HEADER, ("EVQL", "", "1"), ("", "", "0")))
    assert [(problem.where, problem.found) for problem in problems] == [
        ("a.csv", "2 rows, all rejected"),
        ("a.csv:1", "4 residues"),
        ("a.csv:2", "an empty cell"),
    ]


def test_antibodies_without_the_chains_that_are_looked_at_are_of_no_use(table_benchmark, write_csv, vh, vl):
    folder = write_csv("a.csv", HEADER, (vh, "", "1"), ("", vl, "0"))
    (problem,) = problems_in(table_benchmark(chains="HL"), folder)
    assert "no antibody has a heavy chain and a light chain" in problem.what
    (problem,) = problems_in(table_benchmark(chains="H"), folder)
    assert "no negative antibody" in problem.what


def test_a_few_chains_of_the_other_kind_are_left_to_numbering(table_benchmark, write_csv, vh, vl):
    folder = write_csv("a.csv", HEADER, (vh, vl, "1"), (vh[1:], vl, "0"), (vl, vh, "0"))
    assert problems_in(table_benchmark(), folder) == []


def test_rows_of_one_antibody_may_share_an_id(table_benchmark, write_csv, vh):
    rows = (("a", vh, "", "1"), ("a", vh, "", "1"), ("b", vh[1:], "", "0"))
    folder = write_csv("a.csv", ("id", *HEADER), *rows)
    assert problems_in(table_benchmark(columns={"sequence_id": "id"}), folder) == []


@pytest.mark.parametrize("date", ["2020", "2020-03", "2020-03-01"])
def test_dates_that_sort_as_they_are_written_are_enough(table_benchmark, write_csv, vh, date):
    folder = write_csv("a.csv", (*HEADER, "day"), (vh, "", "1", date), (vh[1:], "", "0", date))
    assert problems_in(table_benchmark(columns={"date": "day"}, split={"policy": "time"}), folder) == []


def test_what_benchmark_toml_says_is_named_with_its_line(table_benchmark, write_csv, vh):
    folder = write_csv("a.csv", HEADER, (vh, "", "1"))
    (folder / "benchmark.toml").write_text("[split]\npolicy = 'time'\n")
    (problem,) = problems_in(table_benchmark(split={"policy": "time"}), folder)
    assert problem.where == "benchmark.toml:1: split"


def test_all_problems_travel_in_one_error(table_benchmark, tmp_path):
    benchmark = table_benchmark(["a.csv", "b.csv"], candidates={"files": ["c.csv"]})
    with pytest.raises(InvalidBenchmarkError) as caught:
        require_valid(benchmark, tmp_path)
    assert [problem.where for problem in caught.value.problems] == ["a.csv", "b.csv", "c.csv"]


def test_validation_loads_no_model_and_no_dagster():
    code = (
        "import sys, ab_assets.datasets.validation, ab_assets.datasets.selection;"
        "print(*{'torch', 'anarcii', 'transformers', 'sklearn', 'dagster', 'pyarrow'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
