import json

import torch
from safetensors.torch import save_file

from ab_assets.models.availability import directory_digest
from ab_assets.models.esmc import transformers_config, transformers_weights
from ab_assets.models.loading import load_encoder, random_model
from ab_assets.models.specification import LocalSource
from ab_assets.models.twins import twin_spec, twin_tokens

# 8/3 of 96, up to a multiple of 256
WIDTH, INNER = 96, 256


def as_published(model):
    """A model's tensors in the names and packings of its authors, with what their kernels leave behind."""
    own = {f"esmc.{name}": tensor.clone() for name, tensor in model.state_dict().items()}
    made = {
        "esmc.embed.weight": own["esmc.embed_tokens.weight"],
        "esmc.transformer.norm.weight": own["esmc.norm.weight"],
        "lm_head.0.weight": torch.zeros(2, 2),
    }
    for layer in range(len(model.layers)):
        ours, theirs = f"esmc.layers.{layer}.", f"esmc.transformer.blocks.{layer}."
        for part in ("weight", "bias"):
            made[f"{theirs}attn.layernorm_qkv.layer_norm_{part}"] = own[f"{ours}input_layernorm.{part}"]
            made[f"{theirs}ffn.layer_norm_{part}"] = own[f"{ours}post_attention_layernorm.{part}"]
        packed = [own[f"{ours}self_attn.{one}_proj.weight"] for one in "qkv"]
        made[f"{theirs}attn.layernorm_qkv.weight"] = torch.cat(packed)
        made[f"{theirs}attn.layernorm_qkv._extra_state"] = torch.zeros(0, dtype=torch.uint8)
        made[f"{theirs}attn.q_ln.weight"] = own[f"{ours}self_attn.q_norm.weight"]
        made[f"{theirs}attn.k_ln.weight"] = own[f"{ours}self_attn.k_norm.weight"]
        made[f"{theirs}attn.out_proj.weight"] = own[f"{ours}self_attn.o_proj.weight"]
        made[f"{theirs}ffn.fc1_weight"] = torch.cat([own[f"{ours}mlp.{one}_proj.weight"] for one in ("gate", "up")])
        made[f"{theirs}ffn.fc2_weight"] = own[f"{ours}mlp.down_proj.weight"]
    return made


def test_what_the_authors_published_loads_to_the_same_bits(tmp_path):
    config = {"d_model": WIDTH, "n_heads": 4, "n_layers": 2, "vocab_size": len(twin_tokens("esmc")), "pad_token_id": 1}
    ours = random_model("esmc", transformers_config(config), seed=5)
    assert ours.config.intermediate_size == INNER
    save_file(as_published(ours), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "esmc", "architectures": ["ESMC"]}))
    (tmp_path / "vocab.txt").write_text("\n".join(twin_tokens("esmc")), encoding="utf-8")
    source = LocalSource(kind="local", directory=str(tmp_path), revision=directory_digest(tmp_path))
    loaded = load_encoder(twin_spec("esmc", max_length=60).model_copy(update={"source": source}))
    theirs = loaded.model.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.state_dict().items())


def test_what_transformers_saved_stays_as_it_is():
    weights = {"esmc.layers.0.self_attn.q_proj.weight": torch.zeros(1)}
    assert transformers_weights(weights) == weights
    assert transformers_config({"hidden_size": 8}) == {"hidden_size": 8}
