"""The Python lines that load one fit with transformers alone and score an antibody: only those that this fit needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ab_assets.models.families import FAMILIES
from ab_assets.models.specification import HubSource, PackageSource, TwinSource
from ab_assets.models.twins import twin_config
from ab_assets.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ab_assets.models.specification import ModelSpec

# Trastuzumab (PDB 1N8Z).
_EXAMPLE = {
    "vh": "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRYADSVKGRFTISADTSKNTAYLQMNSLRAEDTAVYYCSR"
    "WGGDGFYAMDYWGQGTLVTVSS",
    "vl": "DIQMTQSPSSLSASVGDRVTITCRASQDVNTAVAWYQQKPGKAPKLLIYSASFLYSGVPSRFSGSRSGTDFTLTISSLQPEDFATYYCQQHYTTPPTFGQGTKVEIK",
}


def loading_code(record: Mapping[str, Any], spec: ModelSpec, *, adapted: bool) -> str:
    """Return a block that defines `score` and prints what it says of one antibody.

    `score` takes the chains and returns a probability, for paratopes a list of them per chain, without the residues
    that the model does not see.
    """
    chains, recipe = record["chains"], Recipe(**record["recipe"])
    together = recipe.joined and len(chains) > 1
    blocks = [
        _imports(spec, adapted=adapted),
        [*_opening(spec), *_model(spec), *_fitted(adapted=adapted)],
        _RESIDUES,
        _joined_states(record) if together else _separate_states(record),
        _probability(recipe),
        _score(record, recipe, together=together),
        [*(f'{name.upper()} = "{_EXAMPLE[name]}"' for name in chains), f"print(score({', '.join(chains).upper()}))"],
    ]
    return "\n".join("\n".join([*block, ""]) for block in blocks)


def _imports(spec: ModelSpec, *, adapted: bool) -> list[str]:
    parts = FAMILIES[spec.family]
    names = [parts.model]
    if isinstance(spec.source, TwinSource) or spec.source.initialise == "random":
        names.append(parts.config)
    return [
        "import json",
        *(["from importlib.metadata import distribution"] if isinstance(spec.source, PackageSource) else []),
        "from pathlib import Path",
        "",
        "import torch",
        *(["from peft import PeftModel"] if adapted else []),
        "from safetensors.torch import load_file",
        "from torch.nn.functional import linear",
        f"from transformers import {', '.join(sorted(names))}",
    ]


def _opening(spec: ModelSpec) -> list[str]:
    source = spec.source
    lines = ['FIT = Path(".")  # the folder of this card']
    if isinstance(source, HubSource):
        lines.append(f"BASE = {source.repository!r}")
    elif isinstance(source, PackageSource):
        name = source.distribution.partition("==")[0]
        lines.append(f"BASE = distribution({name!r}).locate_file({source.directory!r})  # {source.distribution}")
    elif not isinstance(source, TwinSource):
        lines.append('BASE = "..."  # the directory of the base model')
    return lines


def _model(spec: ModelSpec) -> list[str]:
    source, parts = spec.source, FAMILIES[spec.family]
    options = [f"{name}={value!r}" for name, value in parts.options.items()]
    if isinstance(source, TwinSource):
        config = twin_config(spec.family, source, spec.max_length)
        return [
            f"config = {parts.config}(",
            *(f"    {name}={value!r}," for name, value in config.items()),
            ")",
            f"torch.manual_seed({source.seed})",
            f"model = {parts.model}({', '.join(['config', *options])})",
        ]
    revision = [f"revision={source.revision!r}"] if isinstance(source, HubSource) and source.revision else []
    if source.initialise == "random":
        return [
            f"config = {parts.config}.from_pretrained({', '.join(['BASE', *revision])})",
            f"torch.manual_seed({source.seed})",
            f"model = {parts.model}({', '.join(['config', *options])})",
        ]
    arguments = ["BASE", *revision, "dtype=torch.float32", *options]
    return [f"model = {parts.model}.from_pretrained({', '.join(arguments)})"]


def _fitted(*, adapted: bool) -> list[str]:
    if adapted:
        lines = [
            "model = PeftModel.from_pretrained(model, FIT)",
            'head = load_file(FIT / "trainable.safetensors")',
        ]
    else:
        lines = [
            'learnt = load_file(FIT / "trainable.safetensors")',
            'head = {name: learnt.pop(name) for name in list(learnt) if name.startswith("head.")}',
            "model.load_state_dict(model.state_dict() | learnt)",
        ]
    return [*lines, "model.eval()", 'tokens = json.loads((FIT / "fit.json").read_text())["tokens"]']


_RESIDUES = [
    "def residues(chain):",
    '    return [tokens["residues"].get(residue, tokens["unknown"]) for residue in chain]',
]


def _separate_states(record: Mapping[str, Any]) -> list[str]:
    return [
        "def states(chain):",
        f'    ids = [tokens["cls"], *residues(chain[:{record["max_length"]}]), tokens["eos"]]',
        "    return model(torch.tensor([ids])).last_hidden_state[0]",
    ]


def _joined_states(record: Mapping[str, Any]) -> list[str]:
    first, second = ("vh", "vl") if record["order"] == "HL" else ("vl", "vh")
    marked = bool(record["tokens"]["marks"])
    mark = {name: f'tokens["marks"][{index}], ' if marked else "" for index, name in enumerate(("vh", "vl"))}
    start = 2 if marked else 1
    span = {first: f"hidden[{start} : {start} + len({first})]", second: f"hidden[-1 - len({second}) : -1]"}
    return [
        "def states(vh, vl):",
        f"    while len(vh) + len(vl) > {record['max_length']}:",
        "        vh, vl = (vh[:-1], vl) if len(vh) > len(vl) else (vh, vl[:-1])",
        f'    ids = [tokens["cls"], {mark[first]}*residues({first}), *tokens["separator"]]',
        f'    ids += [{mark[second]}*residues({second}), tokens["eos"]]',
        "    hidden = model(torch.tensor([ids])).last_hidden_state[0]",
        f"    return hidden, {span['vh']}, {span['vl']}",
    ]


def _probability(recipe: Recipe) -> list[str]:
    hidden = '    features = torch.tanh(linear(features, head["head.dense.weight"], head["head.dense.bias"]))'
    return [
        "def probability(features):",
        *([hidden] if recipe.head == "dense" else []),
        '    logits = linear(features, head["head.out.weight"], head["head.out.bias"])',
        "    return torch.sigmoid(logits).squeeze(-1).tolist()",
    ]


def _score(record: Mapping[str, Any], recipe: Recipe, *, together: bool) -> list[str]:
    names = ", ".join(record["chains"])
    head = ["@torch.no_grad()", f"def score({names}):"]
    first_only = record["task"] == "antigen-specificity" and recipe.pooling == "cls"
    if together:
        texts = [f"    hidden, *chains = states({names})"]
        first = "hidden[0]"
    else:
        span = "0" if first_only else "1:-1"
        texts = [f"    chains = [states(chain)[{span}] for chain in [{names}]]"]
        first = "torch.cat(chains)"
    if record["task"] == "paratope":
        return [*head, *texts, "    return [probability(chain) for chain in chains]"]
    pooled = first if first_only else "torch.cat([chain.mean(0) for chain in chains])"
    return [*head, *texts, f"    return probability({pooled})"]
