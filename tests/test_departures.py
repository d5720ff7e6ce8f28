"""What became of a benchmark whose folder is gone is said in words."""

from __future__ import annotations

import re
import shutil

import pytest
from tests_support import write_specificity

from ab_assets.artifacts.fingerprint import Question
from ab_assets.artifacts.store import Ref
from ab_assets.departures import departed, record_of, retired
from ab_assets.home import Home
from sensors.arrivals import Seen
from sensors.folders import write_seen

NOON = 1_790_000_000.0


@pytest.fixture
def home(tmp_path):
    """Return a home with a further directory that is away, and results of `tiny`, which has no folder."""
    home = Home(tmp_path / "home")
    home.root.mkdir()
    (home.root / "benchmarks.toml").write_text(f'directories = ["{tmp_path}/lab"]')
    with home.store.draft() as draft:
        draft.document("content", {})
        home.store.point(
            Ref("raw_dataset", "tiny"),
            home.store.publish(draft, Ref("raw_dataset", "tiny"), Question("raw_dataset"), seconds=0),
        )
    return home


def mount(home):
    write_specificity(home.root.parent / "lab" / "other", count=6)


def test_results_without_a_folder_are_named_and_a_benchmark_with_one_is_not(home):
    mount(home)
    assert departed(home) == {"tiny": "its folder is gone; results are kept"}
    write_specificity(home.own_folder("tiny"), count=6)
    assert departed(home) == {}


def test_a_folder_may_lie_where_nobody_can_look(home):
    away = f"{home.root.parent / 'lab'} is not there (not mounted?)"
    assert departed(home) == {"tiny": away}
    write_seen(home, {"tiny": Seen("a", 0, "a", place=str(home.root.parent / "lab"))})
    assert departed(home) == {"tiny": away}
    write_seen(home, {"tiny": Seen("a", 0, "a", place=str(home.directories.own))})
    assert departed(home) == {"tiny": "its folder is gone; results are kept"}


def test_a_removed_one_is_retired_since_the_day_on_which_it_was_missed(home):
    write_seen(home, {"tiny": Seen("a", 0, "a", gone=NOON), "unmade": Seen("a", 0, "a", gone=NOON, removed=True)})
    assert departed(home)["unmade"] == retired(NOON)
    assert re.fullmatch(r"retired: its folder was removed on 2026-09-2\d; results are kept", retired(NOON))
    mount(home)
    assert departed(home)["tiny"] == "its folder is gone; results are kept"


@pytest.mark.parametrize("garbled", ["{", "[]", '{"tiny": 1}', '{"tiny": {"gone": "x", "removed": true, "place": 3}}'])
def test_a_garbled_record_is_none(home, garbled):
    mount(home)
    record_of(home).parent.mkdir(exist_ok=True)
    record_of(home).write_text(garbled)
    assert departed(home) == {"tiny": "its folder is gone; results are kept"}


def test_a_home_without_anything_has_lost_nothing(tmp_path):
    assert departed(Home(tmp_path / "fresh")) == {}
    shutil.rmtree(tmp_path)
