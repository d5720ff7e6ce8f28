import json

import numpy as np
import polars as pl
import pytest
import torch

from ab_assets.errors import CorruptArtifactError, MissingArtifactError
from ab_assets.models.twins import twin_spec
from ab_assets.training.data import FitData
from ab_assets.training.recipe import Recipe
from ab_assets.training.session import ModelSession

BOTH = ("vh", "vl")


def data_of(rows, roles, task="antigen-specificity", fit=0, shuffled=None):
    return FitData.build(rows, roles, fit=fit, task=task, chain_names=BOTH, shuffled_labels=shuffled)


@pytest.fixture(params=["antigen-specificity", "paratope"])
def task(request):
    return request.param


def session_of(spec, task="antigen-specificity", **changes):
    return ModelSession(spec, Recipe.for_model(spec, task, changes), device="cpu")


def fitted(spec, data, directory, seed=1, **changes):
    session = session_of(spec, data.task, **changes)
    session.fit(data, seed, directory)
    return session


def test_nothing_is_loaded_before_it_is_needed(spec, rows):
    session = session_of(spec)
    assert (session.loaded, session.trunk_passes) == (False, 0)
    session.embed([(sequence,) for sequence in rows["vh"][:2]])
    assert (session.loaded, session.trunk_passes) == (True, 2)


