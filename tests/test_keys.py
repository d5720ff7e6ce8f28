"""One grammar for names: what it lets through is safe everywhere."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_assets.errors import BadInputError
from ab_assets.keys import is_file_name, is_key, require_key

HOSTILE = [
    "../x", "a/b", "..", ".", "", "a..b", ".hidden", "-rf", "_x", "/etc/passwd", "a\\b", "C:x", "a" * 64, "Covid",
    "COVID", "a\x00", "\x00", "a\n", "a b", " a", "a\t", "a|b", "a,b", "a:b", "a*", "a?", "[a]", "$HOME", "`id`", "a;b",
    "a&b", "<b>", "a%2e", "\u00e4", "\u0430", "\uff11", "\uff41", "a\u200b", "\u202ea", "e\u0301", "\ufb01",
    "\u017f", "\u212a",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_keys_are_refused(text):
    assert not is_key(text)
    with pytest.raises(BadInputError, match="no benchmark name"):
        require_key(text, kind="benchmark")


@pytest.mark.parametrize("text", ["a", "0", "covid", "esm2-8m", "covid.2024_v1-h", "a" * 63, "0.9"])
def test_names_of_the_grammar_are_keys(text):
    assert require_key(text, kind="model") == text


@settings(deadline=None)
@given(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,62}", fullmatch=True))
def test_the_grammar_without_double_dots_is_the_whole_rule(text):
    assert is_key(text) == (".." not in text)


@settings(deadline=None)
@given(st.text("aA0._-/\\:|\n\x00 é", max_size=70))
def test_a_key_is_always_one_part_of_a_path(text):
    if is_key(text):
        assert PurePosixPath("/home", text).parts == ("/", "home", text)
        assert PureWindowsPath("/home", text).parts == ("\\", "home", text)


def test_a_refusal_shows_what_was_found_without_control_characters():
    with pytest.raises(BadInputError) as caught:
        require_key("a\x1b[31m\n", kind="model")
    assert r"'a\x1b[31m\n'" in str(caught.value)
    assert "at most 63" in str(caught.value)
    assert "Rename the model." in str(caught.value)


@pytest.mark.parametrize("name", ["a.csv", "parts/train 1.csv.gz", ".hidden", "..a", "roles[0]*", "ß.csv", "~/a.csv"])
def test_files_of_a_folder_have_names(name):
    assert is_file_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/etc/passwd", "../a", "a/../../x", "a\\b", "a\x00", "a\n", "./a", "a//b", "a/", "//a"]
)
def test_what_leaves_a_folder_or_can_be_written_otherwise_is_no_file_name(name):
    assert not is_file_name(name)
