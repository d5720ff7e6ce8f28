"""A near copy of a test row among the training rows: refused before weights are loaded, whatever way it came."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import polars as pl
import pytest
from tests_support import SPECIFICITY, write_specificity

from ab_assets.artifacts.fingerprint import digest_of, file_digest
from ab_assets.artifacts.store import Ref
from ab_assets.home import Home


@pytest.fixture
def copy(made, tmp_path) -> Home:
    """Return a home of its own with everything made."""
    shutil.copytree(made.root, tmp_path / "home")
    return Home(tmp_path / "home")


def reseal(folder, name: str) -> None:
    """Make the manifest and the pointer agree with a changed file, as a determined cheat would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": file_digest(folder / name), "bytes": (folder / name).stat().st_size}
    manifest["digest"] = digest_of({file: entry["sha256"] for file, entry in manifest["files"].items()})
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for pointer in (folder.parents[2] / "current" / folder.parent.name).glob("*.json"):
        value = json.loads(pointer.read_text())
        if value["object"].endswith(folder.name):
            pointer.write_text(json.dumps(value | {"digest": manifest["digest"]}))


def move_a_test_row_into_training(folder) -> None:
    roles = pl.read_parquet(folder / "roles.parquet", glob=False)
    first = roles.filter(pl.col("role") == "test")["row_id"][0]
    extra = roles.filter(pl.col("row_id") == first).with_columns(pl.lit("train").alias("role"))
    pl.concat([roles, extra]).write_parquet(folder / "roles.parquet")


def evaluate(home: Home) -> subprocess.CompletedProcess[str]:
    """Train one model in a process of its own, where nothing is loaded yet."""
    return subprocess.run(
        [sys.executable, "-c", EVALUATE],
        capture_output=True,
        text=True,
        check=False,
        env={"AB_ASSETS_HOME": str(home.root), "PATH": "/usr/bin:/bin", "HOME": str(home.root), "OMP_NUM_THREADS": "1"},
    )


def test_a_changed_split_is_refused_as_damaged_before_weights_are_loaded(copy):
    move_a_test_row_into_training(copy.store.require(Ref("split", "tiny-specificity")).folder)
    done = evaluate(copy)
    assert done.returncode == 5, done.stderr
    assert "no weights" in done.stdout


def test_a_resealed_split_with_a_near_copy_is_refused_before_weights_are_loaded(copy):
    folder = copy.store.require(Ref("split", "tiny-specificity")).folder
    move_a_test_row_into_training(folder)
    reseal(folder, "roles.parquet")
    done = evaluate(copy)
    assert done.returncode == 3, done.stderr
    assert "too similar to training rows" in done.stderr
    assert "no weights" in done.stdout


def test_the_normal_path_never_publishes_a_leak(made, tmp_path):
    from ab_assets.commands.intake import add_benchmark
    from ab_assets.definitions import defs
    from ab_assets.progress import silent
    from jobs.launching import open_instance, register, run_job

    folder = write_specificity(tmp_path / "tiny-leak", toml=SPECIFICITY)
    lines = (folder / "antibodies.csv").read_text().splitlines()
    copied = [line.replace("ab", "cd", 1) for line in lines[1:20]]
    near = [line.replace(line.split(",")[1], line.split(",")[1][:-1] + "A") for line in copied]
    (folder / "antibodies.csv").write_text("\n".join([*lines, *near]) + "\n")
    add_benchmark(folder, made)
    with open_instance(made) as instance:
        register(instance, ["tiny-leak"])
        result = run_job(defs, instance, made, "prepare", "tiny-leak", progress=silent)
    shutil.rmtree(made.folder("tiny-leak"))
    assert result.error is None
    certificate = made.store.require(Ref("split", "tiny-leak")).document("certificate")
    assert certificate["passed"]
    assert certificate["maximum"]["vh"] < 0.9


EVALUATE = """
import sys
from ab_assets.errors import AbAssetsError
from ab_assets.home import Home
from ab_assets.progress import silent
from ab_assets.work import Work, run_work
try:
    work = Work("tiny-specificity", "twin-bert", frozenset(["fine_tuned_checkpoint"]), force=True)
    list(run_work(Home.from_environment(), work, silent))
except AbAssetsError as error:
    print("torch loaded" if "torch" in sys.modules else "no weights")
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""
