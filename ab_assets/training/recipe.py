"""How one model is fine-tuned on one benchmark: the catalogue's defaults under the benchmark's overrides."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Self

from pydantic import ValidationError

from ab_assets.errors import BadInputError
from ab_assets.models.specification import RecipeTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ab_assets.benchmarks.schema import Task
    from ab_assets.models.specification import ModelSpec, Precision

# The recipe of the AbFlow pipeline, for comparison: learning rate 1e-5 falling linearly, AdamW, 30 epochs without early
# stopping, batches of 64, the last three layers, and the classifiers of transformers. There frozen layers kept their
# dropout; `frozen_dropout = true` does that, too, at the price of running them in every epoch.
_ABFLOW: dict[str, object] = {
    "method": "last-layers",
    "trainable_layers": 3,
    "learning_rate": 1e-5,
    "epochs": 30,
    "patience": 30,
    "batch_size": 64,
    "weight_decay": 0.0,
    "warmup_fraction": 0.0,
    "dropout": 0.0,
    "pooling": "cls",
    "class_weight": "none",
    "max_gradient_norm": 1.0,
}
_ABFLOW_HEAD: Mapping[str, str] = {"antigen-specificity": "dense", "paratope": "linear"}


class Recipe(RecipeTable):
    """A complete recipe: what a fit does, apart from its data and its seed."""

    @classmethod
    def from_parts(cls, defaults: RecipeTable, overrides: Mapping[str, object] | None = None) -> Self:
        """Return a model's own recipe with `overrides` laid over it.

        Raises BadInputError for an override that is no recipe key or out of its range.
        """
        values = {**defaults.model_dump(), **(overrides or {})}
        if values["method"] != defaults.method and "trainable_layers" not in (overrides or {}):
            values["trainable_layers"] = None  # the model's own number is for its own method
        try:
            return cls(**values)
        except ValidationError as error:
            detail = error.errors()[0]
            key = str(detail["loc"][0]) if detail["loc"] else "method"
            near = difflib.get_close_matches(key, cls.model_fields, n=1)
            raise BadInputError(
                what=f"training.{key}: {detail['msg']}",
                found=repr(detail["input"]) if detail["loc"] else "",
                hint=f"Did you mean {near[0]!r}?" if near and near[0] != key else "",
            ) from error

    @classmethod
    def for_model(
        cls, spec: ModelSpec, task: Task, overrides: Mapping[str, object] | None = None, *, preset: str | None = None
    ) -> Self:
        """Return the recipe of `spec` for `task`: its own, under the preset's, under `overrides`; pairing resolved."""
        said = dict(overrides or {})
        chosen: dict[str, object] = {}
        if preset == "abflow":
            chosen = _ABFLOW | {"head": _ABFLOW_HEAD[task]}
            if said.get("method", "last-layers") != "last-layers":
                del chosen["trainable_layers"]
        recipe = cls.from_parts(spec.recipe, chosen | said)
        context = spec.pairing.context if recipe.pairing == "as-trained" else recipe.pairing
        return recipe.model_copy(update={"pairing": context} | recipe._without_effect(task))

    def _without_effect(self, task: Task) -> dict[str, object]:
        """Return the settings that change nothing here, at one value: recipes that do the same are the same."""
        defaults = RecipeTable()
        same = ["pooling"] if task == "paratope" else []
        same += [] if self.method == "lora" else ["lora_rank", "lora_alpha", "lora_dropout"]
        return {name: getattr(defaults, name) for name in same}

    @property
    def joined(self) -> bool:
        """Whether both chains of an antibody share a text."""
        return self.pairing == "joined"

    @property
    def learns_from_tokens(self) -> bool:
        """Whether a fit runs the model from its tokens on in every epoch: nothing runs once."""
        return self.method == "full" or self.frozen_dropout

    def split_layer(self, layer_count: int) -> int:
        """Return how many layers run once, before those that a fit runs in every epoch."""
        return 0 if self.learns_from_tokens else layer_count - self.learning_layers(layer_count)

    def loads_narrow(self, device: str, precision: Precision) -> bool:
        """Return whether the model's weights are kept in bfloat16: on a GPU that computes in it, where most are frozen.

        What learns is float32 all the same.
        """
        return device == "cuda" and precision == "bf16" and self.method != "full"

    def seeing(self) -> dict[str, Any]:
        """Return the part of the recipe that decides what a pre-trained model makes of an antibody."""
        return {"pairing": self.pairing, "cpu_precision": self.cpu_precision}

    def to_dict(self) -> dict[str, Any]:
        """Return every setting, JSON-able, for fingerprints and fit.json."""
        return self.model_dump(mode="json")
