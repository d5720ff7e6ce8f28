"""Editing what is computed changes the code version; editing what a person reads does not."""

from __future__ import annotations

import textwrap
import time

import pytest

from ab_assets.artifacts import code_version
from ab_assets.artifacts.code_version import changed_since_loaded, code_of, normalised_digest, settled
from ab_assets.errors import UnreadableFileError

SOURCE = '''
"""Identity of two chains."""

BOUND = 0.9


class Comparator:
    """Compares."""

    bound = BOUND

    def near(self, left: str, right: str) -> bool:
        """Tell whether two chains are near."""
        if not left:
            raise ValueError("the left chain is empty")
        return sum(a == b for a, b in zip(left, right)) / len(left) >= self.bound
'''


def changed(old, new):
    assert old in SOURCE
    return normalised_digest(SOURCE.replace(old, new)) != normalised_digest(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("BOUND = 0.9", "BOUND = 0.9  # as declared"),
        ('"""Identity of two chains."""', '"""How alike two chains are."""'),
        ('"""Identity of two chains."""', ""),
        ('    """Compares."""\n', ""),
        ('"""Tell whether two chains are near."""', "# Tell whether"),
        ('"the left chain is empty"', '"nothing to compare"'),
        ('"the left chain is empty"', 'f"{left!r} is empty"'),
        ("BOUND = 0.9", "\n\nBOUND   =   0.9\n"),
        (
            "(a == b for a, b in zip(left, right))",
            "(\n            a == b\n            for a, b in zip(left, right)\n        )",
        ),
        ('"the left chain is empty"', "'the left chain is empty'"),
    ],
)
def test_comment_docstring_layout_or_message_does_not_change_the_code_version(old, new):
    assert not changed(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("BOUND = 0.9", "BOUND = 0.8"),
        (">= self.bound", "> self.bound"),
        ("def near(self, left: str, right: str)", "def near(self, right: str, left: str)"),
        ("def near", "def close"),
        ("if not left", "if left"),
        ("ValueError", "KeyError"),
        ("    bound = BOUND\n", ""),
        ("class Comparator:", "class Comparator(dict):"),
        ("    def near", "    @staticmethod\n    def near"),
        ("BOUND = 0.9", 'BOUND = 0.9\nNAME = "near"'),
    ],
)
def test_edited_function_changes_the_code_version(old, new):
    assert changed(old, new)


def test_a_text_that_is_a_value_counts():
    assert normalised_digest('REASON = "no-vh"') != normalised_digest('REASON = "no-vl"')
    assert normalised_digest('def f():\n    return "a"') != normalised_digest('def f():\n    return "b"')


def test_a_function_of_nothing_but_its_docstring_is_one_that_passes():
    assert normalised_digest('def f():\n    """Wait."""') == normalised_digest("def f():\n    pass")


@pytest.fixture
def closure(tmp_path, monkeypatch):
    """Return a function that writes a package into a fresh tree and returns the closure of its module `start`."""
    trees = iter(range(100))

    def code_in(modules, start="ab_assets.start"):
        root = tmp_path / str(next(trees))
        for name, source in modules.items():
            path = root / "ab_assets" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(source))
        monkeypatch.setattr(code_version, "_ROOT", root)
        return code_of([start])

    return code_in


@pytest.mark.parametrize(
    "source",
    [
        "import ab_assets.other",
        "import ab_assets.other as near",
        "from ab_assets import other",
        "from ab_assets.other import f",
        "from ab_assets.other import *",
        "def g():\n    from ab_assets.other import f\n    return f()",
        "class A:\n    def g(self):\n        import ab_assets.other\n",
        "try:\n    from ab_assets.other import f\nexcept ImportError:\n    f = None",
    ],
)
def test_every_way_to_import_counts_inside_functions_too(closure, source):
    assert "ab_assets.other" in closure({"start.py": source, "other.py": "def f(): return 1"})


def test_imports_for_types_count_because_the_methods_of_those_types_run(closure):
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ab_assets.other import Split"
    assert "ab_assets.other" in closure({"start.py": source, "other.py": "class Split: pass"})


def test_imports_of_imports_count(closure):
    modules = {"start.py": "import ab_assets.b", "b.py": "import ab_assets.c", "c.py": "X = 1"}
    before = closure(modules)
    after = closure(modules | {"c.py": "X = 2"})
    assert before["ab_assets.c"] != after["ab_assets.c"]
    assert {name for name in before if before[name] != after[name]} == {"ab_assets.c"}


