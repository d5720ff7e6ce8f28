"""benchmark.toml is refused with every problem, each on its line and with the way out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_assets.benchmarks.reading import FILE_NAME, line_of, name_of, nearest_name, read_benchmark
from ab_assets.errors import InvalidBenchmarkError, UnknownNameError

MINIMAL = 'task = "antigen-specificity"\n[source]\nfiles = ["antibodies.csv"]\n'
NAMES = st.text("abcdefgh_-", min_size=1, max_size=6)


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a benchmark.toml of this text."""

    def read_text(text, name="covid"):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / FILE_NAME).write_text(text, encoding="utf-8")
        return read_benchmark(folder)

    return read_text


@pytest.fixture
def problems(read):
    """Return a function that returns the problems of a benchmark.toml of this text."""

    def problems_of(text, name="covid"):
        with pytest.raises(InvalidBenchmarkError) as caught:
            read(text, name)
        return caught.value.problems

    return problems_of


def test_the_folder_names_the_benchmark(read):
    assert read(MINIMAL, "covid-2024").name == "covid-2024"


def test_a_given_name_is_taken_instead_of_the_folders(tmp_path):
    (tmp_path / FILE_NAME).write_text(MINIMAL)
    assert read_benchmark(tmp_path, name="covid").name == "covid"


def test_the_current_folder_has_a_name_too(tmp_path, monkeypatch):
    folder = tmp_path / "covid"
    folder.mkdir()
    (folder / FILE_NAME).write_text(MINIMAL)
    monkeypatch.chdir(folder)
    assert read_benchmark(type(tmp_path)()).name == "covid"


def test_what_the_file_says_is_what_is_read(read):
    benchmark = read(
        'title = "Neutralisation"\nchains = "HL"\nmodels = ["antiberty", "esm2-8m"]\n'
        + MINIMAL
        + '[columns]\nvh = "heavy"\npositive = ["1"]\n[training]\nepochs = 3\n'
        + "[split]\nidentity = { vh = 0.8 }\nfolds = 5\n"
    )
    assert (benchmark.title, benchmark.chains, benchmark.models) == ("Neutralisation", "HL", ("antiberty", "esm2-8m"))
    assert (benchmark.columns.vh, benchmark.columns.positive) == ("heavy", ("1",))
    assert (benchmark.split.identity.vh, benchmark.split.identity.cdrh3, benchmark.split.folds) == (0.8, 0.8, 5)
    assert benchmark.training.overrides() == {"epochs": 3}


def test_a_folder_without_the_file_is_no_benchmark(tmp_path):
    with pytest.raises(UnknownNameError, match=r"no benchmark\.toml here"):
        read_benchmark(tmp_path)


def test_broken_syntax_is_told_with_its_line(problems):
    [problem] = problems('task = "paratope"\nchains = H\n')
    assert problem.where == f"{FILE_NAME}:2"
    assert "not TOML" in problem.what
    assert "line 2" in problem.what


def test_the_file_may_not_name_the_benchmark(problems):
    [problem] = problems(f'title = "x"\nname = "y"\n{MINIMAL}')
    assert problem.where == f"{FILE_NAME}:2"
    assert "folder's name" in problem.hint


def test_a_folder_that_is_no_key_is_refused(problems):
    [problem] = problems(MINIMAL, "Covid 2024")
    assert "'Covid 2024' is no benchmark name" in problem.what


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        (f"taks = 1\n{MINIMAL}", "taks", "task"),
        (f"{MINIMAL}[split]\npolcy = 'group'\n", "split.polcy", "policy"),
        (f"{MINIMAL}[split]\nidentity = {{ vhh = 0.9 }}\n", "split.identity.vhh", "vh"),
        (f"{MINIMAL}[split.identity]\ncdr3 = 0.9\n", "split.identity.cdr3", "cdrh3"),
        (f"{MINIMAL}lisence = 'MIT'\n", "source.lisence", "licence"),
        (f"{MINIMAL}[column]\nvh = 'heavy'\n", "column", "columns"),
        (f"{MINIMAL}[[source.download]]\nfile='a'\nsha256='{'0' * 64}'\nurls='b'\n", "source.download (1).urls", "url"),
    ],
)
def test_unknown_key_names_the_nearest(problems, text, key, nearest):
    [problem] = problems(text)
    assert problem.what == f"unknown key '{key}'"
    assert problem.hint == f"Did you mean '{nearest}'?"


