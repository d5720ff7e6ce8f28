"""New antibodies are scored the same way by the command, by the asset, and as the test rows were."""

from __future__ import annotations

import polars as pl
import pytest
from tests_support import write_specificity

from ab_assets.artifacts.store import Ref
from ab_assets.commands.intake import add_benchmark
from ab_assets.commands.rounds import materialize_benchmark, predict_file
from ab_assets.errors import BadInputError
from ab_assets.tables import CANDIDATES

STRANGE = "QVQLKESGPGLVAPSQSLSITCTVSGFSLTDYGVNWVRQPPGKGLEWLGMIWGDGSTNYNSALKSRLSISKDNSKSQVFLKMNSLQTDDTARYYCARDG"


@pytest.fixture(scope="module")
def listed(made, tmp_path_factory):
    """A benchmark over the data of `tiny-specificity` that lists candidates: five of its own rows and a stranger."""
    folder = write_specificity(tmp_path_factory.mktemp("given") / "tiny-candidates")
    own = pl.read_csv(folder / "antibodies.csv").head(5).select("id", "heavy")
    new = pl.concat([own, pl.DataFrame({"id": ["stranger"], "heavy": [STRANGE]})])
    new.write_csv(folder / "new.csv")
    toml = folder / "benchmark.toml"
    toml.write_text(toml.read_text() + '\n[candidates]\nfiles = ["new.csv"]\n')
    add_benchmark(folder, made)
    materialize_benchmark(made, "tiny-candidates", models=["twin-bert"])
    return made


@pytest.fixture(scope="module")
def scored(listed):
    return listed.store.require(Ref("candidate_predictions", "tiny-candidates", "twin-bert")).table("candidates")


def test_the_asset_scores_the_files_that_the_definition_lists(scored):
    assert scored.schema == CANDIDATES
    assert scored["sequence_id"].to_list()[-1] == "stranger"
    assert scored["probability"].is_between(0, 1).all()
    assert (scored["call"] == (scored["probability"] >= scored["threshold"])).all()


def test_only_what_is_unlike_the_training_rows_is_out_of_domain(listed, scored):
    roles = listed.store.require(Ref("split", "tiny-candidates")).table("roles")
    rows = listed.store.require(Ref("curated_dataset", "tiny-candidates")).table("antibodies")
    trained = rows.join(roles.filter(role="train"), on="row_id", how="semi")
    known = scored.filter(pl.col("vh").is_in(trained["vh"].to_list()))
    assert known.height >= 1
    assert (known["nearest_identity"] == 1.0).all()
    assert not known["out_of_domain"].any()
    assert scored.filter(sequence_id="stranger")["out_of_domain"].all()


def test_a_test_row_gets_the_score_that_it_had(listed, scored):
    predictions = listed.store.require(Ref("predictions", "tiny-candidates", "twin-bert")).table("predictions")
    rows = listed.store.require(Ref("curated_dataset", "tiny-candidates")).table("antibodies")
    before = predictions.filter(method="fine-tuned").join(rows.select("row_id", "vh"), on="row_id")
    both = scored.join(before, on="vh")
    assert both.height >= 1
    assert both["probability"].to_list() == pytest.approx(both["score"].to_list(), abs=1e-5)


def test_the_command_says_the_same(listed, scored, tmp_path):
    given = listed.folder("tiny-candidates") / "new.csv"
    written, count, outside, rejected = predict_file(
        listed, "tiny-candidates", "twin-bert", given, tmp_path / "out.parquet"
    )
    said = pl.read_parquet(written)
    assert (count, rejected) == (scored.height, 0)
    assert outside == scored["out_of_domain"].sum()
    assert said["probability"].to_list() == pytest.approx(scored["probability"].to_list(), abs=1e-5)


def test_a_file_without_antibodies_is_refused(listed, tmp_path):
    (tmp_path / "empty.csv").write_text("id,heavy\nx,NOT A SEQUENCE\n")
    with pytest.raises(BadInputError):
        predict_file(listed, "tiny-candidates", "twin-bert", tmp_path / "empty.csv", None)
