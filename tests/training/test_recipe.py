import pytest

from ab_assets.benchmarks.schema import Training
from ab_assets.errors import BadInputError
from ab_assets.models.catalogue import load_catalogue
from ab_assets.models.specification import Pairing
from ab_assets.models.twins import twin_spec
from ab_assets.training.recipe import Recipe


def test_a_benchmark_overrides_only_what_it_says():
    spec = load_catalogue()["antiberty"]
    recipe = Recipe.from_parts(spec.recipe, Training(epochs=2).overrides())
    assert recipe.to_dict() == {**spec.recipe.model_dump(), "epochs": 2}
    assert Recipe(**recipe.to_dict()) == recipe


def test_every_override_a_benchmark_may_give_is_a_recipe_key():
    assert set(Training.model_fields) - {"preset"} <= set(Recipe.model_fields)


def test_a_preset_lies_under_what_else_a_benchmark_says_and_above_the_models_own():
    recipe = Recipe.for_model(twin_spec("bert"), "paratope", {"epochs": 3}, preset="abflow")
    assert (recipe.learning_rate, recipe.batch_size, recipe.epochs, recipe.head) == (1e-5, 64, 3, "linear")
    assert Recipe.for_model(twin_spec("bert"), "antigen-specificity", preset="abflow").head == "dense"


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_preset_gives_way_to_another_method_and_so_does_the_models_own_number_of_layers(method):
    own = twin_spec("bert", trainable_layers=2)
    assert Recipe.for_model(own, "paratope", {"method": method}, preset="abflow").trainable_layers is None
    assert Recipe.for_model(own, "paratope", {"method": method}).trainable_layers is None
    assert Recipe.for_model(own, "paratope").trainable_layers == 2


def test_settings_without_effect_make_no_other_recipe():
    def recipe(task, **said):
        return Recipe.for_model(twin_spec("bert"), task, said)

    assert recipe("paratope", pooling="cls", lora_rank=4) == recipe("paratope")
    assert recipe("antigen-specificity", pooling="cls") != recipe("antigen-specificity")
    assert recipe("paratope", method="lora", lora_rank=4) != recipe("paratope", method="lora")


def test_chains_are_paired_as_the_model_was_trained_unless_a_benchmark_says_otherwise():
    paired = twin_spec("bert").model_copy(update={"pairing": Pairing(context="joined")})
    assert Recipe.for_model(paired, "paratope").joined
    assert not Recipe.for_model(twin_spec("bert"), "paratope").joined
    assert not Recipe.for_model(paired, "paratope", {"pairing": "separate"}).joined


def test_what_runs_once_depends_on_the_method():
    assert Recipe().split_layer(8) == 5
    assert Recipe(trainable_layers=20).split_layer(8) == 0
    assert Recipe(method="lora", trainable_layers=2).split_layer(8) == 6
    for recipe in (Recipe(method="full"), Recipe(method="lora"), Recipe(frozen_dropout=True)):
        assert recipe.split_layer(8) == 0


def test_an_unknown_or_impossible_override_is_refused():
    with pytest.raises(BadInputError, match="Did you mean 'epochs'"):
        Recipe.from_parts(twin_spec("bert").recipe, {"epohcs": 2})
    with pytest.raises(BadInputError, match=r"training\.method: .*leave one out"):
        Recipe.from_parts(twin_spec("bert").recipe, {"method": "full", "trainable_layers": 2})
    with pytest.raises(BadInputError, match=r"training\.method: .*needs layers to adapt"):
        Recipe.from_parts(twin_spec("bert").recipe, {"method": "lora", "trainable_layers": 0})
    with pytest.raises(BadInputError, match=r"training\.epochs.*greater than or equal to 1"):
        Recipe.from_parts(twin_spec("bert").recipe, {"epochs": 0})
