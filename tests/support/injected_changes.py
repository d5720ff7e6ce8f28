"""Every kind of change a home can meet, each with the partitions that must name it, and in which words.

A kind takes (World, random) and returns {partition: reasons}; it touches nothing that another kind's words depend on,
except for those of the same `family`. Those of the store come first: what is published anew answers what was asked
until then.
"""

from __future__ import annotations

import ast
import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from published import publish, write_benchmark, write_models

from ab_assets.artifacts.store import Ref
from ab_assets.errors import AbAssetsError
from ab_assets.graph import NODES
from ab_assets.home import Home

BINDERS, TOUCHING = "binders", "touching"
CHECKPOINTS = ("fine_tuned_checkpoint", "shuffled_label_checkpoint")
SEEING = ("embeddings", "predictions", "attention", "candidate_predictions")
PER_MODEL = tuple(name for name, node in NODES.items() if node.per_model)

SETTINGS: dict[str, dict[str, Any]] = {
    BINDERS: {
        "task": "antigen-specificity",
        "title": "Binders",
        "chains": "H",
        "models": ["one", "two"],
        "source.files": ["antibodies.csv"],
        "source.licence": "CC0-1.0",
        "columns.vh": "heavy",
        "columns.vl": "light",
        "columns.label": "binds",
        "columns.positive": ["yes"],
        "columns.negative": ["no"],
        "split.folds": 3,
        "split.identity.vh": 0.9,
        "split.seeds": [1],
        "split.max_removed": 0.3,
        "split.keep_folds": True,
        "evaluation.resamples": 200,
        "evaluation.control_shuffles": 20,
        "candidates.files": ["new.csv"],
        "training.epochs": 2,
        "retired": False,
    },
    TOUCHING: {
        "task": "paratope",
        "chains": "HL",
        "models": ["one"],
        "source.format": "sabdab",
        "source.files": ["chains.csv"],
        "columns.sequence": "sequence",
        "columns.paratope": "paratope",
    },
}
MODELS: dict[str, dict[str, Any]] = {
    name: {
        "title": name,
        "family": "esm",
        "parameters": 1000,
        "licence": "MIT",
        "max_length": 254,
        "source": None,
        "source.kind": "hub",
        "source.repository": f"lab/{name}",
        "source.revision": digit * 40,
        "recipe.weight_decay": 0.01,
        "recipe.cpu_precision": "fp32",
        "needs.precision": "bf16",
        "needs.memory_gib": 8,
    }
    for name, digit in (("one", "1"), ("two", "2"))
}
for _table in MODELS.values():
    del _table["source"]
FILES = {
    BINDERS: {"antibodies.csv": "id,heavy,light,binds\na,EVQ,DIQ,yes\n", "new.csv": "id,heavy\nb,EVK\n"},
    TOUCHING: {"chains.csv": "sequence,paratope\nEVQ,010\n"},
}

# Of each key of benchmark.toml: another value, and who names it under which path (the report names its own).
PARAMETERS: dict[str, tuple[Any, dict[str, str]]] = {
    "title": ("Other", {}),
    "description": ("What is asked", {}),
    "chains": (
        "HL",
        dict.fromkeys(
            ("similarity_graph", "split", "baseline_predictions", "leak_ladder", *CHECKPOINTS, *SEEING), "chains"
        ),
    ),
    "source.licence": ("MIT", {"raw_dataset": "licence"}),
    "source.citation": ("A paper", {}),
    "source.weak": ("negative", {"curated_dataset": "source.weak"}),
    "columns.subject_id": (
        "donor",
        {"curated_dataset": "columns.subject_id", "candidate_predictions": "columns.subject_id"},
    ),
    "curation.conflicts": ("majority", {"curated_dataset": "curation.conflicts"}),
    "curation.vh_length": ([60, 190], {"curated_dataset": "curation.vh_length"}),
    "split.folds": (4, {"split": "split.folds", "leak_ladder": "folds"}),
    "split.fits": (2, {"split": "split.fits"}),
    "split.identity.vh": (
        0.8,
        {"similarity_graph": "identity.vh", "split": "split.identity.vh", "leak_ladder": "identity.vh"},
    ),
    "split.max_removed": (0.4, {"split": "split.max_removed", "leak_ladder": "max_removed"}),
    "split.keep_folds": (False, {"split": "split.keep_folds"}),
    "split.seeds": (
        [7],
        {
            "shuffled_label_split": "seed",
            "baseline_predictions": "seed",
            "leak_ladder": "seed",
            "predictions": "seeds",
            **dict.fromkeys(CHECKPOINTS, "seeds"),
        },
    ),
    "training.epochs": (5, dict.fromkeys(CHECKPOINTS, "recipe.epochs")),
    "training.batch_size": (32, dict.fromkeys(CHECKPOINTS, "recipe.batch_size")),
    "evaluation.resamples": (
        300,
        {"leak_ladder": "resamples", "model_metrics": "resamples", "metric_table": "resamples"},
    ),
    "evaluation.control_shuffles": (5, {"shuffled_label_split": "shuffles"}),
    "evaluation.primary_baseline": (
        "nearest-neighbour",
        {"baseline_predictions": "primary", "metric_table": "primary"},
    ),
}
# What a key that SETTINGS does not say is, at the top of the graph and below.
UNSAID: dict[str, Any] = {
    "description": "",
    "source.citation": "",
    "source.weak": "drop",
    "curation.conflicts": "drop",
    "curation.vh_length": [50, 200],
    "training.batch_size": 16,
    "evaluation.primary_baseline": "kmer-logistic",
}
UNSAID_IN_REPORT = {"training.batch_size": None, "evaluation.primary_baseline": None}

