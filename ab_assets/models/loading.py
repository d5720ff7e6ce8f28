"""Weights become an Encoder: read without running foreign code, complete, and checked against their pin."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from ab_assets.errors import CorruptArtifactError, UnreadableFileError
from ab_assets.models.availability import obtain_files
from ab_assets.models.encoders import Encoder
from ab_assets.models.specification import TwinSource
from ab_assets.models.tokenization import ResidueTokenizer, read_vocabulary, vocabulary_of
from ab_assets.models.twins import twin_config, twin_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ab_assets.models.specification import Family, ModelSpec

# What published checkpoints carry beside the encoder: language-model, pooling and contact heads.
_NOT_THE_ENCODER = ("lm_head.", "cls.", "pooler.", "contact_head.", "embeddings.position")

# Keys of config.json that say how a model was saved, not what it is.
_ABOUT_THE_FILE = {"_name_or_path", "architectures", "model_type", "transformers_version", "torch_dtype", "dtype"}


def load_encoder(spec: ModelSpec, *, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Encoder:
    """Return the model of `spec` on `device`, ready to run.

    Raises UnavailableError when its files cannot be had, CorruptArtifactError when they are not what the revision
    names or lack part of the encoder, UnreadableFileError when one cannot be read.
    """
    # Said once, the number of threads is fixed: until then MKL may take fewer under load, and other bits come out.
    torch.set_num_threads(torch.get_num_threads())
    source = spec.source
    if isinstance(source, TwinSource):
        model = random_model(spec.family, twin_config(spec.family, source, spec.max_length), seed=source.seed)
        tokenizer = ResidueTokenizer(vocabulary_of(twin_tokens(spec.family)))
    else:
        files = obtain_files(spec)
        config = _read_config(files.config)
        if source.initialise == "random":
            model = random_model(spec.family, config, seed=source.seed)
        else:
            model = _filled_model(spec.family, config, read_weights(files.weights), file=files.weights)
        tokenizer = ResidueTokenizer(read_vocabulary(files.vocabulary))
    model.to(device=device, dtype=dtype)
    return Encoder(model, tokenizer, family=spec.family, max_length=spec.max_length, precision=spec.needs.precision)


def random_model(family: Family, config: dict[str, Any], *, seed: int) -> Any:  # noqa: ANN401 - a transformers model
    """Return transformers' own encoder of the family with weights drawn from `seed`, on the CPU."""
    model_class, config_class = _classes(family)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model_class(config_class(**config, attn_implementation="sdpa"), add_pooling_layer=False)


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


def _classes(family: Family) -> tuple[Any, Any]:
    from transformers import BertConfig, BertModel, EsmConfig, EsmModel  # noqa: PLC0415 - seconds to import

    return (BertModel, BertConfig) if family == "bert" else (EsmModel, EsmConfig)


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UnreadableFileError(what="this is no model configuration", where=str(file), found=str(error)) from error
    return {key: value for key, value in config.items() if key not in _ABOUT_THE_FILE}


def _filled_model(family: Family, config: dict[str, Any], weights: dict[str, torch.Tensor], *, file: Path) -> Any:  # noqa: ANN401
    model_class, config_class = _classes(family)
    try:
        with _without_reports():
            # transformers knows the names that tensors had in older releases; what it leaves open is checked below
            model, report = model_class.from_pretrained(
                None,
                config=config_class(**config),
                state_dict=weights,
                attn_implementation="sdpa",
                add_pooling_layer=False,
                output_loading_info=True,
            )
    except RuntimeError as error:  # tensors of another shape
        raise _unfit(file, found=str(error).splitlines()[0], expected="tensors of the configured shapes") from error
    missing = [name for name in report["missing_keys"] if not name.startswith(_NOT_THE_ENCODER)]
    prefix = f"{family}."
    unknown = [n for n in report["unexpected_keys"] if not n.removeprefix(prefix).startswith(_NOT_THE_ENCODER)]
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
