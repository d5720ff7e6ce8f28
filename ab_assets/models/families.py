"""What tells the encoder families of transformers apart: where their parts are and how positions reach a layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ab_assets.models.specification import Family


@dataclass(frozen=True, slots=True)
class FamilyParts:
    """One family; names are attribute paths within transformers' encoder class or within one of its layers.

    embeddings: the modules before the first layer, in order; embeds_mask: the first one must know what is padding.
    layers, final_norm: the layers and the norm after the last one. attention: within a layer, the module that returns
    (output, weights). rotary: the module that makes what every layer gets as `positions`, where there is one.
    norm_first: a layer norms its input before attention (ESM), not its sum after it (BERT).
    first_alone: the last layer can be run for the first token only (see `layers.first_token`).
    """

    model: str
    config: str
    embeddings: tuple[str, ...] = ("embeddings",)
    embeds_mask: bool = False
    layers: str = "encoder.layer"
    final_norm: str | None = None
    attention: str = "attention.self"
    rotary: str | None = None
    positions: Literal["", "position_embeddings", "sinusoidal_pos"] = ""
    kernel: Literal["sdpa", "eager"] = "sdpa"
    norm_first: bool = False
    first_alone: bool = True
    options: Mapping[str, Any] = field(default_factory=lambda: {"add_pooling_layer": False})


FAMILIES: dict[Family, FamilyParts] = {
    "bert": FamilyParts("BertModel", "BertConfig"),
    "roberta": FamilyParts("RobertaModel", "RobertaConfig"),
    "esm": FamilyParts(
        "EsmModel",
        "EsmConfig",
        embeds_mask=True,
        final_norm="encoder.emb_layer_norm_after",
        rotary="rotary_embeddings",
        positions="position_embeddings",
        norm_first=True,
    ),
    "roformer": FamilyParts(
        "RoFormerModel",
        "RoFormerConfig",
        embeddings=("embeddings", "embeddings_project"),
        rotary="encoder.embed_positions",
        positions="sinusoidal_pos",
        kernel="eager",  # transformers has no other for it
        options={},
    ),
    "esmc": FamilyParts(
        "EsmcModel",
        "EsmcConfig",
        embeddings=("embed_tokens",),
        layers="layers",
        final_norm="norm",
        attention="self_attn",
        rotary="rotary_emb",
        positions="position_embeddings",
        norm_first=True,
        first_alone=False,
        options={},
    ),
}


def classes(family: Family) -> tuple[Any, Any]:
    """Return transformers' encoder class of the family and its configuration class."""
    import transformers  # noqa: PLC0415 - seconds to import

    parts = FAMILIES[family]
    return getattr(transformers, parts.model), getattr(transformers, parts.config)


def part(module: Any, path: str) -> Any:  # noqa: ANN401 - a transformers module
    """Return the part of `module` at a dotted path, None where it has none."""
    for name in path.split("."):
        module = getattr(module, name, None)
    return module


def position_limit(family: Family, config: Mapping[str, Any]) -> int | None:
    """Return how many tokens a text may have, None where positions are computed without a table."""
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int):
        return None
    if family == "roberta" or (family == "esm" and config.get("position_embedding_type", "absolute") == "absolute"):
        # counted from after the padding token's id (fairseq)
        return positions - int(config.get("pad_token_id") or 1) - 1
    return positions if family in {"bert", "roformer"} else None
