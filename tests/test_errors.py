"""Every error says what, where, found, expected and the next step, and ends the command with its own code."""

from __future__ import annotations

import copy
import pickle
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_assets import errors
from ab_assets.errors import AbAssetsError, BadInputError, InvalidBenchmarkError, Problem

CODES = {
    "AbAssetsError": 1,
    "BadInputError": 2,
    "InvalidBenchmarkError": 2,
    "UnknownNameError": 2,
    "UnreadableFileError": 2,
    "LeakageError": 3,
    "InfeasibleSplitError": 3,
    "UnavailableError": 4,
    "CorruptArtifactError": 5,
    "MissingArtifactError": 6,
    "ComputeFailedError": 1,
    "FitFailedError": 1,
    "InterruptedFitError": 1,
}


def pickled(error):
    return pickle.loads(pickle.dumps(error))  # noqa: S301 - these bytes are our own


def subclasses(cls):
    return {cls} | {deeper for child in cls.__subclasses__() for deeper in subclasses(child)}


def test_the_tree_of_errors_is_complete():
    found = {cls.__name__: cls.exit_code for cls in subclasses(AbAssetsError) if cls.__module__ == errors.__name__}
    assert found == CODES


def test_the_drawing_of_the_tree_shows_the_classes_and_their_codes():
    drawn = re.findall(r"^\W*(\w+Error)\b.*?(\d)?$", errors.__doc__, flags=re.MULTILINE)
    assert [name for name, _ in drawn] == list(CODES)
    assert all(int(code) == CODES[name] for name, code in drawn if code)


@pytest.mark.parametrize("name", ["InvalidBenchmarkError", "UnknownNameError", "UnreadableFileError"])
def test_what_the_user_gave_is_caught_as_bad_input(name):
    assert issubclass(getattr(errors, name), BadInputError)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("no rows"), "no rows."),
        (Problem("no rows", where="a.csv"), "a.csv: no rows."),
        (Problem("bad label", where="a.csv:3", found="'x'"), "a.csv:3: bad label (found 'x')."),
        (Problem("bad label", expected="0 or 1"), "bad label (expected 0 or 1)."),
        (Problem("bad label", found="x", expected="y", hint="Mend it."), "bad label (found x, expected y). Mend it."),
        (Problem("which file?", hint="Name one."), "which file? Name one."),
    ],
)
def test_a_problem_is_one_sentence_and_the_next_step(problem, text):
    assert str(problem) == text


@settings(deadline=None)
@given(st.builds(Problem, *[st.text(st.characters(categories=["L", "N"]), min_size=1)] * 5))
def test_nothing_of_a_problem_is_lost_in_its_words(problem):
    text = str(problem)
    assert all(part in text for part in (problem.what, problem.where, problem.found, problem.expected, problem.hint))


def test_an_error_carries_its_problem():
    error = BadInputError(what="no rows", where="a.csv", hint="Add some.")
    assert error.problem == Problem(what="no rows", where="a.csv", hint="Add some.")
    assert str(error) == "a.csv: no rows. Add some."


def test_an_invalid_benchmark_lists_all_its_problems():
    error = InvalidBenchmarkError(name="covid", problems=[Problem("no rows"), Problem("no label", where="a.csv")])
    assert str(error) == "benchmark covid has 2 problem(s):\n  - no rows.\n  - a.csv: no label."
    assert [problem.what for problem in error.problems] == ["no rows", "no label"]


@pytest.mark.parametrize(
    "error", [BadInputError(what="x", where="y", hint="z"), InvalidBenchmarkError(name="a", problems=[Problem("x")])]
)
@pytest.mark.parametrize("copied", [copy.copy, pickled])
def test_errors_cross_process_boundaries(error, copied):
    again = copied(error)
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_a_note_on_an_error_crosses_with_it():
    error = BadInputError(what="x")
    error.add_note("while reading a.csv")
    assert pickled(error).__notes__ == ["while reading a.csv"]