Expected = dict[Ref, set[str]]


@dataclass
class World:
    """A home in which everything is fresh, and a copy of the package's source: what a kind changes."""

    home: Home
    package: Path
    original: Path
    settings: dict[str, dict[str, Any]] = field(default_factory=lambda: {n: dict(s) for n, s in SETTINGS.items()})
    models: dict[str, dict[str, Any]] = field(default_factory=lambda: {n: dict(s) for n, s in MODELS.items()})

    def write(self) -> None:
        for name, settings in self.settings.items():
            write_benchmark(self.home, name, settings)
        write_models(self.home, self.models)

    def refs(self) -> list[Ref]:
        return sorted(self.home.store.partitions(), key=str)

    def look(self, revision: str, path: str) -> str:
        return (self.original / path).read_text()


@dataclass(frozen=True)
class Kind:
    name: str
    family: str
    inject: Callable[[World, random.Random], Expected]

    @property
    def drawn(self) -> bool:
        """Whether it falls on another place with another seed."""
        return self.family in ("store", "code")


def parameter(key: str) -> Kind:
    value, who = PARAMETERS[key]

    def inject(world: World, draw: random.Random) -> Expected:
        said = SETTINGS[BINDERS].get(key, UNSAID.get(key))
        world.settings[BINDERS][key] = value
        world.write()
        at_report = UNSAID_IN_REPORT.get(key, said)
        found = {Ref("report", BINDERS): {_changed(key, at_report, value)}}
        for ref in world.refs():
            if ref.benchmark == BINDERS and ref.asset in who:
                path = who[ref.asset]
                found[ref] = {_changed(path, *((said[0], value[0]) if path == "seed" else (said, value)))}
        return found

    return Kind(f"parameter {key}", key, inject)


def _changed(path: str, old: Any, new: Any) -> str:
    return f"parameter {path} changed: {_text(old)} -> {_text(new)}"


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _file_content(world: World, draw: random.Random) -> Expected:
    name, file = draw.choice([(BINDERS, "antibodies.csv"), (TOUCHING, "chains.csv")])
    path = world.home.folder(name) / file
    path.write_text(path.read_text() + f"x{draw.random()},EVQ,DIQ,no\n")
    return {Ref("raw_dataset", name): {f"input {file} changed"}}


def _candidate_content(world: World, draw: random.Random) -> Expected:
    (world.home.folder(BINDERS) / "new.csv").write_text("id,heavy\nc,EVR\n")
    return {Ref("candidate_predictions", BINDERS, model): {"input new.csv changed"} for model in ("one", "two")}


def _added_file(world: World, draw: random.Random) -> Expected:
    (world.home.folder(BINDERS) / "more.csv").write_text("id,heavy,light,binds\n")
    world.settings[BINDERS]["source.files"] = ["antibodies.csv", "more.csv"]
    world.write()
    words = ["antibodies.csv"], ["antibodies.csv", "more.csv"]
    return {
        Ref("raw_dataset", BINDERS): {"input more.csv is new", _changed("files", *words)},
        Ref("report", BINDERS): {_changed("source.files", *words)},
    }


def _renamed_file(world: World, draw: random.Random) -> Expected:
    folder = world.home.folder(BINDERS)
    (folder / "antibodies.csv").rename(folder / "renamed.csv")
    world.settings[BINDERS]["source.files"] = ["renamed.csv"]
    world.write()
    words = ["antibodies.csv"], ["renamed.csv"]
    raw = {"input renamed.csv is new", "input antibodies.csv is gone", _changed("files", *words)}
    return {Ref("raw_dataset", BINDERS): raw, Ref("report", BINDERS): {_changed("source.files", *words)}}


