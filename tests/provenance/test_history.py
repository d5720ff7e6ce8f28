"""Versions are contents, newest first; what is shown now is marked, also when the content came back."""

from __future__ import annotations

import pytest
from injected_changes import BINDERS
from published import publish_all
from two_versions import NEW, OLD, antibodies, publish_version, scores, two_versions, write_home

from ab_assets.artifacts.store import Ref
from ab_assets.errors import BadInputError, MissingArtifactError, UnknownNameError
from ab_assets.provenance.history import DATA, RAW, TABLE, headline, history_of


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    return two_versions(tmp_path_factory.mktemp("twice") / "home")


def test_versions_are_listed_newest_first_and_the_shown_one_is_marked(twice):
    history = history_of(twice.store, BINDERS)
    assert [one.artifact.metadata["rows"] for one in history.data] == [5, 4]
    assert [one.current for one in history.data] == [True, False]
    assert [len(history.versions[asset]) for asset in (RAW, DATA, TABLE)] == [2, 2, 2]


def test_each_version_of_the_data_has_its_results(twice):
    history = history_of(twice.store, BINDERS)
    tops = [headline(history.results_of(one))[0] for one in history.data]
    assert [(top["method"], top["value"]) for top in tops] == [("one fine_tuned", 0.75), ("kmer", 0.7)]


def test_content_that_comes_back_is_the_version_it_was(tmp_path):
    home = two_versions(tmp_path)
    old = history_of(home.store, BINDERS).data[1]
    home.store.point(Ref(DATA, BINDERS), old.artifact)
    history = history_of(home.store, BINDERS)
    assert [one.digest == old.digest for one in history.data] == [False, True]
    assert [one.current for one in history.data] == [False, True]


def test_what_another_benchmark_made_first_belongs_to_both(twice, tmp_path):
    import shutil

    from published import write_benchmark

    from ab_assets.home import Home

    shutil.copytree(twice.root, tmp_path / "home")
    home = Home(tmp_path / "home")
    text = home.folder(BINDERS) / "benchmark.toml"
    write_benchmark(home, "twin", {})
    shutil.copytree(text.parent, home.folder("twin"), dirs_exist_ok=True)
    for asset in (RAW, DATA):
        home.store.point(Ref(asset, "twin"), home.store.require(Ref(asset, BINDERS)))
    publish_all(home)
    history = history_of(home.store, "twin")
    assert [one.artifact.manifest["benchmark"] for one in history.data] == [BINDERS]
    assert history.data[0].current


def test_versions_are_named_by_number_or_by_digits(twice):
    history = history_of(twice.store, BINDERS)
    newest, oldest = history.data
    assert history.named("1") is newest
    assert history.named("2") is oldest
    assert history.named(oldest.digest[:8]) is oldest
    for wrong in ("3", "0", "zzzz", oldest.digest[:3], ""):
        with pytest.raises(UnknownNameError, match="ab-assets history"):
            history.named(wrong)


def test_digits_of_several_versions_are_refused(twice, monkeypatch):
    monkeypatch.setattr("ab_assets.provenance.history._LEAST_DIGITS", 0)
    with pytest.raises(BadInputError, match="several"):
        history_of(twice.store, BINDERS).named("")


def test_a_benchmark_of_which_nothing_was_made_says_what_to_run(tmp_path):
    home = write_home(tmp_path)
    with pytest.raises(MissingArtifactError, match="ab-assets materialize"):
        history_of(home.store, BINDERS)


def test_scores_that_are_damaged_leave_the_history_standing(tmp_path):
    home = write_home(tmp_path)
    publish_version(home, "x\n", antibodies(OLD | NEW), scores(kmer=0.5))
    (home.store.require(Ref(TABLE, BINDERS)).folder / "scores.parquet").write_bytes(b"x")
    (table,) = history_of(home.store, BINDERS).versions[TABLE]
    assert headline(table) == []
