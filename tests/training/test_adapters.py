import pytest

from ab_assets.models.families import FAMILIES
from ab_assets.models.loading import load_encoder
from ab_assets.models.specification import HubSource
from ab_assets.models.twins import twin_spec
from ab_assets.training.adapters import adapt, adapter_config, adapter_weights
from ab_assets.training.recipe import Recipe


def adapted(family, **changes):
    recipe = Recipe(method="lora", **changes)
    encoder = load_encoder(twin_spec(family))
    stack = encoder.trainable_copy(recipe.split_layer(3), embeddings=recipe.learns_from_tokens)
    adapt(stack, recipe)
    return {name: weight for name, weight in stack.named_weights().items() if weight.requires_grad}


def layers_of(names):
    return {int(part) for name in names for part in name.split(".") if part.isdigit()}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("frozen_dropout", [False, True])
def test_query_key_and_value_of_the_last_layers_are_adapted_and_nothing_else_learns(family, frozen_dropout):
    learnt = adapted(family, trainable_layers=2, frozen_dropout=frozen_dropout)
    assert all(".lora_" in name for name in learnt)
    assert layers_of(learnt) == {1, 2}
    assert len(learnt) == 2 * 3 * 2


@pytest.mark.parametrize(
    ("family", "targets"), [("esm", ["key", "query", "value"]), ("esmc", ["k_proj", "q_proj", "v_proj"])]
)
def test_pefts_configuration_names_what_is_stored(family, targets):
    weights = adapted(family, trainable_layers=1, lora_rank=2)
    adapters, others = adapter_weights(weights | {"head.out.bias": None})
    assert list(others) == ["head.out.bias"]
    source = HubSource(kind="hub", repository="owner/model", revision="a" * 40)
    spec = twin_spec(family).model_copy(update={"source": source})
    config = adapter_config(list(adapters), Recipe(method="lora", lora_rank=2).to_dict(), spec)
    assert (config["target_modules"], config["layers_to_transform"], config["r"]) == (targets, [2], 2)
    assert (config["base_model_name_or_path"], config["revision"]) == ("owner/model", "a" * 40)
