"""From a result one comes to every source file, each result is told once, and what is lost is said to be lost."""

from __future__ import annotations

import shutil

import pytest
from injected_changes import BINDERS, FILES
from published import publish, publish_all
from two_versions import two_versions, write_home

from ab_assets.artifacts.fingerprint import file_digest
from ab_assets.artifacts.store import Ref
from ab_assets.graph import NODES
from ab_assets.provenance.explanations import explain, explanation_lines, provenance_markdown, tree_lines, why
from ab_assets.provenance.lineage import lineage_of

REPORT = Ref("report", BINDERS)


@pytest.fixture
def home(tmp_path):
    home = write_home(tmp_path)
    publish_all(home)
    return home


def lineage(home, ref=REPORT):
    return lineage_of(home.store, home.store.require(ref))


def labels(found):
    return sorted(origin.label for origin in found.origins.values())


def test_a_report_rests_on_everything_but_what_it_does_not_read(home):
    unread = {"embeddings", "candidate_predictions"}
    expected = [ref for ref in home.store.partitions() if ref.asset not in unread]
    assert labels(lineage(home)) == sorted(map(str, expected))


def test_each_result_is_told_once_and_the_file_with_its_whole_digest(home):
    lines = [line.lstrip("│├└─ ") for line in tree_lines(lineage(home))]
    for label in labels(lineage(home)):
        assert sum(line.startswith(f"{label}  ") for line in lines) == 1
    digest = file_digest(home.folder(BINDERS) / "antibodies.csv")
    assert sum(line.startswith(f"antibodies.csv  sha256 {digest}") for line in lines) == 1


def test_candidates_rest_on_their_own_file_too(home):
    found = lineage(home, Ref("candidate_predictions", BINDERS, "one"))
    files = {one.name for origin in found.origins.values() for one in origin.inputs if one.kind == "file"}
    assert files == {"antibodies.csv", "new.csv"}


def test_the_size_of_a_file_is_told_where_a_copy_is_kept(home):
    text = FILES[BINDERS]["antibodies.csv"]
    publish(home, Ref("raw_dataset", BINDERS), build=lambda draft: draft.path("files/a.csv").write_text(text) and None)
    assert any(line.endswith(f"  {len(text)} bytes") for line in tree_lines(lineage(home, Ref("raw_dataset", BINDERS))))


def test_a_result_rests_on_what_it_read_though_the_partition_shows_another_now(home):
    read = home.store.require(Ref("split", BINDERS))
    publish(home, Ref("split", BINDERS), said="made again")
    assert read.folder.name in lineage(home).origins


def test_of_equal_contents_the_partition_that_was_meant_is_told(home):
    same = {"attention": lambda draft: draft.path("content.json").write_text("same") and None}
    for model in ("one", "two"):
        publish(home, Ref("attention", BINDERS, model), build=same["attention"])
    publish(home, REPORT)
    found = [label for label in labels(lineage(home)) if label.startswith("attention")]
    assert found == [f"attention[{BINDERS}|one]", f"attention[{BINDERS}|two]"]


def test_what_was_removed_is_said_to_be_gone(home):
    shutil.rmtree(home.store.require(Ref("curated_dataset", BINDERS)).folder)
    lines = tree_lines(lineage(home, Ref("split", BINDERS)))
    assert any("curated_dataset" in line and line.endswith("is not in the store any more") for line in lines)


def test_an_explanation_tells_environment_code_and_that_nothing_is_stale(home):
    lines = explanation_lines(explain(home, REPORT))
    text = "\n".join(lines)
    assert lines[0] == f"{REPORT} is up to date."
    made = home.store.require(REPORT).manifest["made"]
    assert f"python {made['python']}, host {made['host']}" in text
    assert f"numpy {made['packages']['numpy']}" in text
    assert NODES["report"].code_version in text
    assert f"model revision {'1' * 12}" in text


def test_packages_that_are_others_now_are_named_and_make_nothing_stale(home, monkeypatch):
    installed = home.store.require(REPORT).manifest["made"]["packages"]
    monkeypatch.setattr("ab_assets.provenance.explanations.package_versions", lambda: installed | {"numpy": "9.9"})
    explanation = explain(home, REPORT)
    assert explanation.status == "fresh"
    assert any(f"numpy {installed['numpy']} -> 9.9" in line for line in explanation_lines(explanation))


def test_results_of_a_benchmark_that_is_gone_are_explained(home):
    shutil.rmtree(home.folder(BINDERS))
    explanation = explain(home, REPORT)
    assert explanation.status == "unplanned"
    assert "there is no benchmark" in explanation.reasons[0]


def test_results_that_nobody_asks_for_any_more_are_explained(home):
    text = (home.folder(BINDERS) / "benchmark.toml").read_text()
    (home.folder(BINDERS) / "benchmark.toml").write_text(text.replace('["one", "two"]', '["one"]'))
    assert explain(home, Ref("predictions", BINDERS, "two")).status == "unplanned"


def test_a_result_says_what_changed_against_the_one_that_was_shown_before(tmp_path):
    home = two_versions(tmp_path)
    raw = home.store.require(Ref("raw_dataset", BINDERS))
    assert why(raw, reused=False) == ["input antibodies.csv changed"]
    assert "input curated_dataset changed" in why(home.store.require(Ref("split", BINDERS)), reused=False)


def test_a_first_a_forced_and_a_reused_result_say_so(home):
    ref = Ref("split", BINDERS)
    assert why(home.store.require(ref), reused=False) == ["it was not made before"]
    again = publish(home, ref, said="by force")
    assert why(again, reused=False) == ["nothing changed: it was asked for again, or files of it were missing"]
    assert why(again, reused=True)[0].startswith("nothing had to be computed")


def test_a_version_before_that_was_removed_is_said_to_be_gone(tmp_path):
    home = two_versions(tmp_path)
    raw = home.store.require(Ref("raw_dataset", BINDERS))
    (old,) = (item for item in home.store.objects("raw_dataset") if item.digest != raw.digest)
    shutil.rmtree(old.folder)
    assert why(raw, reused=False)[0].endswith("is not in the store any more")


def test_markdown_holds_the_tree_in_one_block_that_no_name_can_end(home):
    publish(home, Ref("raw_dataset", BINDERS), said="x")
    text = provenance_markdown(home.store.require(Ref("split", BINDERS)))
    assert text.startswith("```text\nsplit[")
    assert text.count("```") == 2
