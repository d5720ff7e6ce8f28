"""A small home that tests share: two tiny benchmarks, two tiny models, made once per test process."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from tests_support import TWINS, write_paratope, write_specificity

# No test says how long it takes: machines are busy, and first calls compile.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

# The model partitions are read from the home when the definitions are imported, so the home is named before that.
_ROOT = Path(tempfile.mkdtemp(prefix="ab-assets-tests-"))
_FIRST = ("ui", "cluster", "long", "real_weights")
# Tests run side by side, one thread each; what they start inherits it.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["AB_ASSETS_HOME"] = str(_ROOT / "home")
(_ROOT / "home" / "models").mkdir(parents=True)
(_ROOT / "home" / "models" / "twins.toml").write_text(TWINS)

from ab_assets.artifacts.durable import in_turn
from ab_assets.home import Home
from ab_assets.splits.mmseqs import mmseqs_binary

if "AB_ASSETS_TEST_MMSEQS" not in os.environ:  # else it is inherited
    _TESTS = Path(__file__).parent
    _CLUSTERS = _TESTS.parent / ".pytest_cache" / "clusters"
    _CLUSTERS.mkdir(parents=True, exist_ok=True)
    os.environ["AB_ASSETS_TEST_MMSEQS"] = str(mmseqs_binary())
    os.environ["AB_ASSETS_TEST_CLUSTERS"] = str(_CLUSTERS)
    os.environ["PATH"] = os.pathsep.join([str(_TESTS / "support" / "bin"), os.environ["PATH"]])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with tests that mostly wait, and with those of minutes, so that others run beside them."""
    items.sort(key=lambda item: not any(item.get_closest_marker(name) for name in _FIRST))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse versions that lose the groups of tests, whose fixtures would be made in every process."""
    if getattr(session.config.option, "loadgroup", False):
        lost = [item.nodeid for item in session.items if item.get_closest_marker("xdist_group")]
        if lost and not any("@" in name for name in lost):
            what = "this pytest-xdist does not group tests under this pytest; see constraints.txt"
            raise pytest.UsageError(what)


def pytest_unconfigure() -> None:
    shutil.rmtree(_ROOT, ignore_errors=True)


@pytest.fixture(scope="session")
def home() -> Home:
    """Return the session's home, with the tiny models and without benchmarks."""
    return Home(_ROOT / "home")


@pytest.fixture(scope="session")
def made(home: Home, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Home:
    """Return the home with `tiny-specificity` and `tiny-paratope` materialized up to their reports.

    Of processes side by side the first makes them, and the others copy what it made.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "made"
    shared.mkdir(exist_ok=True)
    with in_turn(shared / "lock"):
        is_fresh = not (home.dagster.exists() or (home.root / "benchmarks").exists())
        if is_fresh and (shared / "home").exists():
            shutil.copytree(shared / "home", home.root, symlinks=True, dirs_exist_ok=True)
            return home
        _make(home)
        if is_fresh:
            shutil.copytree(home.root, shared / "unfinished", symlinks=True)
            (shared / "unfinished").rename(shared / "home")
    return home


def _make(home: Home) -> None:
    from ab_assets.commands.intake import add_benchmark
    from ab_assets.commands.rounds import materialize_benchmark

    add_benchmark(write_specificity(_ROOT / "given" / "tiny-specificity"), home)
    add_benchmark(write_paratope(_ROOT / "given" / "tiny-paratope"), home)
    for name in ("tiny-specificity", "tiny-paratope"):
        materialize_benchmark(home, name)
