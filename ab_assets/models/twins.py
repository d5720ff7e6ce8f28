"""Tiny randomly initialised models of the real classes: a family's twin has its tokens and layers, and no knowledge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ab_assets.models.specification import ModelSpec, Pairing, TwinSource

if TYPE_CHECKING:
    from ab_assets.models.specification import Family

# AntiBERTy's vocabulary (antiberty 0.1.3, trained_models/vocab.txt): it has no X.
BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"ACDEFGHIKLMNPQRSTVWY")
# ESM-2's vocabulary (facebook/esm2_*, vocab.txt).
ESM_TOKENS = ("<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>")

# BALM-paired has 25 tokens of these names (brineylab/BALM-paper, training/BALM-paired.ipynb).
ROBERTA_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", *"LAGVSERTIDPKQNFYMHWC", "<mask>")
# AntiBERTa2's vocabulary (alchemab/antiberta2, vocab.txt): it names the chain before its first residue.
ROFORMER_TOKENS = ("[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]", *"ACDEFGHIKLMNPQRSTVWYX", "Ḣ", "Ḷ")
# ESM C's vocabulary (transformers, tokenization_esmc.py): "|" breaks chains.
ESMC_TOKENS = (*ESM_TOKENS[:31], "|", "<mask>")

_TOKENS: dict[Family, tuple[str, ...]] = {
    "bert": BERT_TOKENS,
    "esm": ESM_TOKENS,
    "roberta": ROBERTA_TOKENS,
    "roformer": ROFORMER_TOKENS,
    "esmc": ESMC_TOKENS,
}
_PAIRINGS: dict[Family, Pairing] = {
    "bert": Pairing(),
    "esm": Pairing(separator=("<cls>", "<cls>")),
    "roberta": Pairing(separator=("</s>",)),
    "roformer": Pairing(separator=("[SEP]",), marks=("Ḣ", "Ḷ")),
    "esmc": Pairing(separator=("|",)),
}
_HEADS = 4
_ROOM = 8  # positions besides those of residues, for special tokens and RoBERTa's offset


def twin_tokens(family: Family) -> tuple[str, ...]:
    """Return the vocabulary that a family's twin reads."""
    return _TOKENS[family]


def twin_spec(
    family: Family,
    *,
    layers: int = 3,
    hidden: int = 32,
    seed: int = 0,
    max_length: int = 510,
    learned_positions: bool = False,
    **recipe: object,
) -> ModelSpec:
    """Return a catalogue entry for a twin, with `recipe` laid over the default recipe."""
    return ModelSpec(
        name=f"tiny-{family}",
        title=f"Tiny {family} twin",
        family=family,
        source=TwinSource(kind="twin", layers=layers, hidden=hidden, seed=seed, learned_positions=learned_positions),
        parameters=1,
        licence="Apache-2.0",
        max_length=max_length,
        pairing=_PAIRINGS[family],
        recipe=recipe,
        needs={"gpus": 0, "memory_gib": 1, "gpu_memory_gib": 0},
    )


def twin_config(family: Family, source: TwinSource, max_length: int) -> dict[str, Any]:
    """Return the config.json of a twin, in the shape of the model it stands for (see `catalogue.toml`)."""
    tokens = _TOKENS[family]
    shape = {
        "hidden_size": source.hidden,
        "num_hidden_layers": source.layers,
        "num_attention_heads": _HEADS,
        "intermediate_size": 4 * source.hidden,
        "max_position_embeddings": max_length + _ROOM,
        "vocab_size": len(tokens),
        "pad_token_id": next(index for index, token in enumerate(tokens) if token in {"[PAD]", "<pad>"}),
        # wide enough for attention and features to differ between residues without any training
        "initializer_range": 0.2,
    }
    return shape | _OWN.get(family, {}) | (_LEARNED if source.learned_positions else {})


_OWN: dict[Family, dict[str, Any]] = {
    "bert": {"layer_norm_eps": 1e-12},
    "esm": {
        "mask_token_id": ESM_TOKENS.index("<mask>"),
        "layer_norm_eps": 1e-5,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "position_embedding_type": "rotary",
        "token_dropout": True,
        "emb_layer_norm_before": False,
    },
    # narrower embeddings than states, so that what joins them is there
    "roformer": {"embedding_size": 16, "type_vocab_size": 2},
}
_LEARNED = {"position_embedding_type": "absolute", "emb_layer_norm_before": True}