def test_what_a_package_hands_on_is_followed_to_where_it_is_written(closure):
    modules = {
        "start.py": "from ab_assets.readers import read",
        "readers/__init__.py": "from ab_assets.readers.delimited import read",
        "readers/delimited.py": "def read(): return 1",
    }
    found = closure(modules)
    assert set(found) == {"ab_assets.start", "ab_assets.readers", "ab_assets.readers.delimited"}


def test_a_package_may_be_where_the_closure_starts(closure):
    modules = {"readers/__init__.py": "from ab_assets.readers import fasta", "readers/fasta.py": ""}
    assert set(closure(modules, "ab_assets.readers")) == {"ab_assets.readers", "ab_assets.readers.fasta"}


def test_modules_that_import_each_other_end(closure):
    found = closure({"start.py": "import ab_assets.b", "b.py": "import ab_assets.start"})
    assert set(found) == {"ab_assets.start", "ab_assets.b"}


def test_a_module_nobody_imports_does_not_count(closure):
    modules = {"start.py": "X = 1", "other.py": "X = 1"}
    assert closure(modules) == closure(modules | {"other.py": "X = 2"})


def test_packages_of_others_do_not_count(closure):
    assert set(closure({"start.py": "import json, numpy.linalg\nfrom collections import abc"})) == {"ab_assets.start"}


@pytest.mark.parametrize("announcing", ["errors", "progress", "artifacts/store", "cli", "splits/assets"])
def test_code_that_stores_or_announces_a_result_does_not_count(closure, announcing):
    module = f"ab_assets.{announcing.replace('/', '.')}"
    found = closure({"start.py": f"import {module}", f"{announcing}.py": "import ab_assets.behind", "behind.py": ""})
    assert set(found) == {"ab_assets.start"}


def test_the_closure_of_several_modules_is_the_union_in_sorted_order():
    one, two = code_of(["ab_assets.benchmarks.reading"]), code_of(["ab_assets.tables"])
    both = code_of(["ab_assets.tables", "ab_assets.benchmarks.reading"])
    assert both == one | two
    assert list(both) == sorted(both)


def test_the_reader_of_benchmarks_depends_on_schema_and_key_grammar_not_on_errors():
    assert set(code_of(["ab_assets.benchmarks.reading"])) == {
        "ab_assets.benchmarks.reading",
        "ab_assets.benchmarks.schema",
        "ab_assets.keys",
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("raise Split(n)", "raise Split(n + 1)"),
        ('raise Rejected(column=name, what="a")', 'raise Rejected(column=other, what="a")'),
        ('raise Rejected("a", TABLE["x"])', 'raise Rejected("a", TABLE["y"])'),
        ('raise refused("a")', 'raise refused("b")'),
        ('raise Split("a") from a', 'raise Split("a") from b'),
        ("raise Split()", 'raise Split("a")'),
        ('assert x, "a"', 'assert y, "a"'),
    ],
)
def test_what_an_exception_carries_besides_its_message_counts(old, new):
    assert normalised_digest(old) != normalised_digest(new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('raise Split("a", 1)', 'raise Split("b", 1)'),
        ('raise errors.BadInput(what="a", where=f"{x}")', 'raise errors.BadInput(what=f"b {y}", where="c")'),
        ('assert x, "a"', 'assert x, f"{x} is b"'),
    ],
)
def test_the_words_of_errors_and_assertions_do_not_count(old, new):
    assert normalised_digest(old) == normalised_digest(new)


def test_relative_imports_count(closure):
    found = closure({"start.py": "from . import b\nfrom .c import f", "b.py": "", "c.py": "def f(): return 1"})
    assert set(found) == {"ab_assets.start", "ab_assets.b", "ab_assets.c"}


def test_relative_imports_climb_from_where_they_stand(closure):
    modules = {
        "readers/__init__.py": "from .fasta import read",
        "readers/fasta.py": "from ..tables import REJECTED\ndef read(): return 1",
        "tables.py": "REJECTED = 1",
    }
    found = closure(modules, "ab_assets.readers")
    assert set(found) == {"ab_assets.readers", "ab_assets.readers.fasta", "ab_assets.tables"}


def test_modules_that_only_begin_like_the_error_tree_count(closure):
    modules = {"start.py": "import ab_assets.climate\nimport ab_assets.errors_in_labels"}
    found = closure(modules | {"climate.py": "", "errors_in_labels.py": ""})
    assert {"ab_assets.climate", "ab_assets.errors_in_labels"} <= set(found)


def test_another_release_reruns_nothing(closure):
    modules = {"start.py": "from ab_assets import b", "b.py": ""}
    old, new = (closure(modules | {"__init__.py": f'__version__ = "{release}"'}) for release in ("0.1.0", "0.2.0"))
    assert old == new


