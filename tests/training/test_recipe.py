import pytest

from ab_assets.benchmarks.schema import Training
from ab_assets.errors import BadInputError
from ab_assets.models.catalogue import load_catalogue
from ab_assets.models.twins import twin_spec
from ab_assets.training.recipe import Recipe


def test_a_benchmark_overrides_only_what_it_says():
    spec = load_catalogue()["antiberty"]
    recipe = Recipe.from_parts(spec.recipe, Training(epochs=2).overrides())
    assert recipe.to_dict() == {**spec.recipe.model_dump(), "epochs": 2}
    assert Recipe(**recipe.to_dict()) == recipe


def test_every_override_a_benchmark_may_give_is_a_recipe_key():
    assert set(Training.model_fields) <= set(Recipe.model_fields)


def test_an_unknown_or_impossible_override_is_refused():
    with pytest.raises(BadInputError, match="Did you mean 'epochs'"):
        Recipe.from_parts(twin_spec("bert").recipe, {"epohcs": 2})
    with pytest.raises(BadInputError, match=r"training\.epochs.*greater than or equal to 1"):
        Recipe.from_parts(twin_spec("bert").recipe, {"epochs": 0})
