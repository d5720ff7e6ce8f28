"""What a fit leaves on disk: its tensors as safetensors, everything else as JSON; no clock and no path in either."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ab_assets.errors import CorruptArtifactError, MissingArtifactError
from ab_assets.training.adapters import adapter_config, adapter_weights
from ab_assets.training.card import model_card

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from ab_assets.models.specification import ModelSpec

FIT_RECORD = "fit.json"
FIT_WEIGHTS = "trainable.safetensors"
FIT_CARD = "README.md"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
PROBE_RECORD = "probe.json"
PROBE_WEIGHTS = "probe.safetensors"


def write_record(file: Path, record: Mapping[str, Any]) -> None:
    """Write `record` as JSON that has the same bytes for the same content."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(record, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def read_record(file: Path, spec: ModelSpec) -> dict[str, Any]:
    """Return a record that a fit of the model `spec` wrote.

    Raises MissingArtifactError when there is none, CorruptArtifactError when it is another model's or unreadable.
    """
    if not file.is_file():
        raise MissingArtifactError(what="there is no fit here", where=str(file.parent), hint="Fit the model first.")
    try:
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CorruptArtifactError(what="this is no record of a fit", where=str(file), found=str(error)) from error
    if record.get("identity") != spec.identity():
        raise CorruptArtifactError(
            what="this fit belongs to another model",
            where=str(file),
            found=str(record.get("model")),
            expected=f"{spec.name}, {spec.identity()}",
        )
    return record


def write_fit(directory: Path, weights: Mapping[str, Tensor], record: Mapping[str, Any], spec: ModelSpec) -> None:
    """Write what a fit learnt by name, its `record` and its card: adapters as peft reads them, all else beside them."""
    adapters, others = adapter_weights(weights)
    write_tensors(directory / FIT_WEIGHTS, others)
    if adapters:
        write_tensors(directory / ADAPTER_WEIGHTS, adapters)
        write_record(directory / ADAPTER_CONFIG, adapter_config(list(adapters), record["recipe"], spec))
    write_record(directory / FIT_RECORD, record)
    (directory / FIT_CARD).write_text(model_card(record, spec, adapted=bool(adapters)), encoding="utf-8")


def fill_fit(weights: Mapping[str, Tensor], directory: Path) -> None:
    """Copy what `write_fit` wrote into `weights`; raises as `fill`."""
    adapters, others = adapter_weights(weights)
    fill(others, directory / FIT_WEIGHTS)
    if adapters:
        fill(adapters, directory / ADAPTER_WEIGHTS)


def write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write `tensors` by name."""
    from safetensors.torch import save_file  # noqa: PLC0415 - with torch, only when weights are written

    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, file)


def fill(weights: Mapping[str, Tensor], file: Path) -> None:
    """Copy the tensors of `file` into `weights`; both must have the same names and shapes, or CorruptArtifactError."""
    import torch  # noqa: PLC0415 - this module is imported before weights are needed

    from ab_assets.models.loading import read_weights  # noqa: PLC0415 - torch

    stored = read_weights(file)
    if {n: t.shape for n, t in stored.items()} != {n: t.shape for n, t in weights.items()}:
        raise CorruptArtifactError(
            what="the stored weights do not fit the model",
            where=str(file),
            found=f"{len(stored)} tensors",
            expected=f"{len(weights)} tensors, {', '.join(sorted(set(weights) ^ set(stored))[:3])} in one only",
        )
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(stored[name])