def test_a_package_whose_module_is_imported_counts_when_it_holds_code(closure):
    modules = {"start.py": "import ab_assets.readers.fasta", "readers/fasta.py": ""}
    assert "ab_assets.readers" in closure(modules | {"readers/__init__.py": "X = 1"})
    assert "ab_assets.readers" not in closure(modules | {"readers/__init__.py": '"""Readers."""'})


def test_a_running_process_keeps_the_code_version_of_the_code_it_loaded(closure, tmp_path):
    before = closure({"start.py": "X = 1", "style.css": "a {}"})
    [start] = tmp_path.rglob("start.py")
    start.write_text("X = 2  # edited")
    assert code_of(["ab_assets.start"]) == before


def test_a_file_beside_the_code_counts_by_its_bytes(closure):
    file = "ab_assets/reports/template.html"
    modules = {"start.py": "", "reports/template.html": "<p>"}
    before, after = closure(modules, file), closure(modules | {"reports/template.html": "<b>"}, file)
    assert list(before) == list(after) == [file]
    assert before != after


@pytest.fixture
def at_rest(monkeypatch):
    monkeypatch.setattr(code_version, "_SETTLED_NS", 0)


def the(name, tmp_path):
    [file] = tmp_path.rglob(name)
    return file


def test_a_new_look_finds_what_was_edited_since_and_the_process_goes_on_with_what_it_loaded(closure, tmp_path, at_rest):
    modules = {"start.py": "import ab_assets.b", "b.py": "import ab_assets.c", "c.py": "X = 1"}
    before = closure(modules)
    the("c.py", tmp_path).write_text("X = 1  # one")
    assert code_of(["ab_assets.start"], settled()) == before
    the("c.py", tmp_path).write_text("import ab_assets.d\nX = 1")
    (the("c.py", tmp_path).parent / "d.py").write_text("Y = 1")
    assert code_of(["ab_assets.start"], settled()).keys() - before.keys() == {"ab_assets.d"}
    the("c.py", tmp_path).write_text("X = 1")
    assert code_of(["ab_assets.start"], settled()) == code_of(["ab_assets.start"]) == before


def test_a_new_look_finds_other_bytes_of_a_file_beside_the_code(closure, tmp_path, at_rest):
    file = "ab_assets/style.css"
    before = closure({"start.py": "", "style.css": "a {}"}, file)
    the("style.css", tmp_path).write_text("a { }")
    assert code_of([file]) == before != code_of([file], settled())


def test_code_that_is_another_than_was_loaded_is_named(closure, tmp_path):
    modules = {"start.py": "import ab_assets.b, ab_assets.c", "b.py": "X = 1", "c.py": "X = 1"}
    closure(modules)
    the("b.py", tmp_path).write_text("X = 1  # a remark")
    assert changed_since_loaded(["ab_assets.start"]) == []
    the("c.py", tmp_path).write_text("import ab_assets.d")
    (the("c.py", tmp_path).parent / "d.py").write_text("Y = 1")
    assert changed_since_loaded(["ab_assets.start"]) == ["ab_assets.c", "ab_assets.d"]


def test_one_look_sees_one_state_of_each_file(closure, tmp_path, at_rest):
    before, look = closure({"start.py": "X = 1"}), settled()
    code_of(["ab_assets.start"], look)
    the("start.py", tmp_path).write_text("X = 22")
    assert code_of(["ab_assets.start"], look) == before


@pytest.mark.parametrize("half", [b"def f(:", b"X = '\xff'", b"X = 1\x00", None])
def test_half_a_file_is_refused_by_name_and_the_whole_one_is_read(closure, tmp_path, at_rest, half):
    before, file = closure({"start.py": "import ab_assets.b", "b.py": "X = 1"}), the("b.py", tmp_path)
    file.write_bytes(half) if half else file.unlink()
    with pytest.raises(UnreadableFileError) as caught:
        code_of(["ab_assets.start"], settled())
    assert str(file) in str(caught.value)
    file.write_text("X = 1")
    assert code_of(["ab_assets.start"], settled()) == before


def test_what_is_being_written_is_refused_until_it_rests(closure, monkeypatch):
    before, now = closure({"start.py": "X = 1"}), time.time_ns()
    with pytest.raises(UnreadableFileError, match="being written"):
        code_of(["ab_assets.start"], settled())
    for seconds in (3, -365 * 24 * 3600):  # a file of the future is not waited for
        monkeypatch.setattr(code_version.time, "time_ns", lambda later=seconds: now + later * 10**9)
        assert code_of(["ab_assets.start"], settled()) == before