def _model_dropped(world: World, draw: random.Random) -> Expected:
    world.settings[BINDERS]["models"] = ["one"]
    world.write()
    said = _changed("models", ["one", "two"], ["one"])
    read = ("predictions", "attention", *CHECKPOINTS)
    return {
        Ref("metric_table", BINDERS): {said, "input model_metrics[two] is gone"},
        Ref("report", BINDERS): {said, *(f"input {asset}[two] is gone" for asset in read)},
    }


def _model_unknown(world: World, draw: random.Random) -> Expected:
    del world.models["two"]
    world.write()
    words = "there is no model 'two' in the catalogue"
    return {Ref(asset, BINDERS, "two"): {words} for asset in PER_MODEL}


def model(key: str, value: Any, words: Callable[[str], str | None]) -> Kind:
    """`words`: what an asset that is made per model says; None where it says nothing."""

    def inject(world: World, draw: random.Random) -> Expected:
        name = draw.choice(["one", "two"])
        world.models[name][key] = value
        world.write()
        return {
            ref: {said.replace("OLD", MODELS[name]["source.revision"])}
            for ref in world.refs()
            if ref.model == name and (said := words(ref.asset)) is not None
        }

    return Kind(f"model {key}", f"model {key}", inject)


def _cpu_precision(asset: str) -> str | None:
    path = "recipe.cpu_precision" if asset in CHECKPOINTS else "cpu_precision" if asset in SEEING else None
    return _changed(path, "fp32", "bf16") if path else None


def _upstream(world: World, draw: random.Random) -> Expected:
    read = {name for node in NODES.values() for name in node.inputs}
    ref = draw.choice([one for one in world.refs() if one.asset in read])
    publish(world.home, ref, said=f"other {draw.random()}")
    found: Expected = {}
    for reader in world.refs():
        node = NODES[reader.asset]
        if ref.asset not in node.inputs or reader.benchmark != ref.benchmark:
            continue
        if ref.model is None or reader.model == ref.model:
            found[reader] = {f"input {ref.asset} changed"}
        elif reader.model is None:
            found[reader] = {f"input {ref.asset}[{ref.model}] changed"}
    return found


def _damaged(world: World, draw: random.Random) -> Expected:
    ref = draw.choice(world.refs())
    file = world.home.store.require(ref).folder / "content.json"
    if draw.random() < 0.5:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    return {ref: {"files are missing from the store: content.json"}}


def _unreadable(world: World, draw: random.Random) -> Expected:
    ref = draw.choice(world.refs())
    manifest = world.home.store.require(ref).folder / "manifest.json"
    manifest.write_text(draw.choice(["", "{}", "[]", manifest.read_text().replace(ref.asset, "x")]))
    return {ref: {"cannot be read: the manifest is not one that was published"}}


def _removed(world: World, draw: random.Random) -> Expected:
    ref = draw.choice(world.refs())
    if draw.random() < 0.5:
        base = world.home.store.root / "current" / ref.asset
        (base / (f"{ref.benchmark}/{ref.model}.json" if ref.model else f"{ref.benchmark}.json")).unlink()
    else:
        folder = world.home.store.require(ref).folder
        folder.rename(folder.with_name(f".{folder.name}"))
    return {ref: {"not made yet"}}


def _closures(world: World) -> dict[Ref, set[str]]:
    found = {}
    for ref in world.refs():
        with suppress(AbAssetsError):  # what cannot be read says nothing of its code
            found[ref] = set(world.home.store.require(ref).question["code"])
    return found


def _code_edit(world: World, draw: random.Random) -> Expected:
    closures = _closures(world)
    asset = draw.choice(sorted({ref.asset for ref, code in closures.items() if code}))
    modules = sorted(next(code for ref, code in closures.items() if ref.asset == asset))
    while True:
        name = draw.choice([one for one in modules if "/" not in one])
        path = _path(world.package, name)
        functions = list(_functions(ast.parse(path.read_text())))
        if functions:
            break
    title, node = draw.choice(functions)
    lines = path.read_text().splitlines()
    place = node.body[0]
    lines.insert(place.lineno - 1, " " * place.col_offset + f"injected = {draw.randrange(10**6)}")
    path.write_text("\n".join(lines) + "\n")
    return {ref: {f"code of {name} changed ({title})"} for ref, code in closures.items() if name in code}


