"""What Dagster records of a partition says why it was made and what from."""

from __future__ import annotations

import pytest
from dagster import MarkdownMetadataValue
from injected_changes import BINDERS
from two_versions import two_versions

from ab_assets.artifacts.publication import Outcome
from ab_assets.artifacts.store import Ref
from resources.home import materialized


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    home = two_versions(tmp_path_factory.mktemp("twice") / "home")

    def metadata(asset, *, reused=False, model=None):
        ref = Ref(asset, BINDERS, model)
        return materialized(Outcome(ref, home.store.require(ref), reused)).metadata

    return metadata


def test_a_materialization_says_what_changed_against_the_version_before(shown):
    metadata = shown("raw_dataset")
    assert metadata["why"] == MarkdownMetadataValue("- input antibodies.csv changed")


def test_a_reused_result_says_when_it_was_made(shown):
    metadata = shown("raw_dataset", reused=True)
    assert metadata["made_at"] in metadata["why"].value


def test_a_materialization_shows_its_provenance_down_to_the_file(shown):
    text = shown("predictions", model="one")["provenance"].value
    assert text.startswith(f"```text\npredictions[{BINDERS}|one]")
    assert "antibodies.csv  sha256" in text
    assert "python" in text
