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
        "a.csv:1: column 'label': the label is not among the declared values (and 1 more rows) (found 'perhaps')",
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
        (("1", "H", "VH", "1 2", ""), "a.csv:1: column 'imgt': the list has another length"),
        (("1", "H", "VH", "", "01"), "a.csv:1: column 'paratope': the list has another length"),
        (("1", "H", "VH", "", "2" * 120), "this is no list of paratope labels (found '2')"),
        (("1", "?", "VH", "", ""), "the chain is neither heavy nor light (found '?')"),
    ],
)
def test_per_residue_data_that_do_not_fit_are_named_by_row(chain_benchmark, write_csv, vh, row, words):
    folder = write_csv("a.csv", CHAINS, [vh if cell == "VH" else cell for cell in row])
    assert words in "\n".join(str(problem) for problem in problems_in(chain_benchmark(), folder))


@pytest.mark.parametrize(
    ("label", "words"), [("1", "no negative antibody"), ("0", "no positive antibody"), ("", "found 0 labels")]
)
def test_an_empty_class_is_a_problem(table_benchmark, write_csv, vh, label, words):
    assert words in str(problems_in(table_benchmark(), write_csv("a.csv", HEADER, (vh, "", label)))[0])


def test_a_paratope_set_without_paratopes_is_a_problem(chain_benchmark, write_csv, vh):
    folder = write_csv("a.csv", CHAINS, ("1", "H", vh, "", "0" * len(vh)))
    (problem,) = problems_in(chain_benchmark(), folder)
    assert "no paratope residue" in problem.what


def test_each_part_of_a_published_split_needs_both_classes(table_benchmark, write_csv, vh):
    write_csv("a.csv", HEADER, (vh, "", "1"), (vh[1:], "", "0"))
    folder = write_csv("b.csv", HEADER, (vh, "", "1"))
    split = {"policy": "published", "parts": {"train": ["a.csv"], "test": ["b.csv"]}}
    (problem,) = problems_in(table_benchmark(["a.csv", "b.csv"], split=split), folder)
    assert (problem.where, problem.what) == ("test part", "there is no negative antibody")
    without = table_benchmark(["a.csv"], split={"policy": "published", "parts": {"train": ["a.csv"]}})
    assert "the test part has no antibodies" in str(problems_in(without, folder))


def test_data_of_which_nothing_is_left_say_why(table_benchmark, write_csv):
    (problem,) = problems_in(table_benchmark(), write_csv("a.csv", HEADER, ("EVQL", "", "1"), ("", "", "0")))
    assert problem.found == "2 rows, rejected: 1 length, 1 no-sequence"


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