def test_unknown_key_near_nothing_lists_what_is_known(problems):
    [problem] = problems(f"{MINIMAL}[candidates]\nxyzzy = 1\n")
    assert problem.hint == "Known: files."


def test_the_name_is_no_key_to_suggest(problems):
    [problem] = problems(f'nmae = "x"\n{MINIMAL}')
    assert "'name'" not in problem.hint


def test_all_problems_are_told_at_once_each_with_its_line(problems):
    found = problems(
        'task = "affinity"\n'  # 1
        "colour = 1\n"  # 2
        "[source]\n"  # 3
        'file = ["a.csv"]\n'  # 4
        "[split]\n"  # 5
        "folds = 2\n"  # 6
        "identity = { vh = 1.5 }\n"  # 7
        "[training]\n"  # 8
        'epochs = "many"\n'  # 9
    )
    lines = {problem.where.removeprefix(f"{FILE_NAME}:"): problem.what for problem in found}
    assert sorted(lines) == ["1", "2", "3", "4", "6", "7", "9"]
    assert len(found) == 7
    assert lines["3"] == "the key 'source.files' is missing"


def test_a_problem_says_what_was_found_and_what_is_expected(problems):
    [problem] = problems(f"{MINIMAL}[split]\nfolds = 2\n")
    assert problem.where == f"{FILE_NAME}:5"
    assert problem.what == "split.folds cannot have this value"
    assert (problem.found, problem.expected) == ("2", "at least 3")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("title = 3", "found 3, expected text in quotation marks"),
        ("retired = 1", "found 1, expected true or false"),
        ('models = "antiberty"', "expected a list in square brackets"),
        ("models = [true]", "models (1) cannot have this value (found true, expected text"),
        ("split = 3", "expected keys of its own, below a line [split]"),
        ("split = { folds = 3.5 }", "found 3.5, expected a whole number"),
        ("curation = { vh_length = [50] }", "curation.vh_length has too few entries (found [50])"),
        ("curation = { vh_length = [50, 60, 70] }", "found [50, 60, 70], expected a list of 2 entries"),
        ("training = { dropout = 1 }", "found 1, expected less than 1"),
    ],
)
def test_a_value_of_another_kind_is_told_in_words(problems, line, words):
    [problem] = problems(f"{line}\n{MINIMAL}")
    assert words in str(problem)


def test_a_contradiction_points_at_its_table(problems):
    [problem] = problems(f'{MINIMAL}[split]\npolicy = "random"\n')
    assert problem.where == f"{FILE_NAME}:4"
    assert 'say certificate = "report"' in problem.what


def test_the_message_lists_every_problem(read):
    with pytest.raises(InvalidBenchmarkError) as caught:
        read('task = "x"\n')
    assert "benchmark covid has 2 problem(s)" in str(caught.value)
    assert str(caught.value).count("\n  - benchmark.toml:") == 2


@settings(deadline=None)
@given(
    st.dictionaries(NAMES, st.lists(NAMES, min_size=1, max_size=4, unique=True), min_size=1, max_size=4), st.randoms()
)
def test_line_of_points_at_the_offending_line(tables, random):
    lines, places = [], {}
    for table, keys in tables.items():
        lines += [*["", "# a comment"][: random.randint(0, 2)], f"[{table}]"]
        places[(table,)] = len(lines)
        for key in keys:
            lines.append(f'{" " * random.randint(0, 2)}{key}{" " * random.randint(0, 1)}= ["x"] # [{table}]')
            places[table, key] = len(lines)
    text = "\n".join(lines)
    assert {path: line_of(text, path) for path in places} == places


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("task",), 1),
        (("source", "files"), 3),
        (("source", "files", 1), 3),
        (("split", "identity", "vh"), 8),
        (("split", "identity", "cdrh3"), 8),
        (("split", "parts", "test"), 10),
        (("split", "folds"), 7),
        (("source", "licence"), 2),
        (("training", "epochs"), 1),
    ],
)
def test_line_of_falls_back_to_the_nearest_parent(path, line):
    text = (
        'task = "paratope"\n[source]\nfiles = [\n  "a.csv",\n  3,\n]\n[split]\n'
        "identity = { vh = 2 }\n[split.parts]\ntest = 1\n"
    )
    assert line_of(text, path) == line


def test_nearest_name_prefers_the_nearest_over_a_list():
    known = ["antiberty", "esm2-8m", "esm2-650m"]
    assert nearest_name("esm2_8m", known) == "Did you mean 'esm2-8m'?"
    assert nearest_name("zzz", known) == "Known: antiberty, esm2-650m, esm2-8m."


