import json
import pickle
import sys

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
import transformers

from ab_assets.errors import BadInputError, CorruptArtifactError, UnreadableFileError
from ab_assets.models.availability import directory_digest, obtain_files
from ab_assets.models.catalogue import load_catalogue
from ab_assets.models.families import FAMILIES
from ab_assets.models.loading import load_encoder, random_model, read_weights
from ab_assets.models.specification import LocalSource
from ab_assets.models.twins import twin_config, twin_spec, twin_tokens


def saved_model(family, folder, seed=3):
    """A language model as its authors publish it: transformers' own files, with the LM head, under a prefix."""
    config = twin_config(family, twin_spec(family).source, 60)
    torch.manual_seed(seed)
    parts = FAMILIES[family]
    masked = getattr(transformers, parts.model.replace("Model", "ForMaskedLM"))
    model = masked(getattr(transformers, parts.config)(**config))
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(twin_tokens(family)), encoding="utf-8")
    return model.eval()


def local_spec(family, folder):
    source = LocalSource(kind="local", directory=str(folder), revision=directory_digest(folder))
    return twin_spec(family, max_length=60).model_copy(update={"source": source})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_that_lacks_a_tensor_is_refused(family, tmp_path):
    from safetensors.torch import load_file, save_file

    saved_model(family, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    lost = [name for name in weights if f"{family}.{FAMILIES[family].layers}.1." in name]
    del weights[lost[0]]
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


def rewritten(folder, **config):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))


def test_shards_give_the_bits_of_one_file(tmp_path):
    whole, shards = tmp_path / "whole", tmp_path / "shards"
    model = saved_model("esm", whole)
    saved_model("esm", shards)
    (shards / "model.safetensors").unlink()
    weights = dict(model.state_dict())
    parts = {"pytorch_model-1-of-2.bin": sorted(weights)[::2], "pytorch_model-2-of-2.bin": sorted(weights)[1::2]}
    for name, names in parts.items():
        torch.save({key: weights[key].clone() for key in names}, shards / name)
    weight_map = {key: name for name, names in parts.items() for key in names}
    (shards / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    one, two = (load_encoder(local_spec("esm", folder)).model.state_dict() for folder in (whole, shards))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_esm2_as_published_loads_without_its_unused_positions_and_with_its_own_angles(tmp_path):
    from safetensors.torch import load_file, save_file

    saved_model("esm", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    angles = torch.tensor([1.0, 0.1, 0.01, 0.001]).half().float()
    for layer in range(3):
        weights[f"esm.encoder.layer.{layer}.attention.self.rotary_embeddings.inv_freq"] = angles.clone()
    weights["esm.embeddings.position_ids"] = torch.arange(64)[None]
    weights["esm.embeddings.position_embeddings.weight"] = torch.zeros(64, 32)
    save_file(weights, tmp_path / "model.safetensors")
    encoder = load_encoder(local_spec("esm", tmp_path))
    assert torch.equal(encoder.model.rotary_embeddings.inv_freq, angles)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_load_in_the_asked_precision_and_angles_keep_theirs(family, tmp_path):
    saved_model(family, tmp_path)
    encoder = load_encoder(local_spec(family, tmp_path), dtype=torch.bfloat16)
    assert {weight.dtype for weight in encoder.model.parameters()} == {torch.bfloat16}
    assert all(buffer.dtype != torch.bfloat16 for buffer in encoder.model.buffers())
    ids = torch.tensor([encoder.tokenizer.encode(("EVQLV",), 60).ids])
    with torch.inference_mode():
        hidden = encoder.run_layers(encoder.embed(ids, None), None, start=0, stop=3)
    assert hidden.dtype == torch.bfloat16
    assert hidden.isfinite().all()


def test_learned_positions_that_are_missing_are_noticed(tmp_path):
    from safetensors.torch import load_file, save_file

    saved_model("bert", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["bert.embeddings.position_embeddings.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(CorruptArtifactError, match="1 tensors missing"):
        load_encoder(local_spec("bert", tmp_path))


def test_a_repository_that_wants_its_code_run_is_refused_unless_its_weights_alone_are_asked_for(tmp_path):
    saved_model("bert", tmp_path)
    rewritten(tmp_path, auto_map={"AutoModel": "evil.Model"})
    spec = local_spec("bert", tmp_path)
    with pytest.raises(BadInputError, match=r"asks to run code.*evil\.Model.*ignore_remote_code"):
        load_encoder(spec)
    alone = spec.model_copy(update={"source": spec.source.model_copy(update={"ignore_remote_code": True})})
    assert load_encoder(alone).layer_count == 3


def test_a_model_of_another_family_is_refused(tmp_path):
    saved_model("esm", tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(twin_tokens("bert")), encoding="utf-8")
    with pytest.raises(BadInputError, match="found model_type esm, expected bert"):
        load_encoder(local_spec("bert", tmp_path))


@pytest.mark.parametrize(("family", "allowed"), [("bert", 66), ("roberta", 64), ("roformer", 66)])
def test_a_max_length_beyond_the_positions_is_refused_with_what_fits(family, allowed, tmp_path):
    saved_model(family, tmp_path)
    spec = local_spec(family, tmp_path)
    assert load_encoder(spec.model_copy(update={"max_length": allowed})).max_length == allowed
    with pytest.raises(BadInputError, match=f"at most {allowed}"):
        load_encoder(spec.model_copy(update={"max_length": allowed + 1}))


def test_a_pair_of_the_maximum_length_has_to_fit_with_its_separators(tmp_path):
    saved_model("roformer", tmp_path)
    spec = local_spec("roformer", tmp_path)
    joined = spec.model_copy(update={"pairing": spec.pairing.model_copy(update={"context": "joined"})})
    with pytest.raises(BadInputError, match="at most 63"):  # 68 positions less three special tokens and two marks
        load_encoder(joined.model_copy(update={"max_length": 64}))


HEAD = ("transform.dense", "transform.LayerNorm", "decoder")
GERMLINE = "EVQLVESGGGLVQPGGSLRLSCAASGFTFSSYAMSWVRQAPGKGLEWVSAISGSGGSTYYADSVKGRFTISRDNSKNTLYLQMNSLRAEDTAVYYCAK"


def recovered(encoder, head):
    """The part of a germline VH's residues that the language model guesses when they are masked one by one."""
    tokens = torch.tensor(encoder.tokenizer.encode((GERMLINE,), 510).ids)
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
    head = read_weights(*obtain_files(catalogue["antiberty"]).shards)
    trained, random = load_encoder(catalogue["antiberty"]), load_encoder(catalogue["antiberty-random"])
    assert (trained.layer_count, trained.width, trained.tokenizer.size) == (8, 512, 25)
    assert recovered(trained, head) > 0.9
    assert recovered(random, head) < 0.3
    assert "antiberty" not in sys.modules
