import json
import pickle
import sys

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from ab_assets.errors import CorruptArtifactError, UnreadableFileError
from ab_assets.models.availability import directory_digest, obtain_files
from ab_assets.models.catalogue import load_catalogue
from ab_assets.models.loading import load_encoder, random_model, read_weights
from ab_assets.models.specification import LocalSource
from ab_assets.models.twins import twin_config, twin_spec, twin_tokens

FAMILIES = ("bert", "esm")


def saved_model(family, folder, seed=3):
    """A language model as its authors publish it: transformers' own files, with the LM head, under a prefix."""
    from transformers import BertConfig, BertForMaskedLM, EsmConfig, EsmForMaskedLM

    config = twin_config(family, twin_spec(family).source, 60)
    torch.manual_seed(seed)
    model = BertForMaskedLM(BertConfig(**config)) if family == "bert" else EsmForMaskedLM(EsmConfig(**config))
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(twin_tokens(family)), encoding="utf-8")
    return model.eval()


def local_spec(family, folder):
    source = LocalSource(kind="local", directory=str(folder), revision=directory_digest(folder))
    return twin_spec(family, max_length=60).model_copy(update={"source": source})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_published_checkpoint_loads_to_the_same_states(family, tmp_path):
    model = saved_model(family, tmp_path)
    encoder = load_encoder(local_spec(family, tmp_path))
    ids = torch.tensor([encoder.tokenizer.encode("EVQLXVES", 60).ids])
    mask = torch.ones_like(ids, dtype=torch.bool)
    with torch.inference_mode():
        theirs = getattr(model, family)(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        ours = encoder.run_layers(encoder.embed(ids, mask), mask, start=0, stop=3)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_that_lacks_a_tensor_is_refused(family, tmp_path):
    from safetensors.torch import load_file, save_file

    saved_model(family, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights[f"{family}.encoder.layer.1.output.dense.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(CorruptArtifactError, match="1 tensors missing"):
        load_encoder(local_spec(family, tmp_path))


def test_weights_of_another_shape_are_refused(tmp_path):
    saved_model("bert", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_size": 64}))
    with pytest.raises(CorruptArtifactError, match="do not fit"):
        load_encoder(local_spec("bert", tmp_path))


def test_loading_says_nothing_and_leaves_transformers_as_talkative_as_before(tmp_path, capsys):
    from transformers.utils import logging

    saved_model("bert", tmp_path)
    before = (logging.get_verbosity(), logging.is_progress_bar_enabled())
    capsys.readouterr()
    load_encoder(local_spec("bert", tmp_path))
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    assert capsys.readouterr() == ("", "")


def test_truncated_weights_and_pickled_code_are_refused(tmp_path):
    saved_model("bert", tmp_path)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableFileError, match=r"model\.safetensors"):
        read_weights(tmp_path / "model.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"x": print}, protocol=2))
    with pytest.raises(UnreadableFileError, match=r"pytorch_model\.bin"):
        read_weights(tmp_path / "pytorch_model.bin")


def test_a_configuration_that_is_no_json_is_refused(tmp_path):
    saved_model("bert", tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UnreadableFileError, match=r"config\.json"):
        load_encoder(local_spec("bert", tmp_path))


def test_random_weights_depend_on_the_seed_alone():
    config = twin_config("bert", twin_spec("bert").source, 60)
    torch.manual_seed(7)
    first = random_model("bert", config, seed=1).state_dict()
    torch.manual_seed(8)
    second = random_model("bert", config, seed=1).state_dict()
    other = random_model("bert", config, seed=2).state_dict()
    name = "encoder.layer.0.output.dense.weight"
    assert torch.equal(first[name], second[name])
    assert not torch.equal(first[name], other[name])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_twin_reads_every_letter_up_to_its_maximum(family):
    encoder = load_encoder(twin_spec(family, max_length=30))
    ids = torch.tensor([encoder.tokenizer.encode("ACDXEFGHIK" * 5, 30).ids])
    hidden = encoder.embed(ids, torch.ones_like(ids, dtype=torch.bool))
    assert hidden.shape == (1, 32, 32)


HEAD = ("transform.dense", "transform.LayerNorm", "decoder")
GERMLINE = "EVQLVESGGGLVQPGGSLRLSCAASGFTFSSYAMSWVRQAPGKGLEWVSAISGSGGSTYYADSVKGRFTISRDNSKNTLYLQMNSLRAEDTAVYYCAK"


def recovered(encoder, head):
    """The part of a germline VH's residues that the language model guesses when they are masked one by one."""
    tokens = torch.tensor(encoder.tokenizer.encode(GERMLINE, 510).ids)
    mask_token, places = 4, torch.arange(1, len(GERMLINE) + 1, 4)
    ids = tokens.repeat(len(places), 1)
    ids[torch.arange(len(places)), places] = mask_token
    mask = torch.ones_like(ids, dtype=torch.bool)
    with torch.inference_mode():
        hidden = encoder.run_layers(encoder.embed(ids, mask), mask, start=0, stop=encoder.layer_count)
        states = hidden[torch.arange(len(places)), places]
        dense, norm, out = ([head[f"cls.predictions.{n}.{p}"] for p in ("weight", "bias")] for n in HEAD)
        states = F.layer_norm(F.gelu(F.linear(states, *dense)), (encoder.width,), *norm, eps=1e-12)
        return (F.linear(states, *out).argmax(dim=1) == tokens[places]).float().mean().item()


def test_antiberty_knows_germline_residues_without_its_own_code_and_random_weights_do_not():
    catalogue = load_catalogue()
    head = read_weights(obtain_files(catalogue["antiberty"]).weights)
    trained, random = load_encoder(catalogue["antiberty"]), load_encoder(catalogue["antiberty-random"])
    assert (trained.layer_count, trained.width, trained.tokenizer.size) == (8, 512, 25)
    assert recovered(trained, head) > 0.9
    assert recovered(random, head) < 0.3
    assert "antiberty" not in sys.modules
