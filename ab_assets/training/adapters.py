"""Low-rank adapters (Hu et al. 2021) in the attention of a model's layers; all other weights stay as they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ab_assets.models.specification import HubSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from ab_assets.models.encoders import LayerStack
    from ab_assets.models.specification import ModelSpec
    from ab_assets.training.recipe import Recipe

TARGETS = ("query", "key", "value", "q_proj", "k_proj", "v_proj")
"""The linear layers that are adapted, by the last part of their name in any family."""

ADAPTER = "default"  # what peft calls the only one
_PREFIX = "base_model.model."  # before every name in peft's files, which do not say the adapter's
_STORED = re.compile(r"(?:.*\.)?(?P<layers>\w+)\.(?P<layer>\d+)\..*\.(?P<target>\w+)\.lora_[AB]\.weight")


def adapt(stack: LayerStack, recipe: Recipe) -> None:
    """Freeze `stack` and put adapters that learn into its last layers' attention, drawn from torch's random state."""
    from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415 - seconds to import

    stack.requires_grad_(requires_grad=False)
    count = stack.stop - stack.start
    config = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,  # peft divides it by r, whole or not
        lora_dropout=recipe.lora_dropout,
        target_modules=list(TARGETS),
        layers_to_transform=list(range(count - recipe.learning_layers(stack.stop), count)),
        layers_pattern="_layers",  # what the stack calls them
    )
    inject_adapter_in_model(config, stack)
    for weight in stack.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()  # peft takes the type of what is adapted


def adapter_weights(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the adapters among `weights` under the names they have in peft's files, and all others under their own."""
    adapters = {name: weight for name, weight in weights.items() if f".{ADAPTER}." in name}
    others = {name: weight for name, weight in weights.items() if name not in adapters}
    return {_PREFIX + name.replace(f".{ADAPTER}.", "."): weight for name, weight in adapters.items()}, others


def adapter_config(names: Sequence[str], recipe: Mapping[str, Any], spec: ModelSpec) -> dict[str, Any]:
    """Return what peft's adapter_config.json says of adapters of these `names` in its files."""
    parts = [match for name in names if (match := _STORED.fullmatch(name))]
    source = spec.source
    return {
        "peft_type": "LORA",
        "base_model_name_or_path": source.repository if isinstance(source, HubSource) else None,
        "revision": source.revision or None if isinstance(source, HubSource) else None,
        "inference_mode": True,
        "bias": "none",
        "r": recipe["lora_rank"],
        "lora_alpha": recipe["lora_alpha"],
        "lora_dropout": recipe["lora_dropout"],
        "target_modules": sorted({part["target"] for part in parts}),
        "layers_to_transform": sorted({int(part["layer"]) for part in parts}),
        "layers_pattern": parts[0]["layers"],
    }
