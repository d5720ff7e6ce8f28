"""How one model is fine-tuned on one benchmark: the catalogue's defaults under the benchmark's overrides."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Self

from pydantic import ValidationError

from ab_assets.errors import BadInputError
from ab_assets.models.specification import RecipeTable

if TYPE_CHECKING:
    from collections.abc import Mapping


class Recipe(RecipeTable):
    """A complete recipe: what a fit does, apart from its data and its seed."""

    @classmethod
    def from_parts(cls, defaults: RecipeTable, overrides: Mapping[str, object] | None = None) -> Self:
        """Return a model's own recipe with `overrides` laid over it.

        Raises BadInputError for an override that is no recipe key or out of its range.
        """
        values = {**defaults.model_dump(), **(overrides or {})}
        try:
            return cls(**values)
        except ValidationError as error:
            detail = error.errors()[0]
            key = str(detail["loc"][0])
            near = difflib.get_close_matches(key, cls.model_fields, n=1)
            raise BadInputError(
                what=f"training.{key}: {detail['msg']}",
                found=repr(detail["input"]),
                hint=f"Did you mean {near[0]!r}?" if near and near[0] != key else "",
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """Return every setting, JSON-able, for fingerprints and fit.json."""
        return self.model_dump(mode="json")
