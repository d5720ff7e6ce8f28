"""Weights become an Encoder: read without running foreign code, complete, and checked against their pin."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from zipfile import is_zipfile

import torch

from ab_assets.errors import BadInputError, CorruptArtifactError, UnreadableFileError
from ab_assets.models.availability import obtain_files
from ab_assets.models.encoders import Encoder
from ab_assets.models.esmc import transformers_config, transformers_weights
from ab_assets.models.families import FAMILIES, classes, position_limit
from ab_assets.models.specification import TwinSource
from ab_assets.models.tokenization import ResidueTokenizer, read_vocabulary, vocabulary_of
from ab_assets.models.twins import twin_config, twin_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ab_assets.models.specification import Family, ModelSpec

# What published checkpoints carry beside the encoder: language-model, pooling and contact heads, and counters.
_NOT_THE_ENCODER = ("lm_head.", "cls.", "pooler.", "contact_head.", "embeddings.position_ids")
# Computed from the configuration where a checkpoint leaves them out.
_COMPUTED = ("encoder.embed_positions.", "rotary_embeddings.")
# ESM-2's checkpoints hold a table of positions that its rotary encoder has no use for.
_UNUSED = ("embeddings.position_embeddings.", "rotary_embeddings.")

# Keys of config.json that say how a model was saved, not what it is.
_ABOUT_THE_FILE = {"_name_or_path", "architectures", "model_type", "transformers_version", "torch_dtype", "dtype"}
_REMOTE_CODE = "auto_map"


def load_encoder(spec: ModelSpec, *, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Encoder:
    """Return the model of `spec` on `device` with weights in `dtype`, ready to run; on a CPU it computes in fp32.

    Raises UnavailableError when its files cannot be had, CorruptArtifactError when they are not what the revision
    names or lack part of the encoder, UnreadableFileError when one cannot be read, BadInputError when the catalogue
    says what the files do not: no pin, another family, a longer text than the model reads.
    """
    # Said once, the number of threads is fixed: until then MKL may take fewer under load, and other bits come out.
    torch.set_num_threads(torch.get_num_threads())
    source = spec.source
    if isinstance(source, TwinSource):
        config = twin_config(spec.family, source, spec.max_length)
        tokenizer = ResidueTokenizer(vocabulary_of(twin_tokens(spec.family)))
        model = random_model(spec.family, config, seed=source.seed)
    else:
        files = obtain_files(spec)
        config = _read_config(files.config, spec)
        tokenizer = ResidueTokenizer(read_vocabulary(files.vocabulary))
        _require_room(spec, config, tokenizer)
        if source.initialise == "random":
            model = random_model(spec.family, config, seed=source.seed)
        else:
            weights = {name: tensor for file in files.shards for name, tensor in read_weights(file).items()}
            weights = transformers_weights(weights) if spec.family == "esmc" else weights
            model = _filled_model(spec.family, config, weights, dtype=dtype, file=files.weights[0])
    for weight in model.parameters():  # buffers keep theirs: rounded rotary angles would be other angles
        weight.data = weight.data.to(dtype=dtype)
    model.to(device=device)
    return Encoder(
        model,
        tokenizer,
        family=spec.family,
        max_length=spec.max_length,
        precision=spec.needs.precision if model.device.type == "cuda" else "fp32",
        pairing=spec.pairing,
    )


def read_shape(spec: ModelSpec) -> tuple[int, int]:
    """Return how many layers the model has and how wide they are, without loading a weight.

    Raises UnavailableError when its files cannot be had.
    """
    if isinstance(spec.source, TwinSource):
        config = twin_config(spec.family, spec.source, spec.max_length)
    else:
        config = _read_config(obtain_files(spec).config, spec)
    return int(config["num_hidden_layers"]), int(config["hidden_size"])


def random_model(family: Family, config: dict[str, Any], *, seed: int) -> Any:  # noqa: ANN401 - a transformers model
    """Return transformers' own encoder of the family with weights drawn from `seed`, on the CPU."""
    model_class, config_class = classes(family)
    parts = FAMILIES[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model_class(config_class(**config, attn_implementation=parts.kernel), **parts.options)


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors or PyTorch file by name, on the CPU; a pickle that holds code is refused.

    They are mapped from the file, not copied, as far as its format allows.
    """
    from pickle import UnpicklingError  # noqa: PLC0415 - the refusal's name only; nothing is unpickled here

    from safetensors import SafetensorError  # noqa: PLC0415 - with torch, only when weights are read
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        if file.suffix == ".safetensors":
            return dict(load_file(file))
        return dict(torch.load(file, map_location="cpu", weights_only=True, mmap=is_zipfile(file)))
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        raise UnreadableFileError(
            what="these weights cannot be read", where=str(file), found=str(error).splitlines()[0]
        ) from error


def _read_config(file: Path, spec: ModelSpec) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UnreadableFileError(what="this is no model configuration", where=str(file), found=str(error)) from error
    if _REMOTE_CODE in config and not getattr(spec.source, "ignore_remote_code", False):
        raise BadInputError(
            what=f"model {spec.name} asks to run code from its repository, which is never done here",
            where=str(file),
            found=f"{_REMOTE_CODE} = {config[_REMOTE_CODE]}",
            hint=f"If its weights fit transformers' own classes, ignore_remote_code = true under [{spec.name}.source] "
            "reads them without that code.",
        )
    if config.get("model_type", spec.family) != spec.family:
        raise BadInputError(
            what=f"model {spec.name} is of another family",
            where=str(file),
            found=f"model_type {config['model_type']}",
            expected=spec.family,
            hint=f"Known families: {', '.join(FAMILIES)}.",
        )
    config = transformers_config(config) if spec.family == "esmc" else config
    return {key: value for key, value in config.items() if key not in {*_ABOUT_THE_FILE, _REMOTE_CODE}}


def _require_room(spec: ModelSpec, config: dict[str, Any], tokenizer: ResidueTokenizer) -> None:
    limit = position_limit(spec.family, config)
    text = ("A" * spec.max_length, "") if spec.pairing.context == "joined" else ("A" * spec.max_length,)
    needed = len(tokenizer.encode(text, spec.max_length, spec.pairing).ids)
    if limit is not None and needed > limit:
        raise BadInputError(
            what=f"model {spec.name} cannot read texts of max_length residues",
            found=f"max_length = {spec.max_length}",
            expected=f"at most {spec.max_length - needed + limit}: it has {limit} positions, special tokens included",
        )


def _filled_model(
    family: Family, config: dict[str, Any], weights: dict[str, torch.Tensor], *, dtype: torch.dtype, file: Path
) -> Any:  # noqa: ANN401 - a transformers model
    model_class, config_class = classes(family)
    parts = FAMILIES[family]
    try:
        with _without_reports():
            # transformers knows the names that tensors had in older releases; what it leaves open is checked below
            model, report = model_class.from_pretrained(
                None,
                config=config_class(**config),
                state_dict=weights,
                attn_implementation=parts.kernel,
                dtype=dtype,
                output_loading_info=True,
                **parts.options,
            )
    except RuntimeError as error:  # tensors of another shape
        raise _unfit(file, found=str(error).splitlines()[0], expected="tensors of the configured shapes") from error
    missing = [name for name in report["missing_keys"] if not name.startswith((*_NOT_THE_ENCODER, *_COMPUTED))]
    prefix = f"{family}."
    unused = (*_NOT_THE_ENCODER, *_UNUSED)
    unknown = [name for name in report["unexpected_keys"] if not name.removeprefix(prefix).startswith(unused)]
    if missing or unknown:
        raise _unfit(
            file,
            found=f"{len(missing)} tensors missing, {len(unknown)} unknown",
            expected=", ".join(sorted(missing + unknown)[:3]),
        )
    return model


def _unfit(file: Path, *, found: str, expected: str) -> CorruptArtifactError:
    return CorruptArtifactError(
        what="these weights do not fit the model's configuration",
        where=str(file),
        found=found,
        expected=expected,
        hint="Check that config.json and the weights belong together and that `family` is right.",
    )


@contextmanager
def _without_reports() -> Iterator[None]:
    from transformers.utils import logging  # noqa: PLC0415 - see above

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
