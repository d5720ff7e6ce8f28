"""A changed module is told with the functions that changed, where both of its texts can be had."""

from __future__ import annotations

import pytest

from ab_assets.artifacts.code_version import normalised_digest
from ab_assets.artifacts.fingerprint import Change
from ab_assets.provenance import code_changes
from ab_assets.provenance.code_changes import changed_definitions, definitions, in_words

BEFORE = '''
"""A module."""
import math

BOUND: float = 0.9
LEFT, RIGHT = 1, 2

def near(a, b):
    """Tell."""
    return a == b

class Comparator:
    """Compares."""
    bound = BOUND

    def far(self):
        return 1

    async def later(self):
        return 2
'''


@pytest.fixture
def named(tmp_path, monkeypatch):
    """Return what is named when BEFORE becomes `now`."""
    monkeypatch.setattr(code_changes, "_ROOT", tmp_path)
    (tmp_path / "ab_assets").mkdir()

    def ask(now, *, before=BEFORE, look=BEFORE):
        (tmp_path / "ab_assets" / "m.py").write_text(now)
        digests = (f'"{normalised_digest(text)}"' for text in (before, now))
        change = Change("code", "ab_assets.m", "changed", *digests)
        names = changed_definitions(change, "a commit", lambda revision, path: look)
        assert in_words(change, "", lambda revision, path: look).startswith("code of ab_assets.m changed")
        return names

    return ask


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("return a == b", "return a != b", ("near",)),
        ("return 1", "return 3", ("Comparator.far",)),
        ("return 2", "return 3", ("Comparator.later",)),
        ("bound = BOUND", "bound = 1", ("Comparator",)),
        ("BOUND: float = 0.9", "BOUND: float = 0.8", ("BOUND",)),
        ("LEFT, RIGHT = 1, 2", "LEFT, RIGHT = 2, 1", ("(LEFT, RIGHT)",)),
        ("import math", "import math, ast", ("what it imports",)),
        ("def near(a, b)", "def close(a, b)", ("close", "near")),
        ("def far(self)", "def far(self, x=1)", ("Comparator.far",)),
    ],
)
def test_what_changed_is_named(named, old, new, names):
    assert named(BEFORE.replace(old, new)) == names


def test_a_text_that_is_not_the_one_of_the_digest_says_nothing(named):
    assert named(BEFORE.replace("return 1", "return 3"), look="x = 1\n") == ()
    assert named(BEFORE.replace("return 1", "return 3"), look=None) == ()
    assert named(BEFORE.replace("return 1", "return 3"), before="x = 1\n") == ()


def test_docstrings_and_layout_are_no_part_of_a_definition():
    other = BEFORE.replace('"""Tell."""', '"""Say."""  # so').replace("return a == b", "return (a\n        == b)")
    assert definitions(other) == definitions(BEFORE)


def test_many_definitions_are_shortened(tmp_path, monkeypatch):
    monkeypatch.setattr(code_changes, "_ROOT", tmp_path)
    (tmp_path / "ab_assets").mkdir()
    before = "".join(f"def f{n}():\n    return 1\n" for n in range(9))
    now = before.replace("return 1", "return 2")
    (tmp_path / "ab_assets" / "m.py").write_text(now)
    change = Change("code", "ab_assets.m", "changed", f'"{normalised_digest(before)}"', f'"{normalised_digest(now)}"')
    assert in_words(change, "c", lambda revision, path: before).endswith("(f0, f1, f2, f3, f4, f5 and 3 more)")


def test_changes_of_other_kinds_are_told_as_they_are():
    change = Change("parameters", "folds", "changed", "3", "4")
    assert in_words(change, "a commit") == "parameter folds changed: 3 -> 4"
