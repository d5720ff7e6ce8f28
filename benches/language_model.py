"""The work on which ours and the usual way are compared: chains of antibody lengths under an ESM-2-8M-shaped model.

Weights are random: what is compared is speed on the same arithmetic, not what is learnt.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ab_assets.models.availability import directory_digest
from ab_assets.models.loading import random_model
from ab_assets.models.specification import LocalSource, ModelSpec, Pairing
from ab_assets.models.twins import ESM_TOKENS
from ab_assets.training.data import Example, FitData
from ab_assets.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

MAXIMUM = 512  # to how many tokens the usual way pads
_RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
_LENGTHS = {"vh": (121, 5, 105, 140), "vl": (108, 3, 100, 118)}  # mean, deviation, bounds, in residues
SHAPES = {
    "esm2-8m": {"hidden_size": 320, "num_hidden_layers": 6, "num_attention_heads": 20},
    "esm2-650m": {"hidden_size": 1280, "num_hidden_layers": 33, "num_attention_heads": 20},
    "esm2-15b": {"hidden_size": 5120, "num_hidden_layers": 48, "num_attention_heads": 40},
}


def esm_config(shape: str) -> dict[str, object]:
    """Return the config.json of an ESM-2 model of that shape."""
    sizes = SHAPES[shape]
    return {
        **sizes,
        "intermediate_size": 4 * sizes["hidden_size"],
        "vocab_size": len(ESM_TOKENS),
        "pad_token_id": 1,
        "mask_token_id": 32,
        "max_position_embeddings": 1026,
        "layer_norm_eps": 1e-5,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "position_embedding_type": "rotary",
        "token_dropout": True,
        "emb_layer_norm_before": False,
    }


def local_model(folder: Path, shape: str = "esm2-8m", *, seed: int = 0) -> ModelSpec:
    """Write a randomly initialised model of `shape` into `folder` and return the entry that names it."""
    random_model("esm", esm_config(shape), seed=seed).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(ESM_TOKENS), encoding="utf-8")
    return ModelSpec(
        name=shape,
        title=f"{shape} shape, random weights",
        family="esm",
        source=LocalSource(kind="local", directory=str(folder), revision=directory_digest(folder)),
        parameters=1,
        licence="none",
        max_length=1022,
        pairing=Pairing(context="joined", separator=("<cls>", "<cls>")),
    )


def abflow(**changes: object) -> Recipe:
    """Return the old pipeline's recipe as a fit takes it."""
    return Recipe.for_model(_ANY, "antigen-specificity", changes, preset="abflow")


def examples(count: int, chains: Sequence[str], *, seed: int) -> list[Example]:
    """Return antibodies with random chains of real lengths and a label that half of them have."""
    generator = np.random.default_rng(seed)
    made = []
    for index in range(count):
        text = tuple(_chain(generator, name) for name in chains)
        made.append(Example(f"{index:08d}", (text,), (), np.array([index % 2], dtype=np.int8)))
    return made


def fit_data(train: int, validation: int, chains: Sequence[str], *, seed: int = 1) -> FitData:
    """Return one fit's data over `chains`."""
    made = examples(train + validation, chains, seed=seed)
    return FitData("antigen-specificity", tuple(chains), 0, False, tuple(made[:train]), tuple(made[train:]))


def single_thread() -> None:
    """Take one CPU thread, as every figure of the benchmark does."""
    torch.set_num_threads(1)


def _chain(generator: np.random.Generator, name: str) -> str:
    mean, deviation, low, high = _LENGTHS[name]
    length = int(np.clip(round(generator.normal(mean, deviation)), low, high))
    return "".join(generator.choice(list(_RESIDUES), size=length))


_ANY = ModelSpec(
    name="any",
    title="",
    family="esm",
    source={"kind": "twin"},
    parameters=1,
    licence="none",
    max_length=1022,
    pairing=Pairing(context="joined"),
)