def _code_file(world: World, draw: random.Random) -> Expected:
    name = draw.choice(["ab_assets/reports/template.html", "ab_assets/reports/style.css"])
    path = world.package / name
    path.write_text(path.read_text() + "\n")
    return {Ref("report", name): {f"code of {path.relative_to(world.package)} changed"} for name in SETTINGS}


def _code_import(world: World, draw: random.Random) -> Expected:
    (world.package / "ab_assets" / "added.py").write_text("A = 1\n")
    path = world.package / "ab_assets" / "splits" / "controls.py"
    path.write_text(path.read_text() + "\nfrom ab_assets.added import A\n")
    words = {"code of ab_assets.added is new", "code of ab_assets.splits.controls changed (what it imports)"}
    return {Ref("shuffled_label_split", name): words for name in SETTINGS}


def _path(package: Path, module: str) -> Path:
    base = package.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for item in inside:
            if isinstance(item, ast.FunctionDef) and item.body[0].lineno > item.lineno:
                yield f"{prefix}{item.name}", item


KINDS = (
    *(parameter(key) for key in PARAMETERS),
    Kind("source file content", "files", _file_content),
    Kind("candidate file content", "candidates", _candidate_content),
    Kind("added file", "files", _added_file),
    Kind("renamed file", "files", _renamed_file),
    Kind("model dropped", "models", _model_dropped),
    Kind("model unknown", "models", _model_unknown),
    model("source.revision", "f" * 40, lambda asset: f'model source.revision changed: "OLD" -> "{"f" * 40}"'),
    model("needs.precision", "fp32", lambda asset: 'model precision changed: "bf16" -> "fp32"'),
    model("max_length", 300, lambda asset: "model max_length changed: 254 -> 300"),
    model(
        "recipe.weight_decay",
        0.02,
        lambda asset: _changed("recipe.weight_decay", 0.01, 0.02) if asset in CHECKPOINTS else None,
    ),
    model("recipe.cpu_precision", "bf16", _cpu_precision),
    Kind("upstream result", "store", _upstream),
    Kind("damaged file", "store", _damaged),
    Kind("damaged manifest", "store", _unreadable),
    Kind("removed result", "store", _removed),
    Kind("function", "code", _code_edit),
    Kind("template", "code", _code_file),
    Kind("new module", "code", _code_import),
)


# Nothing of this may be named.
def _touch(world: World, draw: random.Random) -> Expected:
    for path in world.home.root.rglob("*"):
        os.utime(path, (draw.randrange(10**9), draw.randrange(10**9)))
    return {}


def _resaved(world: World, draw: random.Random) -> Expected:
    for name, files in FILES.items():
        for file, text in files.items():
            (world.home.folder(name) / file).unlink()
            (world.home.folder(name) / file).write_text(text)
    return {}


def _toml_layout(world: World, draw: random.Random) -> Expected:
    for name in SETTINGS:
        path = world.home.folder(name) / "benchmark.toml"
        lines = [f"{line}   # {draw.random()}" for line in path.read_text().splitlines()]
        draw.shuffle(lines)
        path.write_text("# a remark\n\n" + "\n".join(lines) + "\n")
    return {}


def _undecisive(world: World, draw: random.Random) -> Expected:
    for table in world.models.values():
        table |= {"title": "Another title", "citation": "x", "licence": "BSD", "needs.memory_gib": 16, "needs.gpus": 4}
    world.write()
    return {}


def _code_layout(world: World, draw: random.Random) -> Expected:
    modules = sorted({name for code in _closures(world).values() for name in code if "/" not in name})
    for name in draw.sample(modules, 5):
        path = _path(world.package, name)
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
                node.body[0].value.value = f"Another text {draw.random()}."
        path.write_text(f"# {draw.random()}\n\n" + ast.unparse(tree) + "\n\n# the end\n")
    return {}


def _outside(world: World, draw: random.Random) -> Expected:
    outside = ("cli", "errors", "plan", "commands.console", "artifacts.store", "datasets.assets", "provenance.history")
    for name in outside:
        path = _path(world.package, f"ab_assets.{name}")
        path.write_text(path.read_text() + f"\nINJECTED = {draw.randrange(10**6)}\n")
    return {}


HARMLESS = (
    Kind("touched files", "", _touch),
    Kind("files saved again", "files", _resaved),
    Kind("layout of benchmark.toml", "", _toml_layout),
    Kind("titles and machines of models", "", _undecisive),
    Kind("comments, docstrings and layout of code", "code", _code_layout),
    Kind("code that decides no result", "code", _outside),
)