@pytest.fixture
def refused(tmp_path):
    """Return a function that returns the problems of a benchmark.toml of these bytes."""

    def problems_of(content):
        (tmp_path / FILE_NAME).write_bytes(content)
        with pytest.raises(InvalidBenchmarkError) as caught:
            read_benchmark(tmp_path, name="covid")
        return caught.value.problems

    return problems_of


def test_a_name_in_the_file_does_not_hide_other_problems(refused):
    found = refused(b'name = "x"\ncolour = 1\n')
    assert [problem.what for problem in found] == [
        "unknown key 'name'",
        "the key 'task' is missing",
        "the key 'source' is missing",
        "unknown key 'colour'",
    ]


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf" + MINIMAL.encode(), MINIMAL.replace("\n", "\r\n").encode()])
def test_what_editors_put_around_lines_is_no_syntax_error(tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content)
    assert read_benchmark(tmp_path, name="covid").source.files == ("antibodies.csv",)


def test_bytes_that_are_no_utf8_are_refused_not_replaced(refused):
    [problem] = refused(MINIMAL.encode() + b'title = "\xe9"\n')
    assert (problem.what, problem.where) == ("this is not UTF-8 text", f"{FILE_NAME}:4")


@pytest.mark.parametrize("content", [b"a = " + b"[" * 5000, b"a = " + b"1" * 5000])
def test_what_the_parser_gives_up_on_is_refused_in_words(refused, content):
    [problem] = refused(content)
    assert problem.what.startswith("this is not TOML")


@pytest.mark.parametrize("number", ["inf", "1e400", "nan"])
def test_what_is_no_finite_number_is_refused(refused, number):
    [problem] = refused(f"{MINIMAL}[training]\nweight_decay = {number}\n".encode())
    assert problem.where == f"{FILE_NAME}:5"


def test_a_baseline_of_the_other_task_is_told_at_its_table(refused):
    [problem] = refused(f'{MINIMAL}[evaluation]\nprimary_baseline = "windowed-forest"\n'.encode())
    assert problem.where == f"{FILE_NAME}:4"
    assert "it has: kmer-logistic, nearest-neighbour" in problem.what


def test_a_linked_folder_has_the_name_it_is_called_by(tmp_path, monkeypatch):
    (tmp_path / "v1").mkdir()
    (tmp_path / "covid").symlink_to(tmp_path / "v1")
    monkeypatch.chdir(tmp_path / "v1")
    folder = type(tmp_path)
    assert name_of(tmp_path / "covid") == "covid"
    assert (name_of(folder()), name_of(folder("../covid")), name_of(folder(".."))) == ("v1", "covid", tmp_path.name)


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ('task = "a"\n\nsplit.policy = "x"\n', ("split", "policy"), 3),
        ('task = "a"\n\nsplit.policy = "x"\n', ("split",), 3),
        ('description = """\n[split]\npolicy = 1\n"""\n[split]\npolicy = "x"\n', ("split", "policy"), 6),
        ("[source]\nfiles = [ # two\n  'a',\n\n  'b',\n]\nlicence = 1\n", ("source", "licence"), 7),
        ('[[source.download]]\nfile = "a"\n[[source.download]]\nfile = 1\n', ("source", "download", 1, "file"), 4),
        ('[[source.download]]\nfile = "a"\n[[source.download]]\nfile = 1\n', ("source", "download", 0, "file"), 2),
        ("[[a]]\n[[a.b]]\ny = 1\n[[a]]\n[[a.b]]\ny = 2\n[a.c]\nz = 3\n", ("a", 1, "b", 0, "y"), 6),
        ("[[a]]\n[[a.b]]\ny = 1\n[[a]]\n[[a.b]]\ny = 2\n[a.c]\nz = 3\n", ("a", 1, "c", "z"), 8),
        ('[split]\nfolds = 3\n"po licy" = 1\n', ("split", "po licy"), 3),
        ('["sp.lit"]\nfolds = 3\n[sp.lit]\nfolds = 1\n', ("sp", "lit", "folds"), 4),
        ("\ufeffa = 1\r\nb = 2\r\n", ("b",), 2),
        ("a = 'one\u2028line'\nb = 2\n", ("b",), 2),
    ],
)
def test_line_of_understands_what_toml_allows(text, path, line):
    assert line_of(text, path) == line
