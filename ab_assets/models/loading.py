"""Weights become an Encoder: read without running foreign code, complete, and checked against their pin."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from ab_assets.errors import CorruptArtifactError, UnreadableFileError
from ab_assets.models.availability import obtain_files
from ab_assets.models.encoders import Encoder
from ab_assets.models.specification import TwinSource
from ab_assets.models.tokenization import ResidueTokenizer, read_vocabulary, vocabulary_of
from ab_assets.models.twins import twin_config, twin_tokens

if TYPE_CHECKING:
    from pathlib import Path

    from ab_assets.models.specification import Family, ModelSpec

# What checkpoints carry beside the encoder: language-model, pooling and contact heads, and buffers made anew.
_NOT_THE_ENCODER = (
    "lm_head.",
    "cls.",
    "pooler.",
    "contact_head.",
    "embeddings.position_ids",
    "embeddings.position_embeddings.",
)


def load_encoder(spec: ModelSpec, *, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Encoder:
    """Return the model of `spec` on `device`, ready to run.

    Raises UnavailableError when its files cannot be had, CorruptArtifactError when they are not what the revision
    names or lack part of the encoder, UnreadableFileError when one cannot be read.
    """
    source = spec.source
    if isinstance(source, TwinSource):
        model = random_model(spec.family, twin_config(spec.family, source, spec.max_length), seed=source.seed)
        tokenizer = ResidueTokenizer(vocabulary_of(twin_tokens(spec.family)))
    else:
        files = obtain_files(spec)
        config = _read_config(files.config)
        model = random_model(spec.family, config, seed=source.seed)
        if source.initialise == "pre-trained":
            _fill(model, read_weights(files.weights), family=spec.family, file=files.weights)
        tokenizer = ResidueTokenizer(read_vocabulary(files.vocabulary))
    model.to(device=device, dtype=dtype)
    return Encoder(model, tokenizer, family=spec.family, max_length=spec.max_length)


def random_model(family: Family, config: dict[str, Any], *, seed: int) -> Any:  # noqa: ANN401 - a transformers model
    """Return transformers' own encoder of the family with weights drawn from `seed`, on the CPU."""
    from transformers import BertConfig, BertModel, EsmConfig, EsmModel  # noqa: PLC0415 - seconds to import

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if family == "bert":
            return BertModel(BertConfig(**config, attn_implementation="sdpa"), add_pooling_layer=False)
        return EsmModel(EsmConfig(**config, attn_implementation="sdpa"), add_pooling_layer=False)


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors or PyTorch file by name, on the CPU; a pickle that holds code is refused."""
    from pickle import UnpicklingError  # noqa: PLC0415 - the refusal's name only; nothing is unpickled here

    from safetensors import SafetensorError  # noqa: PLC0415 - with torch, only when weights are read
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        if file.suffix == ".safetensors":
            return dict(load_file(file))
        return dict(torch.load(file, map_location="cpu", weights_only=True))
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        raise UnreadableFileError(
            what="these weights cannot be read", where=str(file), found=str(error).splitlines()[0]
        ) from error


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UnreadableFileError(what="this is no model configuration", where=str(file), found=str(error)) from error
    ignored = {
        "_name_or_path",
        "architectures",
        "model_type",
        "transformers_version",
        "torch_dtype",
        "dtype",
        "use_cache",
    }
    return {key: value for key, value in config.items() if key not in ignored}


def _fill(model: Any, weights: dict[str, torch.Tensor], *, family: Family, file: Path) -> None:  # noqa: ANN401
    prefix = f"{family}."
    own = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    result = model.load_state_dict(own, strict=False)
    missing = [name for name in result.missing_keys if not name.startswith(_NOT_THE_ENCODER)]
    unexpected = [name for name in result.unexpected_keys if not name.startswith(_NOT_THE_ENCODER)]
    if missing or unexpected:
        raise CorruptArtifactError(
            what="these weights do not fit the model's configuration",
            where=str(file),
            found=f"{len(missing)} tensors missing, {len(unexpected)} unknown",
            expected=", ".join((missing + unexpected)[:3]),
            hint="Check that config.json and the weights belong together and that `family` is right.",
        )
