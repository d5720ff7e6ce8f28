"""The commands of docs/upkeep.md, as they stand there."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from typer.testing import CliRunner

from ab_assets.artifacts.store import MANIFEST, Ref
from ab_assets.cli import app
from ab_assets.home import Home

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "upkeep.md").read_text()
COMMANDS = [
    line.split("#")[0].split()[1:]
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]
NAMES = {"antiberty": "twin-bert", "demo-paratope": "tiny-paratope", "0.01": "0.05"}


@pytest.fixture
def copied(made, tmp_path, monkeypatch):
    shutil.copytree(made.root, tmp_path / "home", ignore=shutil.ignore_patterns("dagster"))
    monkeypatch.setenv("AB_ASSETS_HOME", str(tmp_path / "home"))
    for pointer in (tmp_path / "home" / "store" / "current").glob("*/*"):  # what other tests made of the same rows
        if pointer.name.split(".")[0] not in ("tiny-specificity", "tiny-paratope"):
            shutil.rmtree(pointer) if pointer.is_dir() else pointer.unlink()
    return Home(tmp_path / "home")


def say(*arguments: str):
    done = CliRunner().invoke(app, arguments)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_every_command_of_the_page_works(copied):
    assert len(COMMANDS) >= 12
    known = "abcdefgh"
    for command in COMMANDS:
        arguments = [NAMES.get(word, word).replace("abcdefgh", known) for word in command]
        if "--retry" in command:
            continue  # nothing has failed: tests/jobs/test_backfills.py
        done = say(*arguments)
        assert done.exit_code == 0, (command, done.output)
        if found := re.search(r"Backfill (\w+):", done.output):
            known = found[1]
    assert known != "abcdefgh"


def test_gc_lists_first_and_removes_when_told(copied):
    ref = Ref("model_metrics", "tiny-specificity", "twin-bert")
    old = copied.store.require(ref)
    shutil.copytree(old.folder, copied.root / "other")
    with copied.store.draft() as draft:
        draft.document("content", {"later": True})
        from ab_assets.artifacts.fingerprint import Question

        copied.store.point(ref, copied.store.publish(draft, ref, Question("model_metrics"), seconds=0))
    # what was made from the old one is shown still, so it stays
    assert "Nothing to remove" in say("gc", "--days", "0", "--versions", "0").output
    for asset in ("metric_table", "report"):
        (copied.store.root / "current" / asset / "tiny-specificity.json").unlink()
    assert "Nothing to remove" in say("gc", "--days", "0", "--versions", "0").output  # it was shown today
    year = 365 * 24 * 3600
    for artifact in copied.store.objects():
        manifest = artifact.folder / MANIFEST
        text = manifest.read_text()
        at = artifact.manifest["made"]["at_ns"]
        manifest.write_text(text.replace(str(at), str(at - year * 10**9)))
        os.utime(manifest, (1, 1))
    listed = say("gc", "--versions", "1").output
    assert "Nothing was removed: say --delete" in listed
    assert old.folder.name in listed
    assert old.folder.exists()
    assert "removed, about" in say("gc", "--versions", "0", "--delete").output
    assert not old.folder.exists()
    assert say("verify").exit_code == 0


def test_the_postgresql_settings_are_ones_that_dagster_knows(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "not-a-secret")
    [settings] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert yaml.safe_load(settings)["storage"]
    (tmp_path / "dagster.yaml").write_text(settings)
    dagster_instance_config(str(tmp_path))


def test_the_readme_names_the_page():
    assert "(docs/upkeep.md)" in (ROOT / "README.md").read_text()