def test_same_seed_same_bytes(spec, rows, roles, task, tmp_path):
    for name, order in (("a", rows), ("b", rows.reverse())):
        fitted(spec, data_of(order, roles, task), tmp_path / name)
    fitted(spec, data_of(rows, roles, task), tmp_path / "other", seed=2)
    for file in ("trainable.safetensors", "fit.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
        assert (tmp_path / "a" / file).read_bytes() != (tmp_path / "other" / file).read_bytes()


def test_folds_seeds_and_controls_share_one_trunk_pass_per_chain(spec, rows, roles, shuffled, tmp_path):
    session = session_of(spec, "paratope", epochs=1)
    for fit in (0, 1):
        for seed in (1, 2):
            for labels in (None, shuffled):
                data = data_of(rows, roles, "paratope", fit, labels)
                session.fit(data, seed, tmp_path)
                session.fit_probe(data, seed, tmp_path)
                session.predict_fit(tmp_path, rows)
    session.embed([(sequence,) for sequence in [*rows["vh"], *rows["vl"]]])
    assert session.trunk_passes == len({*rows["vh"], *rows["vl"]})


def test_embeddings_are_means_over_residues_of_the_last_states(spec, rows):
    session = session_of(spec)
    text = (rows["vh"][0],)
    embedded = session.embed([text, *((sequence,) for sequence in rows["vl"])])[text]
    encoder = session.encoder
    ids = torch.tensor([encoder.tokenizer.encode(text, 510).ids])
    whole = encoder.model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    assert embedded.dtype == np.float32
    np.testing.assert_allclose(embedded, whole[0, 1:-1].mean(dim=0).detach().numpy(), atol=1e-5)


def test_remembered_embeddings_are_not_computed_again(spec, rows):
    session = session_of(spec)
    session.remember({("QVQ",): np.ones(32, dtype=np.float32)})
    assert session.embed([("QVQ",)])[("QVQ",)].tolist() == [1.0] * 32
    assert not session.loaded


def test_a_fit_says_what_it_did_without_a_clock(spec, rows, roles, tmp_path):
    session = session_of(spec)
    summary = session.fit(data_of(rows, roles), 4, tmp_path)
    record = json.loads((tmp_path / "fit.json").read_text())
    assert {file.name for file in tmp_path.iterdir()} == {"README.md", "fit.json", "trainable.safetensors"}
    assert (record["seed"], record["labels"], record["split_layer"]) == (4, "true", 1)
    assert record["train"] == {"examples": 32, "labels": 32, "positives": 16}
    assert len(record["history"]) == summary.epochs == 3
    assert summary.validation_loss == record["validation_loss"]
    assert "seconds" not in record


def test_predictions_do_not_depend_on_the_order_or_company_of_rows(spec, rows, roles, task, tmp_path):
    fitted(spec, data_of(rows, roles, task), tmp_path)
    fresh = session_of(spec)
    together = fresh.predict_fit(tmp_path, rows)
    assert fresh.predict_fit(tmp_path, rows.reverse()).equals(together)
    few = session_of(spec).predict_fit(tmp_path, rows[7:9])
    same = together.filter(pl.col("row_id").is_in(few["row_id"].to_list()))
    assert few.drop("score").equals(same.drop("score"))
    np.testing.assert_allclose(few["score"], same["score"], atol=1e-5)


@pytest.mark.parametrize("method", ["fit", "probe"])
def test_a_planted_rule_is_learnt(spec, rows, roles, method, tmp_path):
    session = session_of(spec, epochs=12, patience=12)
    data = data_of(rows, roles)
    getattr(session, {"fit": "fit", "probe": "fit_probe"}[method])(data, 1, tmp_path)
    scored = getattr(session, f"predict_{method}")(tmp_path, rows[:32])
    means = dict(scored.group_by("label").agg(pl.col("score").mean()).iter_rows())
    assert means[True] > means[False] + 0.1


def test_the_probe_is_reproducible_and_scores_each_residue(spec, rows, roles, task, tmp_path):
    for name in ("a", "b"):
        session = session_of(spec)
        summary = session.fit_probe(data_of(rows, roles, task), 1, tmp_path / name)
    for file in ("probe.safetensors", "probe.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    scored = session.predict_probe(tmp_path / "a", rows)
    residues = rows["vh"].str.len_chars().sum() + rows["vl"].str.len_chars().sum()
    assert len(scored) == (len(rows) if task == "antigen-specificity" else residues)
    assert scored["score"].is_between(0, 1).all()
    assert summary.train_items == json.loads((tmp_path / "a" / "probe.json").read_text())["train"]["labels"]


def test_unlabelled_rows_are_scored_the_same(spec, rows, roles, task, tmp_path):
    session = fitted(spec, data_of(rows, roles, task), tmp_path)
    nothing = pl.lit(None, pl.List(pl.Boolean))
    bare = rows.with_columns(label=pl.lit(None, pl.Boolean), vh_paratope=nothing, vl_paratope=nothing)
    scored = session.predict_fit(tmp_path, bare)
    assert scored["label"].null_count() == len(scored)
    np.testing.assert_allclose(scored["score"], session.predict_fit(tmp_path, rows)["score"], atol=1e-5)


def test_truncated_residues_are_counted_and_have_no_score(rows, roles, tmp_path):
    spec = twin_spec("bert", max_length=12, epochs=1)
    session = session_of(spec)
    summary = session.fit(data_of(rows, roles, "paratope"), 1, tmp_path)
    assert summary.truncated_residues > 0
    session.fit_probe(data_of(rows, roles, "paratope"), 1, tmp_path)
    for scored in (session.predict_fit(tmp_path, rows), session.predict_probe(tmp_path, rows)):
        assert (scored["score"].is_null() == (scored["residue"] >= 12)).all()


@pytest.mark.parametrize("layers", [0, 3, 9])
def test_any_number_of_trainable_layers_can_be_fitted_and_read_back(spec, rows, roles, layers, tmp_path):
    changes = {"trainable_layers": layers, "epochs": 1, "pooling": "cls", "class_weight": "none"}
    fitted(spec, data_of(rows, roles), tmp_path, **changes)
    record = json.loads((tmp_path / "fit.json").read_text())
    assert record["split_layer"] == max(0, 3 - layers)
    assert session_of(spec).predict_fit(tmp_path, rows)["score"].is_between(0, 1).all()


def test_attention_compares_both_states_of_the_model(spec, rows, roles, tmp_path):
    session = fitted(spec, data_of(rows, roles), tmp_path)
    both = session.attention(rows[40:], chain_names=BOTH, directory=tmp_path)
    assert both["model_state"].unique(maintain_order=True).to_list() == ["pre-trained", "fine-tuned"]
    alone = session.attention(rows[40:], chain_names=BOTH)
    assert alone.equals(both.filter(pl.col("model_state") == "pre-trained"))


def test_no_fit_and_another_models_fit_are_refused_before_loading(spec, rows, roles, tmp_path):
    other = session_of(spec.model_copy(update={"max_length": 99}))
    with pytest.raises(MissingArtifactError):
        other.predict_fit(tmp_path, rows)
    fitted(spec, data_of(rows, roles), tmp_path, epochs=1)
    with pytest.raises(CorruptArtifactError, match="another model"):
        other.predict_fit(tmp_path, rows)
    assert not other.loaded


def test_no_rows_need_no_weights(spec, rows, roles, tmp_path):
    fitted(spec, data_of(rows, roles), tmp_path, epochs=1)
    session = session_of(spec)
    assert session.predict_fit(tmp_path, rows.clear()).is_empty()
    assert not session.loaded
