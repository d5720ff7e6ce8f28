import json
import re
import subprocess
import sys
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pytest
import yaml

from ab_assets.models.availability import directory_digest
from ab_assets.models.families import FAMILIES
from ab_assets.models.loading import load_encoder
from ab_assets.models.specification import HubSource, LocalSource, PackageSource
from ab_assets.models.twins import twin_spec, twin_tokens
from ab_assets.training.card import model_card
from ab_assets.training.data import FitData
from ab_assets.training.recipe import Recipe
from ab_assets.training.session import ModelSession

# Some chains are longer than the model reads, and so are most pairs.
LONGEST = 18

# Runs cards where this package cannot be imported.
READER = """
import json, os, sys
sys.modules["ab_assets"] = None
said = []
for case in json.load(open(sys.argv[1])):
    os.chdir(case["folder"])
    names = {}
    exec(case["code"], names)
    said.append([names["score"](*chains) for chains in case["antibodies"]])
json.dump(said, open(sys.argv[2], "w"))
"""

pytestmark = pytest.mark.xdist_group("cards")


@dataclass(frozen=True)
class Case:
    """A fit; `kind`: where the model's weights come from."""

    family: str
    task: str = "antigen-specificity"
    kind: str = "directory"
    chains: tuple[str, ...] = ("vh", "vl")
    order: str = "HL"
    recipe: dict[str, object] = field(default_factory=dict)

    def __str__(self):
        said = [self.family, self.task, self.kind, *self.chains, self.order, *map(str, self.recipe.values())]
        return "-".join(said)


EVERY_FAMILY = [
    case
    for family in FAMILIES
    for case in (
        Case(family),
        Case(family, recipe={"method": "full", "pooling": "cls", "head": "dense", "pairing": "joined"}),
        Case(family, "paratope", recipe={"frozen_dropout": True, "trainable_layers": 1}),
        Case(family, recipe={"method": "lora", "trainable_layers": 1, "pairing": "joined"}),
        Case(family, "paratope", recipe={"method": "lora", "head": "dense", "pairing": "joined"}),
    )
]
BESIDES = [
    Case("bert", recipe={"pooling": "cls"}),
    Case("bert", recipe={"method": "lora", "trainable_layers": 1, "frozen_dropout": True}),
    Case("bert", chains=("vl",), recipe={"pairing": "joined"}),
    Case("roformer", order="LH", recipe={"pairing": "joined"}),
    Case("roformer", "paratope", order="LH", recipe={"pairing": "joined"}),
    Case("esm", kind="twin"),
    Case("roberta", kind="random"),
]
CASES = [*EVERY_FAMILY, *BESIDES]


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    """Each family's twin as its authors would publish it."""
    made = {}
    for family in FAMILIES:
        made[family] = tmp_path_factory.mktemp(family)
        load_encoder(twin_spec(family, max_length=LONGEST, layers=2)).model.save_pretrained(made[family])
        (made[family] / "vocab.txt").write_text("\n".join(twin_tokens(family)), encoding="utf-8")
    return made


def spec_of(case, directories):
    spec = twin_spec(case.family, max_length=LONGEST, layers=2, epochs=1, learning_rate=1e-2)
    spec = spec.model_copy(update={"pairing": spec.pairing.model_copy(update={"order": case.order})})
    if case.kind == "twin":
        return spec
    directory = directories[case.family]
    source = LocalSource(
        kind="local",
        directory=str(directory),
        revision=directory_digest(directory),
        initialise="random" if case.kind == "random" else "pre-trained",
        seed=3,
    )
    return spec.model_copy(update={"source": source})


def fit(case, directories, rows, roles, folder, *, shuffled=None):
    spec = spec_of(case, directories)
    recipe = Recipe.for_model(spec, case.task, case.recipe)
    data = FitData.build(
        rows,
        roles,
        fit=0,
        task=case.task,
        chain_names=case.chains,
        joined=recipe.joined,
        shuffled_labels=shuffled,
    )
    session = ModelSession(spec, recipe, device="cpu")
    session.fit(data, 1, folder)
    return session


