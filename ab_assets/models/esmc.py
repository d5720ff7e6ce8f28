"""ESM C as its authors published it becomes what transformers' EsmcModel reads: other names, packed projections apart.

The layout is that of biohub/ESMC-300M and -600M before transformers knew the model (its
`models/esmc/convert_esmc_checkpoint.py` lists it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_KEYS = {"d_model": "hidden_size", "n_heads": "num_attention_heads", "n_layers": "num_hidden_layers"}
_NAMES = {
    "embed.": "embed_tokens.",
    "transformer.blocks.": "layers.",
    "transformer.norm.": "norm.",
    "attn.layernorm_qkv.layer_norm_": "input_layernorm.",
    "attn.q_ln.": "self_attn.q_norm.",
    "attn.k_ln.": "self_attn.k_norm.",
    "attn.out_proj.": "self_attn.o_proj.",
    "ffn.layer_norm_": "post_attention_layernorm.",
    "ffn.fc2_weight": "mlp.down_proj.weight",
}
_PACKED = {
    "attn.layernorm_qkv.weight": ("self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"),
    "ffn.fc1_weight": ("mlp.gate_proj.weight", "mlp.up_proj.weight"),
}
_STATE_OF_A_KERNEL = "_extra_state"


def transformers_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration under transformers' names; one that has them already comes back as it is."""
    if "d_model" not in config:
        return dict(config)
    renamed = {_KEYS.get(key, key): value for key, value in config.items()}
    # the authors' own code derives it: 8/3 of the width, up to the next multiple of 256
    return {"intermediate_size": int((8 / 3 * config["d_model"] + 255) // 256 * 256)} | renamed


def transformers_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under transformers' names, packed projections as views of their parts."""
    if not any("transformer.blocks." in name for name in weights):
        return dict(weights)
    made: dict[str, Tensor] = {}
    for published, tensor in weights.items():
        if published.endswith(_STATE_OF_A_KERNEL):
            continue
        name = published
        for old, new in _NAMES.items():
            name = name.replace(old, new)
        packed = next((suffix for suffix in _PACKED if name.endswith(suffix)), None)
        if packed is None:
            made[name] = tensor
        else:
            parts = tensor.chunk(len(_PACKED[packed]), dim=0)
            made |= {name.removesuffix(packed) + one: part for one, part in zip(_PACKED[packed], parts, strict=True)}
    return made
