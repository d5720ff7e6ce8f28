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
# Tests run side by side, one thread each; what they start inherits it.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["AB_ASSETS_HOME"] = str(_ROOT / "home")
(_ROOT / "home" / "models").mkdir(parents=True)
(_ROOT / "home" / "models" / "twins.toml").write_text(TWINS)

from ab_assets.home import Home


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with tests that mostly wait, so that others run beside them."""
    items.sort(key=lambda item: not any(item.get_closest_marker(name) for name in ("ui", "cluster")))


def pytest_unconfigure() -> None:
    shutil.rmtree(_ROOT, ignore_errors=True)


@pytest.fixture(scope="session")
def home() -> Home:
    """Return the session's home, with the tiny models and without benchmarks."""
    return Home(_ROOT / "home")


@pytest.fixture(scope="session")
def made(home: Home) -> Home:
    """Return the home with `tiny-specificity` and `tiny-paratope` materialized up to their reports."""
    from ab_assets.commands.intake import add_benchmark
    from ab_assets.commands.rounds import materialize_benchmark

    add_benchmark(write_specificity(_ROOT / "given" / "tiny-specificity"), home)
    add_benchmark(write_paratope(_ROOT / "given" / "tiny-paratope"), home)
    for name in ("tiny-specificity", "tiny-paratope"):
        materialize_benchmark(home, name)
    return home
