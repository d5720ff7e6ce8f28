import json
import subprocess
import sys

import pytest

from ab_assets.errors import BadInputError, UnknownNameError, UnreadableFileError
from ab_assets.models.catalogue import get_model, load_catalogue
from ab_assets.models.families import FAMILIES, position_limit

LOCAL = """
[my-bert]
title = "Mine"
family = "bert"
parameters = 10
licence = "MIT"
max_length = 100
[my-bert.source]
kind = "local"
directory = "weights"
revision = "{pin}"
"""


def write(directory, text, name="mine.toml"):
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(text, encoding="utf-8")
    return directory


def test_antiberty_comes_first_and_the_whole_family_follows():
    catalogue = load_catalogue()
    assert next(iter(catalogue)) == "antiberty"
    esm2 = {f"esm2-{size}" for size in ("8m", "35m", "150m", "650m", "3b", "15b")}
    paired = {"antiberta2", "balm-paired", "igbert", "ft-esm2"}
    single = {"antiberty", "antiberty-random", "esm1b", "balm-unpaired", "esmc-300m", "esmc-600m"}
    assert set(catalogue) == esm2 | paired | single
    assert {name for name, spec in catalogue.items() if spec.pairing.context == "joined"} == paired


def test_every_built_in_model_that_can_be_downloaded_is_pinned():
    unpinned = {name for name, spec in load_catalogue().items() if not spec.source.revision}
    assert unpinned == {"balm-paired", "balm-unpaired", "ft-esm2"}


# The shapes of the published config.json files; esmc's in transformers' names.
SHAPES = {
    "esm2-8m": (320, 6, 20, 1280),
    "esm2-35m": (480, 12, 20, 1920),
    "esm2-150m": (640, 30, 20, 2560),
    "esm2-650m": (1280, 33, 20, 5120),
    "esm2-3b": (2560, 36, 40, 10240),
    "esm2-15b": (5120, 48, 40, 20480),
    "ft-esm2": (1280, 33, 20, 5120),
    "esm1b": (1280, 33, 20, 5120),
    "antiberty": (512, 8, 8, 2048),
    "antiberty-random": (512, 8, 8, 2048),
    "antiberta2": (1024, 16, 16, 4096),
    "balm-paired": (1024, 24, 16, 4096),
    "balm-unpaired": (1024, 24, 16, 4096),
    "igbert": (1024, 30, 16, 4096),
    "esmc-300m": (960, 30, 15, 2560),
    "esmc-600m": (1152, 36, 18, 3072),
}
ESM2 = {"vocab_size": 33, "max_position_embeddings": 1026, "pad_token_id": 1, "position_embedding_type": "rotary"}
MORE = {
    "esm1b": {"position_embedding_type": "absolute", "emb_layer_norm_before": True},
    "antiberty": {"vocab_size": 25, "max_position_embeddings": 512},
    "antiberty-random": {"vocab_size": 25, "max_position_embeddings": 512},
    "antiberta2": {"vocab_size": 30, "max_position_embeddings": 256, "type_vocab_size": 2},
    "balm-paired": {"vocab_size": 25, "max_position_embeddings": 514, "type_vocab_size": 2, "pad_token_id": 1},
    "balm-unpaired": {"vocab_size": 25, "max_position_embeddings": 258, "type_vocab_size": 1, "pad_token_id": 1},
    "igbert": {"vocab_size": 30, "max_position_embeddings": 40000},
}


def published_config(name, family):
    width, layers, heads, inner = SHAPES[name]
    shape = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
    }
    return shape | (ESM2 if family == "esm" else {}) | MORE.get(name, {})


@pytest.mark.parametrize("name", SHAPES)
def test_parameters_count_what_transformers_builds_and_the_longest_text_fits(name):
    import torch
    import transformers

    spec = load_catalogue()[name]
    parts = FAMILIES[spec.family]
    config = published_config(name, spec.family)
    masked = getattr(transformers, parts.model.replace("Model", "ForMaskedLM"))
    with torch.device("meta"):
        model = masked(getattr(transformers, parts.config)(**config))
    assert sum(weight.numel() for weight in model.parameters()) == spec.parameters
    tokens = spec.max_length + 2
    if spec.pairing.context == "joined":
        tokens += len(spec.pairing.separator) + len(spec.pairing.marks)
    limit = position_limit(spec.family, config)
    assert limit is None or tokens <= limit


def test_random_weights_are_another_model_with_the_same_files():
    catalogue = load_catalogue()
    trained, random = catalogue["antiberty"], catalogue["antiberty-random"]
    assert trained.source.revision == random.source.revision
    assert trained.identity() != random.identity()


def test_identity_says_nothing_that_does_not_change_results():
    spec = load_catalogue()["antiberty"]
    renamed = spec.model_copy(update={"title": "x", "needs": spec.needs.model_copy(update={"gpus": 4})})
    assert renamed.identity() == spec.identity()
    allowed = spec.source.model_copy(update={"vocabulary": "elsewhere"})
    assert spec.model_copy(update={"source": allowed}).identity() == spec.identity()


