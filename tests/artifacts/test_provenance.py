"""A result says where it was made, and nothing that nobody should read."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess

import pytest

from ab_assets.artifacts import provenance as provenance_module
from ab_assets.artifacts.provenance import git_revision, package_versions, peak_memory_bytes, provenance


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git repository with one committed file, taken for the project's own."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "code.py").write_text("X = 1\n")
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "Start"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.setattr(provenance_module, "_ROOT", tmp_path)
    return tmp_path


def head(folder):
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_git_revision_is_the_commit(checkout):
    assert git_revision() == head(checkout)


def test_git_revision_owns_up_to_uncommitted_changes(checkout):
    (checkout / "code.py").write_text("X = 2\n")
    assert git_revision() == f"{head(checkout)}+changes"


def test_outside_a_checkout_the_image_says_the_revision(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance_module, "_ROOT", tmp_path)
    monkeypatch.setenv("AB_ASSETS_GIT_REVISION", "abc123")
    assert git_revision() == "abc123"


def test_a_machine_without_git_still_publishes(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_revision() == ""


def test_a_repository_without_commits_has_no_revision(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.setattr(provenance_module, "_ROOT", tmp_path)
    assert git_revision() == ""


def test_versions_are_those_installed():
    versions = package_versions()
    assert versions["numpy"] == importlib.metadata.version("numpy")
    assert {"torch", "transformers", "polars", "rapidfuzz"} <= set(versions)


def test_a_package_that_is_missing_is_said_to_be_missing(monkeypatch):
    monkeypatch.setattr(provenance_module, "_DECISIVE", ("no-such-package-as-this",))
    assert package_versions() == {"no-such-package-as-this": "not installed"}


def test_peak_memory_is_in_bytes_and_never_falls():
    before = peak_memory_bytes()
    block = bytearray(64 * 2**20)
    after = peak_memory_bytes()
    assert len(block) <= after
    assert 10 * 2**20 < before <= after < 2**40


def test_provenance_is_json_and_holds_nothing_else_of_the_environment(monkeypatch):
    monkeypatch.setenv("AB_ASSETS_IMAGE", "registry/ab-assets@sha256:0f")
    monkeypatch.setenv("HF_TOKEN", "hf_not_to_be_published")
    text = json.dumps(provenance())
    assert "registry/ab-assets@sha256:0f" in text
    assert "hf_not_to_be_published" not in text


def test_code_that_git_does_not_know_is_a_change(checkout):
    (checkout / "ab_assets").mkdir()
    (checkout / "notes.txt").write_text("not code")
    assert git_revision() == head(checkout)
    (checkout / "ab_assets" / "new.py").write_text("X = 1\n")
    assert git_revision() == f"{head(checkout)}+changes"


def test_a_checkout_whose_state_cannot_be_told_is_not_called_clean(checkout, monkeypatch):
    ask = provenance_module._git
    monkeypatch.setattr(provenance_module, "_git", lambda *words: None if words[0] == "status" else ask(*words))
    assert git_revision() == f"{head(checkout)}+changes"


def test_the_text_of_a_file_is_that_of_the_commit(checkout):
    revision = head(checkout)
    (checkout / "code.py").write_text("X = 2\n")
    provenance_module.source_at.cache_clear()
    assert provenance_module.source_at(f"{revision}+changes", "code.py") == "X = 1"
    assert provenance_module.source_at(revision, "none.py") is None
    assert provenance_module.source_at("0" * 40, "code.py") is None
    assert provenance_module.source_at("", "code.py") is None
    provenance_module.source_at.cache_clear()
