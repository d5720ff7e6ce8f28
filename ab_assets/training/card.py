"""What a fit is, and a few lines that score an antibody with it, in a README.md as the Hugging Face Hub shows it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from ab_assets.models.specification import HubSource, PackageSource, TwinSource
from ab_assets.training.card_code import loading_code
from ab_assets.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ab_assets.models.specification import ModelSpec

# Identifiers of https://huggingface.co/docs/hub/repositories-licenses; any other licence is named beside "other".
_HUB_LICENCES = (
    *("mit", "apache-2.0", "bsd-3-clause", "gpl-3.0", "agpl-3.0", "lgpl-3.0", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0"),
    *("cc-by-nc-4.0", "cc-by-nc-sa-4.0"),
)
_TASKS = {
    "antigen-specificity": "antigen specificity: the probability that an antibody binds",
    "paratope": "paratope: each residue's probability of touching the antigen",
}
_CONTROL = (
    "> **A control.** It learnt from shuffled labels: whatever it predicts better than chance was not learnt from true "
    "ones. Use it to judge the fits on true labels, never to score antibodies."
)
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|&~$])")


def model_card(record: Mapping[str, Any], spec: ModelSpec, *, adapted: bool) -> str:
    """Return the README.md of a fit: front matter, what it is, and how to load it without this package.

    `record`: what fit.json holds. `adapted`: its folder holds adapters for peft.
    """
    control = record["labels"] != "true"
    title = f"# {_plain(spec.title)}, fine-tuned for {record['task'].replace('-', ' ')}"
    parts = [
        _front_matter(record, spec, adapted=adapted),
        title + (" (control on shuffled labels)" if control else ""),
        *([_CONTROL] if control else []),
        "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in _facts(record, spec))]),
        f"{_files(adapted=adapted)} This scores one antibody; it needs nothing but what it imports:",
        f"```python\n{loading_code(record, spec, adapted=adapted)}```",
        *_remarks(record, spec),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(record: Mapping[str, Any], spec: ModelSpec, *, adapted: bool) -> str:
    known = spec.licence.lower() in _HUB_LICENCES
    lines = ["---", f"license: {spec.licence.lower() if known else 'other'}"]
    if not known:
        lines.append(f"license_name: {json.dumps(_one_line(spec.licence), ensure_ascii=False)}")
    if isinstance(spec.source, HubSource):
        lines.append(f"base_model: {json.dumps(spec.source.repository)}")
    lines += [f"library_name: {'peft' if adapted else 'transformers'}", "tags:", "- antibody", f"- {record['task']}"]
    if record["labels"] != "true":
        lines.append("- shuffled-label-control")
    return "\n".join([*lines, "---"])


def _facts(record: Mapping[str, Any], spec: ModelSpec) -> Iterator[tuple[str, str]]:
    yield "Task", _TASKS[record["task"]]
    yield "Base model", f"{_plain(spec.title)} ({_plain(spec.name)}), {_origin(spec)}"
    if spec.citation:
        yield "Its authors", _plain(spec.citation)
    yield "Its licence", _plain(spec.licence)
    yield "Chains", _chains(record)
    yield "Recipe", _recipe(record)
    yield "Labels", "shuffled (a control)" if record["labels"] != "true" else "true"
    yield "Trained on", _counted(record, "train")
    yield "Validated on", _counted(record, "validation")
    yield "Best epoch", f"{record['best_epoch'] + 1} of the {len(record['history'])} that were run"
    yield "Validation loss", f"{record['validation_loss']:.4f} (mean binary cross-entropy per label)"
    yield "Fit, seed", f"{record['fit']}, {record['seed']}"


def _origin(spec: ModelSpec) -> str:
    source = spec.source
    if isinstance(source, TwinSource):
        return f"random weights of seed {source.seed}"
    if isinstance(source, HubSource):
        where = f"[{source.repository}](https://huggingface.co/{source.repository})"
    elif isinstance(source, PackageSource):
        where = f"in the Python package {_plain(source.distribution)}"
    else:
        where = "a local directory"
    pin = f", revision {source.revision}" if source.revision else ", not pinned"
    return where + pin + (f", its weights drawn from seed {source.seed}" if source.initialise == "random" else "")


def _chains(record: Mapping[str, Any]) -> str:
    names = [name.upper() for name in record["chains"]]
    limit = f"at most {record['max_length']} residues"
    if len(names) == 1:
        return f"{names[0]}, {limit}"
    if Recipe(**record["recipe"]).joined:
        first, second = names if record["order"] == "HL" else names[::-1]
        return f"{first}, then {second} in one text, together {limit}"
    return f"{' and '.join(names)}, each in a text of its own, {limit}"


def _recipe(record: Mapping[str, Any]) -> str:
    recipe = Recipe(**record["recipe"])
    last = f"the last {recipe.learning_layers(record['layers'])} of {record['layers']} layers"
    learnt = {
        "last-layers": f"{last} learn",
        "full": "all layers and the embeddings learn",
        "lora": f"LoRA of rank {recipe.lora_rank} in the attention of {last}",
    }
    pooling = {"mean": "mean over each chain's residues", "cls": "state of each text's first token"}
    said = [
        learnt[recipe.method],
        *(["dropout in frozen layers, too"] if recipe.frozen_dropout else []),
        *([pooling[recipe.pooling]] if record["task"] == "antigen-specificity" else []),
        f"{recipe.head} head",
        f"learning rate {recipe.learning_rate:g}",
        f"batches of {recipe.batch_size}",
        f"epochs at most {recipe.epochs}",
        *(["balanced class weights"] if recipe.class_weight == "balanced" else []),
    ]
    return "; ".join(said) + " (fit.json has every setting)"


def _counted(record: Mapping[str, Any], role: str) -> str:
    counts = record[role]
    if record["task"] == "antigen-specificity":
        return f"{counts['examples']} antibodies, {counts['positives']} of them binders"
    unit = "antibodies" if Recipe(**record["recipe"]).joined else "chains"
    return f"{counts['examples']} {unit}, {counts['labels']} residues, {counts['positives']} of them in a paratope"


def _files(*, adapted: bool) -> str:
    if adapted:
        return "The adapters are in `adapter_model.safetensors`, the head in `trainable.safetensors`."
    return (
        "`trainable.safetensors` holds the weights that learnt, under their names in transformers' model, and the head."
    )


def _remarks(record: Mapping[str, Any], spec: ModelSpec) -> list[str]:
    remarks: list[str] = []
    if record["precision"] != "fp32":
        remarks.append(f"It was trained and scored in {record['precision']}; in float32 scores differ by rounding.")
    if record["task"] == "paratope" and len(record["chains"]) > 1 and Recipe(**record["recipe"]).joined:
        remarks.append("It takes both chains; an antibody that lacked one was shown to the model without separator.")
    if spec.family == "esmc":
        remarks.append(
            "transformers reads ESM C from files of its own layout (`hidden_size` in config.json); files of the first "
            "publication (`d_model`) have to be converted before."
        )
    return remarks


def _plain(text: str) -> str:
    """Return `text` as one line that Markdown shows letter by letter."""
    return _MARKUP.sub(r"\\\1", _one_line(text))


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
