"""The scripted API, and scenes on it."""

from __future__ import annotations

import itertools

import pytest
from scripted_api import served
from scripted_runs import Scene


@pytest.fixture(scope="session")
def cluster_of():
    """Return a function that gives the cluster of a script."""
    with served() as found:
        yield found


@pytest.fixture
def scene(cluster_of, tmp_path):
    """Return a function that sets a scene: what each Job meets, and settings of kubernetes.toml."""
    homes = itertools.count()

    def make(*stories, **settings):
        home = tmp_path / str(next(homes))
        home.mkdir()
        return Scene(cluster_of, home, stories, settings)

    return make
