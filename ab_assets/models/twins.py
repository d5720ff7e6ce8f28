"""Tiny randomly initialised models of the real classes: a family's twin has its tokens and layers, and no knowledge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ab_assets.models.specification import ModelSpec, TwinSource

if TYPE_CHECKING:
    from ab_assets.models.specification import Family

# AntiBERTy's vocabulary (antiberty 0.1.3, trained_models/vocab.txt): it has no X.
BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"ACDEFGHIKLMNPQRSTVWY")
# ESM-2's vocabulary (facebook/esm2_*, vocab.txt).
ESM_TOKENS = ("<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>")

_HEADS = 4


def twin_tokens(family: Family) -> tuple[str, ...]:
    """Return the vocabulary that a family's twin reads."""
    return BERT_TOKENS if family == "bert" else ESM_TOKENS


def twin_spec(
    family: Family, *, layers: int = 3, hidden: int = 32, seed: int = 0, max_length: int = 510, **recipe: object
) -> ModelSpec:
    """Return a catalogue entry for a twin, with `recipe` laid over the default recipe."""
    return ModelSpec(
        name=f"tiny-{family}",
        title=f"Tiny {family} twin",
        family=family,
        source=TwinSource(kind="twin", layers=layers, hidden=hidden, seed=seed),
        parameters=1,
        licence="Apache-2.0",
        max_length=max_length,
        recipe=recipe,
        needs={"gpus": 0, "memory_gib": 1},
    )


def twin_config(family: Family, source: TwinSource, max_length: int) -> dict[str, Any]:
    """Return the config.json of a twin, in the shape of the model it stands for (AntiBERTy; ESM-2)."""
    shape = {
        "hidden_size": source.hidden,
        "num_hidden_layers": source.layers,
        "num_attention_heads": _HEADS,
        "intermediate_size": 4 * source.hidden,
        "max_position_embeddings": max_length + 4,
        # wide enough for attention and features to differ between residues without any training
        "initializer_range": 0.2,
    }
    if family == "bert":
        return {**shape, "vocab_size": len(BERT_TOKENS), "pad_token_id": 0, "layer_norm_eps": 1e-12}
    return {
        **shape,
        "vocab_size": len(ESM_TOKENS),
        "pad_token_id": 1,
        "mask_token_id": 32,
        "layer_norm_eps": 1e-5,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "position_embedding_type": "rotary",
        "token_dropout": True,
        "emb_layer_norm_before": False,
    }
