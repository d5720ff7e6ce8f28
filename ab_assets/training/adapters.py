"""Low-rank adapters (Hu et al. 2021) in the attention of a model's layers; all other weights stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ab_assets.models.encoders import LayerStack
    from ab_assets.training.recipe import Recipe

TARGETS = ("query", "key", "value")
"""The linear layers that are adapted, by the last part of their name."""

ADAPTER = "default"  # what peft calls the only one


def adapt(stack: LayerStack, recipe: Recipe) -> None:
    """Freeze `stack` and put adapters that learn into its attention, drawn from torch's random state."""
    from peft import inject_adapter_in_model  # noqa: PLC0415 - seconds to import

    stack.requires_grad_(requires_grad=False)
    inject_adapter_in_model(lora_config(recipe, []), stack)
    for weight in stack.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()  # peft takes the type of what is adapted


def lora_config(recipe: Recipe, layers: list[int]) -> object:
    """Return peft's configuration of the recipe's adapters; `layers`: those of the whole model, none for all."""
    from peft import LoraConfig  # noqa: PLC0415 - seconds to import

    return LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=list(TARGETS),
        layers_to_transform=layers or None,
    )