def code_of_card(folder, base):
    (code,) = re.findall(r"^```python\n(.*?)^```", (folder / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return code.replace('BASE = "..."', f"BASE = {str(base)!r}")


def read_outside(cases, folder):
    """Return what each case's card says of its antibodies, from a Python that does not know this package."""
    (folder / "cases.json").write_text(json.dumps(cases))
    (folder / "reader.py").write_text(READER)
    command = [sys.executable, "-I", "reader.py", "cases.json", folder / "said.json"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads((folder / "said.json").read_text())


@pytest.fixture(scope="module")
def scores(directories, rows, roles, tmp_path_factory):
    """By case: what predict_fit and the card make of the same antibodies, one list per antibody and chain."""
    asked = rows[40:].with_columns(pl.col("vh").str.replace("A", "J"))
    folder = tmp_path_factory.mktemp("fits")
    expected, cases = {}, []
    for case in CASES:
        session = fit(case, directories, rows, roles, folder / str(case))
        scored = session.predict_fit(folder / str(case), asked).drop_nulls("score")
        parts = scored.group_by("row_id", "chain", maintain_order=True).agg("score")
        expected[str(case)] = parts["score"].to_list()
        cases.append(
            {
                "code": code_of_card(folder / str(case), directories[case.family]),
                "folder": str(folder / str(case)),
                "antibodies": asked.sort("row_id").select(case.chains).rows(),
            }
        )
    said = read_outside(cases, tmp_path_factory.mktemp("reader"))
    return {str(case): (expected[str(case)], got) for case, got in zip(CASES, said, strict=True)}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_card_alone_scores_as_predict_fit_does(scores, case):
    expected, said = scores[str(case)]
    got = [one for antibody in said for one in antibody] if case.task == "paratope" else [[one] for one in said]
    assert len(got) == len(expected)
    for ours, theirs in zip(expected, got, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-6)
    assert np.ptp(np.concatenate(expected)) > 1e-3


LORA = Case("bert", recipe={"method": "lora", "trainable_layers": 1})


def test_the_same_fit_has_the_same_bytes_in_every_file(directories, rows, roles, tmp_path):
    fit(LORA, directories, rows, roles, tmp_path / "a")
    fit(LORA, directories, rows.reverse(), roles, tmp_path / "b")
    files = {file.name: file.read_bytes() for file in (tmp_path / "a").iterdir()}
    assert files == {file.name: file.read_bytes() for file in (tmp_path / "b").iterdir()}
    assert set(files) == {
        *("README.md", "fit.json", "trainable.safetensors", "adapter_config.json", "adapter_model.safetensors")
    }


def test_no_path_of_this_machine_is_in_any_file(directories, rows, roles, tmp_path):
    fit(LORA, directories, rows, roles, tmp_path)
    for file in tmp_path.iterdir():
        assert b"/tmp" not in file.read_bytes()
        assert str(directories["bert"]).encode() not in file.read_bytes()


# peft asks transformers by an old name
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_adapters_are_stored_once_and_peft_takes_them_all(directories, rows, roles, tmp_path):
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors.torch import load_file
    from transformers import AutoModel

    fit(LORA, directories, rows, roles, tmp_path)
    assert set(load_file(tmp_path / "trainable.safetensors")) == {"head.out.weight", "head.out.bias"}
    model = PeftModel.from_pretrained(AutoModel.from_pretrained(directories["bert"]), tmp_path)
    taken = get_peft_model_state_dict(model)
    stored = load_file(tmp_path / "adapter_model.safetensors")
    assert set(taken) == set(stored)
    assert all(taken[name].equal(weight) for name, weight in stored.items())
    assert {name.partition(".layer.")[2].partition(".")[0] for name in stored} == {"1"}


def test_a_control_is_called_one(directories, rows, roles, shuffled, tmp_path):
    for name, labels in (("true", None), ("shuffled", shuffled)):
        fit(Case("bert"), directories, rows, roles, tmp_path / name, shuffled=labels)
    true, control = ((tmp_path / name / "README.md").read_text() for name in ("true", "shuffled"))
    assert "control" not in true.lower()
    assert "shuffled-label-control" in yaml.safe_load(control.split("---\n")[1])["tags"]
    assert "**A control.**" in control


def card(rows, roles, tmp_path, **changes):
    spec = twin_spec("bert", epochs=1)
    fit(Case("bert", kind="twin"), {}, rows, roles, tmp_path)
    record = json.loads((tmp_path / "fit.json").read_text())
    return model_card(record, spec.model_copy(update=changes), adapted=False)


HOSTILE = 'x: [y\n---\n```\n# <b>*big*</b> | ![a](b) `c` "q" \\ \x00\x7f\x85\u2028{{d}}'


def test_what_users_write_stays_text(rows, roles, tmp_path):
    usual = card(rows, roles, tmp_path)
    source = PackageSource(kind="package", distribution="a==1", directory=HOSTILE, vocabulary="v", revision="0" * 40)
    made = card(rows, roles, tmp_path, title=HOSTILE, name=HOSTILE, licence=HOSTILE, citation=HOSTILE, source=source)
    front, body = made.split("\n---\n\n", 1)
    told = yaml.safe_load(front)
    assert set(told) == {"license", "license_name", "library_name", "tags"}
    assert told["license"] == "other"
    assert told["license_name"].startswith("x: [y --- ``` # <b>")
    assert [line for line in body.splitlines() if line.startswith("```")] == ["```python", "```"]
    assert body.count("\n# ") == usual.count("\n# ") - 1  # its first line is one
    for line in body.splitlines():
        if line.startswith("| "):
            assert len(re.findall(r"(?<!\\)\|", line)) == 3
            assert not re.search(r"(?<!\\)[<`\[*]", line)
    compile(re.findall(r"```python\n(.*?)^```", body, re.MULTILINE | re.DOTALL)[0], "card", "exec")


def test_a_model_of_the_hub_is_named_with_its_revision(rows, roles, tmp_path):
    source = HubSource(kind="hub", repository="owner/model", revision="a" * 40)
    made = card(rows, roles, tmp_path, source=source, licence="MIT")
    told = yaml.safe_load(made.split("---\n")[1])
    assert told == {
        "license": "mit",
        "base_model": "owner/model",
        "library_name": "transformers",
        "tags": ["antibody", "antigen-specificity"],
    }
    assert "BASE = 'owner/model'" in made
    assert f"from_pretrained(BASE, revision='{'a' * 40}', dtype=torch.float32, add_pooling_layer=False)" in made


def test_the_card_says_how_the_fit_was_made(rows, roles, tmp_path):
    made = card(rows, roles, tmp_path)
    for said in (
        "| Task | antigen specificity:",
        "| Chains | VH and VL, each in a text of its own, at most 18 residues |",
        "| Trained on | 32 antibodies, 16 of them binders |",
        "| Best epoch | 1 of the 1",
        "| Fit, seed | 0, 1 |",
        "the last 2 of 2 layers learn; mean over each chain's residues; linear head",
    ):
        assert said in made
