"""The sensors ask with the code that runs will load."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests_support import SPECIFICITY, write_specificity

from ab_assets.artifacts import code_version
from ab_assets.errors import AbAssetsError
from ab_assets.graph import NODES, loaded_code
from sensors.latest_code import latest_code

ONE_MODEL = SPECIFICITY.replace('["twin-bert", "twin-esm"]', '["twin-bert"]')


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """Return a copy of the package that code is read from by looks, at rest; what was loaded stays."""
    for node in NODES.values():
        loaded_code(node.code)
    original = Path(code_version.__file__).parents[1]
    copy = tmp_path / "code" / "ab_assets"
    shutil.copytree(original, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_version, "_ROOT", copy.parent)
    monkeypatch.setattr(code_version, "_SETTLED_NS", 0)
    return copy


def edited(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_code_as_it_was_loaded_answers_as_what_was_loaded(package):
    now = latest_code()
    assert {node.name: now(node.code) for node in NODES.values()} == {
        node.name: loaded_code(node.code) for node in NODES.values()
    }


def test_a_changed_function_is_another_answer_for_what_it_decides_and_only_that(package):
    edited(package / "evaluation" / "thresholds.py", "UNDECIDED = 0.5", "UNDECIDED = 0.25")
    now = latest_code()
    assert {name for name, node in NODES.items() if now(node.code) != loaded_code(node.code)} == {
        "leak_ladder",
        "model_metrics",
        "metric_table",
    }


@pytest.mark.parametrize(("file", "old"), [("graph.py", 'kinds=("plotly", "html")'), ("benchmarks/schema.py", "ge=1")])
def test_a_process_that_would_ask_other_questions_than_a_run_asks_none(package, file, old):
    edited(package / file, old, old.replace("plotly", "other").replace("1", "2"))
    with pytest.raises(AbAssetsError) as caught:
        latest_code()
    name = file.removesuffix(".py").replace("/", ".")
    assert f"the code that plans has changed: ab_assets.{name}" in str(caught.value)
    assert "Reload the code location" in str(caught.value)


def test_refresh_asks_with_the_code_that_lies_there_and_for_nothing_while_that_is_half_saved(automation, package):
    write_specificity(automation.home.folder("tiny"), toml=ONE_MODEL)
    automation.arrive()
    automation.play()
    assert automation.asked() == ({}, "nothing to ask for")
    file = package / "evaluation" / "metrics.py"
    whole = file.read_text()
    file.write_text(whole + "# a remark\n")
    assert automation.asked() == ({}, "nothing to ask for")
    file.write_text(whole + "def another(")
    requests, said = automation.asked()
    assert requests == {}
    assert "metrics.py: this is no Python just now" in said
    file.write_text(whole + "ANOTHER = 1\n")
    [(target, tags)] = automation.asked()[0].items()
    assert target == ("prepare", "tiny")
    assert tags["ab_assets/why"] == "leak_ladder: code of ab_assets.evaluation.metrics changed"
    file.write_text(whole)
    assert automation.asked() == ({}, "nothing to ask for")


def test_no_letter_tells_of_code_that_is_half_saved(automation, package, monkeypatch):
    from sensors.notifications import _rounds
    from sensors.outbox import read_told

    write_specificity(automation.home.folder("tiny"), toml=ONE_MODEL)
    automation.arrive()
    settings = type("Settings", (), {"deadline": None, "zone": None})

    def rounds():
        told = read_told(automation.home, automation.home.names())
        return list(_rounds(automation.instance, automation.home, settings, told, float("inf")))

    [(_, before, *_)] = rounds()
    file = package / "evaluation" / "metrics.py"
    whole = file.read_text()
    file.write_text(whole + "(")
    assert rounds() == []
    file.write_text(whole + "ANOTHER = 1\n")
    [(_, after, *_)] = rounds()
    assert before.asked != after.asked
