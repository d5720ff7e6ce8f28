"""plan, explain, history and diff as a person types them, and as a machine reads them; the page shows the same."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from injected_changes import BINDERS
from two_versions import two_versions, write_home

from ab_assets import cli
from ab_assets.home import Home

PAGE = Path(cli.__file__).parents[1] / "docs" / "provenance.md"


@pytest.fixture(scope="module")
def twice(tmp_path_factory) -> Home:
    return two_versions(tmp_path_factory.mktemp("twice") / "home")


@pytest.fixture
def typed(monkeypatch, capsys):
    """Return what a command answers: (exit code, what it printed, what it complained)."""

    def run(home: Home, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setenv("AB_ASSETS_HOME", str(home.root))
        monkeypatch.setattr(sys, "argv", ["ab-assets", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def stale(twice, tmp_path) -> Home:
    """Return the home with a changed file and a parameter changed beside it."""
    shutil.copytree(twice.root, tmp_path / "home")
    home = Home(tmp_path / "home")
    (home.folder(BINDERS) / "antibodies.csv").write_text("third\n")
    toml = home.folder(BINDERS) / "benchmark.toml"
    toml.write_text(toml.read_text().replace("training.epochs = 2", "training.epochs = 3"))
    return home


def test_a_plan_says_what_why_and_how_long(typed, stale):
    code, out, _ = typed(stale, "plan", BINDERS)
    assert code == 0
    lines = {line.split("  ")[0]: line for line in out.splitlines() if "two" in line or "raw" in line}
    assert re.search(r"stale +1 s +input antibodies.csv changed$", lines["raw_dataset"])
    assert lines["fine_tuned_checkpoint"].endswith(
        "parameter recipe.epochs changed: 2 -> 3; after raw_dataset: input antibodies.csv changed"
    )
    assert lines["model_metrics"].endswith(
        "after raw_dataset: input antibodies.csv changed; "
        "after fine_tuned_checkpoint[two], shuffled_label_checkpoint[two]: parameter recipe.epochs changed: 2 -> 3"
    )
    assert re.fullmatch(
        r"23 of 23 to make: about 23 s one after the other, 0\.00 GPU hours; the GPU time of 12 was not measured\.",
        out.splitlines()[-1],
    )


def test_a_plan_for_a_machine_has_reasons_causes_changes_and_estimates(typed, stale):
    rows = json.loads(typed(stale, "plan", "--json")[1])
    by_asset = {row["asset"]: row for row in rows}
    assert by_asset["raw_dataset"]["changes"][0]["name"] == "antibodies.csv"
    assert by_asset["raw_dataset"]["estimate"]["seconds"] == 1.0
    (cause,) = by_asset["curated_dataset"]["causes"]
    assert (cause["partition"], cause["own"]) == (f"raw_dataset[{BINDERS}]", False)
    assert by_asset["curated_dataset"]["reasons"] == [f"raw_dataset[{BINDERS}] is stale"]


def test_a_plan_of_what_was_never_made_knows_no_time(typed, tmp_path):
    out = typed(write_home(tmp_path), "plan")[1]
    assert "23 of 23 to make" in out
    assert "how long 23 of them take is not known" in out


def test_a_plan_with_nothing_to_do_reads_no_manifest_for_estimates(typed, twice, monkeypatch):
    monkeypatch.setattr("ab_assets.artifacts.store.ArtifactStore.objects", None)
    assert typed(twice, "plan")[1].endswith("0 of 23 to make.\n")


def test_explain_walks_to_the_source_file(typed, twice):
    code, out, _ = typed(twice, "explain", "report", BINDERS)
    assert code == 0
    assert out.startswith(f"report[{BINDERS}] is up to date.\n")
    assert re.search(r"antibodies\.csv  sha256 [0-9a-f]{64}", out)
    assert "Environments" in out


def test_explain_says_why_a_result_is_stale(typed, stale):
    out = typed(stale, "explain", "fine_tuned_checkpoint", BINDERS, "one")[1]
    assert out.startswith(f"fine_tuned_checkpoint[{BINDERS}|one] is stale:\n")
    assert "  - parameter recipe.epochs changed: 2 -> 3\n" in out


def test_explain_for_a_machine_names_every_input(typed, stale):
    document = json.loads(typed(stale, "explain", "split", BINDERS, "--json")[1])
    assert (document["status"], document["changes"]) == ("stale", [])
    artifacts = {one["key"]: one for one in document["artifacts"]}
    shown = artifacts[document["shown"]]
    assert [one["name"] for one in shown["inputs"]] == ["curated_dataset", "similarity_graph"]
    assert all(one["key"] in artifacts for one in shown["inputs"])
    assert {"git_revision", "host", "packages", "image", "seconds", "peak_memory_bytes"} <= shown["made"].keys()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("explain", "reports", BINDERS), 2, "Did you mean 'report'"),
        (("explain", "predictions", BINDERS), 2, "one, two"),
        (("explain", "report", BINDERS, "one"), 2, "not per model"),
        (("explain", "report", "nothing"), 2, "there is no benchmark"),
        (("explain", "predictions", "nothing"), 2, "there is no benchmark"),
        (("explain", "report", "../x"), 2, "benchmark name"),
        (("explain", "predictions", BINDERS, "three"), 2, "does not compare three (expected one of one, two)"),
        (("history", "nothing"), 2, "there is no benchmark"),
        (("diff", BINDERS, "7"), 2, "ab-assets history"),
        (("diff", BINDERS, "1", "zzzz"), 2, "ab-assets history"),
    ],
)
def test_a_mistake_is_named(typed, twice, arguments, code, words):
    found, _, complaint = typed(twice, *arguments)
    assert (found, words in complaint) == (code, True), complaint


def test_what_was_not_made_yet_is_not_explained(typed, tmp_path):
    code, _, complaint = typed(write_home(tmp_path), "explain", "report", BINDERS)
    assert code == 6
    assert f"ab-assets materialize {BINDERS}" in complaint


def test_results_of_a_folder_that_is_gone_are_still_explained(typed, twice, tmp_path):
    shutil.copytree(twice.root, tmp_path / "home")
    home = Home(tmp_path / "home")
    shutil.rmtree(home.folder(BINDERS))
    for arguments in (("explain", "predictions", BINDERS, "one"), ("history", BINDERS), ("diff", BINDERS)):
        assert typed(home, *arguments)[0] == 0


def test_history_lists_data_and_results_newest_first(typed, twice):
    lines = typed(twice, "history", BINDERS)[1].splitlines()
    data = lines[lines.index("data") + 1 : lines.index("files") - 1]
    assert [line[:5] for line in data] == ["*   1", "    2"]
    assert "5 rows (2 positive, 2 negative, 1 unlabelled), 1 source rows rejected" in data[0]
    assert any("one fine_tuned" in line and "0.750 [0.65, 0.85]" in line for line in lines)


def test_history_for_a_machine(typed, twice):
    document = json.loads(typed(twice, "history", BINDERS, "--json")[1])
    assert [(one["number"], one["rows"], one["current"]) for one in document["data"]] == [(1, 5, True), (2, 4, False)]
    assert [one["data"] for one in document["results"]] == [[1], [2]]
    assert [one["ap"][0]["method"] for one in document["results"]] == ["one fine_tuned", "kmer"]
    assert document["reports"][0]["results"] == [document["results"][0]["version"]]


def test_diff_shows_rows_then_scores_and_claims_no_test(typed, twice):
    out = typed(twice, "diff", BINDERS)[1]
    assert "2 added, 1 removed, 2 relabelled, 0 renumbered, 3 kept" in out
    assert re.search(r"a1 \([0-9a-f]{16}\)  positive -> negative", out)
    assert re.search(r"one fine_tuned +ap +0\.500 \[0\.40, 0\.60\] +0\.750 \[0\.65, 0\.85\] +\+0\.250", out)
    assert "This is not a paired test." in out
    assert "Nothing but the data differs" in out


def test_diff_counts_all_and_lists_so_many(typed, twice):
    out = typed(twice, "diff", BINDERS, "2", "1", "--rows", "1")[1]
    assert "2 added" in out
    assert "a5 (" in out
    assert "a6 (" not in out
    assert "  and 1 more\n" in out


def test_diff_for_a_machine(typed, twice):
    document = json.loads(typed(twice, "diff", BINDERS, "--json")[1])
    assert document["counts"]["added"] == len(document["added"]) == 2
    assert document["paired"] is False
    assert {one["method"] for one in document["metrics"]} == {"one fine_tuned", "kmer", "gone"}


def test_diff_of_versions_without_results_says_so(typed, twice, tmp_path):
    shutil.copytree(twice.root, tmp_path / "home")
    home = Home(tmp_path / "home")
    shutil.rmtree(home.root / "store" / "objects" / "metric_table")
    assert "There are no metrics over version A and B" in typed(home, "diff", BINDERS)[1]


def test_the_commands_of_the_page_work(typed, twice):
    commands = re.findall(r"^ab-assets (.*?)(?: {2,}#.*)?$", PAGE.read_text(), re.MULTILINE)
    assert {line.split()[0] for line in commands} == {"plan", "explain", "history", "diff"}
    for line in commands:
        arguments = [{"my-benchmark": BINDERS, "antiberty": "one"}.get(word, word) for word in line.split()]
        code, out, complaint = typed(twice, *arguments)
        assert (code, complaint) == (0, "")
        assert out