def test_identity_says_what_changes_results():
    spec = load_catalogue()["esm2-8m"]
    changes = [
        {"max_length": 100},
        {"family": "bert"},
        {"pairing": spec.pairing.model_copy(update={"context": "joined"})},
        {"pairing": spec.pairing.model_copy(update={"marks": ("A", "B")})},
        {"needs": spec.needs.model_copy(update={"precision": "fp32"})},
        {"source": spec.source.model_copy(update={"revision": "0" * 40})},
    ]
    identities = [spec.identity(), *(spec.model_copy(update=change).identity() for change in changes)]
    assert len({json.dumps(one, sort_keys=True) for one in identities}) == len(identities)


def test_a_local_directory_is_relative_to_its_file_and_no_part_of_the_identity(tmp_path):
    text = LOCAL.format(pin="0" * 64)
    here = load_catalogue(write(tmp_path / "a", text))["my-bert"]
    there = load_catalogue(write(tmp_path / "b", text))["my-bert"]
    assert here.source.directory == str(tmp_path / "a" / "weights")
    assert here.identity() == there.identity()
    assert "directory" not in here.identity()["source"]


def test_a_local_model_that_nothing_pins_is_told_apart_by_its_directory(tmp_path):
    text = LOCAL.format(pin="")
    here = load_catalogue(write(tmp_path / "a", text))["my-bert"]
    there = load_catalogue(write(tmp_path / "b", text))["my-bert"]
    assert here.identity() != there.identity()


def test_a_built_in_local_model_lies_in_the_users_models_directory(tmp_path):
    assert load_catalogue(tmp_path)["balm-paired"].source.directory == str(tmp_path / "balm-paired")


def test_the_users_pins_pin_what_is_not(tmp_path):
    write(tmp_path, LOCAL.format(pin=""))
    write(tmp_path, f'balm-paired = "{"1" * 64}"\nmy-bert = "{"2" * 64}"\n', name="pins.toml")
    catalogue = load_catalogue(tmp_path)
    assert catalogue["balm-paired"].source.revision == "1" * 64
    assert catalogue["my-bert"].source.revision == "2" * 64
    assert "pins" not in catalogue


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f'antiberty = "{"1" * 64}"', "needs no pin"),
        ('balm-paired = "latest"', r"pin of balm-paired is none.*'latest'"),
        ("balm-paired = 3", "pin of balm-paired is none"),
        (f'balm-pared = "{"1" * 64}"', "there is no model 'balm-pared'"),
    ],
)
def test_a_pin_that_pins_nothing_is_refused(tmp_path, line, message):
    with pytest.raises(BadInputError, match=message):
        load_catalogue(write(tmp_path, line + "\n", name="pins.toml"))


def test_a_missing_user_directory_adds_nothing(tmp_path):
    assert list(load_catalogue(tmp_path / "none")) == list(load_catalogue())


def test_all_problems_of_a_file_are_named_at_once_with_the_nearest_key(tmp_path):
    text = LOCAL.format(pin="0" * 64) + '[my-bert.recipe]\nepohcs = 3\nlearning_rate = "fast"\n'
    with pytest.raises(BadInputError) as caught:
        load_catalogue(write(tmp_path, text.replace('kind = "local"', 'kind = "local"\ndirectry = "x"')))
    message = str(caught.value)
    assert "3 problem(s)" in message
    assert "mine.toml" in message
    assert "[my-bert.recipe] unknown key 'epohcs'; did you mean 'epochs'?" in message
    assert "[my-bert.source] unknown key 'directry'; did you mean 'directory'?" in message
    assert "learning_rate" in message


def test_a_missing_key_is_named(tmp_path):
    with pytest.raises(BadInputError, match="'licence' is missing"):
        load_catalogue(write(tmp_path, LOCAL.format(pin="").replace('licence = "MIT"\n', "")))


def test_a_taken_name_is_refused_with_both_files(tmp_path):
    with pytest.raises(BadInputError, match=r"'antiberty' is already taken.*catalogue\.toml"):
        load_catalogue(write(tmp_path, LOCAL.format(pin="").replace("my-bert", "antiberty")))


@pytest.mark.parametrize("name", ["../x", "Upper", ""])
def test_a_hostile_name_is_refused(tmp_path, name):
    with pytest.raises(BadInputError, match="no model name"):
        load_catalogue(write(tmp_path, LOCAL.format(pin="").replace("my-bert", f'"{name}"')))


@pytest.mark.parametrize("content", [b"[x\n", b"\xff\xfe\x00"])
def test_what_is_no_toml_is_refused_by_file(tmp_path, content):
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(UnreadableFileError, match=r"bad\.toml"):
        load_catalogue(tmp_path)


def test_an_unknown_model_gets_the_nearest_names():
    with pytest.raises(UnknownNameError, match="antiberty"):
        get_model(load_catalogue(), "antibert")
    with pytest.raises(BadInputError, match="no model name"):
        get_model(load_catalogue(), "../x")


def test_reading_the_catalogue_loads_neither_torch_nor_transformers():
    code = (
        "import sys; from ab_assets.models.catalogue import load_catalogue; "
        "from ab_assets.models.availability import availability; "
        "import ab_assets.models.tokenization, ab_assets.models.families, ab_assets.models.twins; "
        "import ab_assets.training.session, ab_assets.training.recipe, ab_assets.training.data; "
        "[availability(spec) for spec in load_catalogue().values()]; "
        "sys.exit(bool({'torch', 'transformers', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
