"""The same question gets the same name, another question another one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import FrozenInstanceError, replace
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_assets.artifacts.fingerprint import (
    Change,
    Question,
    canonical_json,
    changes,
    differences,
    digest_of,
    file_digest,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAMES = st.text("abc.", min_size=1, max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
QUESTION = Question(
    asset="split",
    inputs={"curated_dataset": "aa", "similarity_graph": "bb"},
    parameters={"folds": 4, "identity": {"vh": 0.9}},
    model={"name": "esm2-8m", "revision": "c731040f"},
    code={"ab_assets.splits.folds": "0123"},
)


def reversed_throughout(value):
    if isinstance(value, dict):
        return {key: reversed_throughout(item) for key, item in reversed(value.items())}
    return [reversed_throughout(item) for item in value] if isinstance(value, list) else value


@settings(deadline=None)
@given(JSON)
def test_canonical_json_does_not_depend_on_the_order_of_keys(value):
    assert canonical_json(reversed_throughout(value)) == canonical_json(value)


@settings(deadline=None)
@given(JSON)
def test_canonical_json_says_the_whole_value_and_stays_itself_when_read_back(value):
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@settings(deadline=None)
@given(JSON, JSON)
def test_only_equal_texts_share_a_digest(left, right):
    assert (digest_of(left) == digest_of(right)) == (canonical_json(left) == canonical_json(right))


def test_order_of_a_list_counts():
    assert digest_of([1, 2]) != digest_of([2, 1])


def test_a_tuple_is_a_list():
    assert canonical_json({"files": ("a", "b")}) == canonical_json({"files": ["a", "b"]}) == '{"files":["a","b"]}'


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_json_cannot_say_has_no_digest(number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest_of({"learning_rate": number})


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object()])
def test_a_value_without_one_text_has_no_digest(value):
    with pytest.raises(TypeError):
        digest_of(value)


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_file_digest_is_the_sha256_of_the_bytes(tmp_path, size):
    path = tmp_path / "antibodies.csv"
    path.write_bytes(b"\r\n\xff" * size)
    assert file_digest(path) == hashlib.sha256(b"\r\n\xff" * size).hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        replace(QUESTION, asset="similarity_graph"),
        replace(QUESTION, inputs={"curated_dataset": "aa", "similarity_graph": "cc"}),
        replace(QUESTION, inputs={"curated_dataset": "aa"}),
        replace(QUESTION, parameters={"folds": 5, "identity": {"vh": 0.9}}),
        replace(QUESTION, model={"name": "esm2-8m", "revision": "d731040f"}),
        replace(QUESTION, code={"ab_assets.splits.folds": "4567"}),
        replace(QUESTION, code={"ab_assets.splits.graph": "0123"}),
    ],
)
def test_each_part_of_a_question_decides_its_fingerprint(other):
    assert other.fingerprint != QUESTION.fingerprint


def test_order_of_the_parts_of_a_question_does_not_matter():
    inputs = dict(reversed(QUESTION.inputs.items()))
    assert replace(QUESTION, inputs=inputs).fingerprint == QUESTION.fingerprint


def test_fingerprint_is_the_digest_of_what_the_manifest_keeps():
    assert QUESTION.fingerprint == digest_of(json.loads(json.dumps(QUESTION.as_dict())))


def test_fingerprint_of_a_known_question_never_changes():
    # Pinned: another value here means that every published artifact is made again.
    expected = "987794fa69d208403c9be4ec939205a2"
    assert Question("a").fingerprint.startswith(expected)


def test_a_question_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        QUESTION.asset = "other"


def test_equal_questions_have_no_differences():
    assert differences(QUESTION.as_dict(), QUESTION.as_dict()) == []


def test_differences_name_what_changed_what_is_new_and_what_is_gone():
    other = replace(
        QUESTION,
        inputs={"curated_dataset": "zz", "split": "bb"},
        parameters={"folds": 5, "identity": {"vh": 0.8}},
        code={"ab_assets.splits.folds": "4567"},
    )
    assert differences(QUESTION.as_dict(), other.as_dict()) == [
        "input curated_dataset changed",
        "input similarity_graph is gone",
        "input split is new",
        "parameter folds changed: 4 -> 5",
        "parameter identity.vh changed: 0.9 -> 0.8",
        "code of ab_assets.splits.folds changed",
    ]


def test_differences_name_the_model_revision():
    other = replace(QUESTION, model={"name": "esm2-8m", "revision": "beef"})
    assert differences(QUESTION.as_dict(), other.as_dict()) == ['model revision changed: "c731040f" -> "beef"']


def test_a_long_value_is_shortened_in_words():
    [line] = differences({"parameters": {"files": ["x" * 500]}}, {"parameters": {"files": []}})
    assert len(line) < 120
    assert "..." in line


@settings(deadline=None)
@given(st.dictionaries(NAMES, st.integers(), max_size=4), st.dictionaries(NAMES, st.integers(), max_size=4))
def test_differences_are_empty_exactly_when_the_numbers_asked_are_equal(old, new):
    assert (differences({"parameters": old}, {"parameters": new}) == []) == (old == new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"vl": None}),
        ({"vl": None}, {}),
        ({"a": 0}, {"a": 0.0}),
        ({"a": 1}, {"a": True}),
        ({"a": {"b": 1}}, {"a.b": 1}),
        ({"a": {}}, {}),
        ({}, {"": 0}),
    ],
)
def test_questions_with_other_fingerprints_have_differences(old, new):
    before, after = Question("split", parameters=old), Question("split", parameters=new)
    assert before.fingerprint != after.fingerprint
    assert differences(before.as_dict(), after.as_dict())


@settings(deadline=None)
@given(st.dictionaries(NAMES, JSON, max_size=3), st.dictionaries(NAMES, JSON, max_size=3))
def test_differences_are_empty_exactly_when_the_fingerprints_are_equal(old, new):
    before, after = Question("split", parameters=old), Question("split", parameters=new)
    assert (differences(before.as_dict(), after.as_dict()) == []) == (before.fingerprint == after.fingerprint)


def test_what_was_not_said_before_is_told_apart_from_none():
    assert differences({"parameters": {}}, {"parameters": {"vl": None}}) == ["parameter vl is new: nothing -> null"]


def test_another_asset_is_another_question():
    assert differences(QUESTION.as_dict(), replace(QUESTION, asset="report").as_dict()) != []


def test_a_question_may_hold_read_only_mappings():
    inputs = MappingProxyType({"raw_dataset": "aa"})
    nested = {"identity": MappingProxyType({"vh": 0.9})}
    question = Question("split", inputs=inputs, parameters=MappingProxyType(nested))
    plain = Question("split", inputs=dict(inputs), parameters={"identity": {"vh": 0.9}})
    assert (question.fingerprint, question.as_dict()) == (plain.fingerprint, plain.as_dict())


def test_changes_say_part_name_and_both_values():
    other = replace(QUESTION, parameters={"folds": 5, "identity": {"vh": 0.9}})
    assert changes(QUESTION.as_dict(), other.as_dict()) == [Change("parameters", "folds", "changed", "4", "5")]
