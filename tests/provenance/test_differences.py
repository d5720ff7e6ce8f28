"""What two versions of the data, and the scores over them, differ in; nothing is called a test that is none."""

from __future__ import annotations

import pytest
from injected_changes import BINDERS, SETTINGS
from published import write_benchmark
from two_versions import NEW, OLD, antibodies, publish_version, scores, two_versions, write_home

from ab_assets.errors import BadInputError
from ab_assets.provenance.differences import NO_TEST, difference_between, versions_of
from ab_assets.provenance.history import history_of


def between(home, older=None, newer=None):
    history = history_of(home.store, BINDERS)
    return difference_between(home.store, history, *versions_of(history, older, newer))


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    return two_versions(tmp_path_factory.mktemp("twice") / "home")


def test_by_default_the_older_of_the_two_newest_is_compared_with_the_newer(twice):
    found = between(twice)
    assert (found.rows.added.height, found.rows.removed.height) == (2, 1)
    assert found.new.current


def test_a_version_alone_is_compared_with_the_shown_one(twice):
    assert between(twice, "2").new.current
    backwards = between(twice, "1", "2")
    assert (backwards.rows.added.height, backwards.rows.removed.height) == (1, 2)


def test_each_method_has_both_values_with_their_intervals_and_the_difference(twice):
    ap = {one["method"]: one for one in between(twice).metrics if one["metric"] == "ap"}
    assert ap["one fine_tuned"]["old"] == {"value": 0.5, "low": 0.4, "high": 0.6}
    assert ap["one fine_tuned"]["difference"] == pytest.approx(0.25)
    assert ap["kmer"]["difference"] == 0
    assert ap["gone"]["new"] is None
    assert ap["gone"]["difference"] is None


def test_no_difference_is_called_a_paired_one():
    assert "not a paired test" in NO_TEST


def test_when_only_the_data_differ_that_is_said(twice):
    assert between(twice).besides == ()


def test_what_differs_besides_the_data_is_named_with_where(tmp_path):
    home = write_home(tmp_path)
    publish_version(home, "old\n", antibodies(OLD), scores(kmer=0.5))
    write_benchmark(home, BINDERS, SETTINGS[BINDERS] | {"training.epochs": 9})
    publish_version(home, "new\n", antibodies(NEW), scores(kmer=0.6))
    (line,) = between(home).besides
    assert line == (
        "parameter recipe.epochs changed: 2 -> 9 (fine_tuned_checkpoint of one, fine_tuned_checkpoint of two, "
        "shuffled_label_checkpoint of one, shuffled_label_checkpoint of two)"
    )


def test_one_version_cannot_be_compared(tmp_path):
    home = write_home(tmp_path)
    publish_version(home, "old\n", antibodies(OLD), scores(kmer=0.5))
    with pytest.raises(BadInputError, match="nothing to compare"):
        between(home)
