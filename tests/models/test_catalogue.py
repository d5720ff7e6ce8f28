import subprocess
import sys

import pytest

from ab_assets.errors import BadInputError, UnknownNameError, UnreadableFileError
from ab_assets.models.catalogue import get_model, load_catalogue

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


def test_antiberty_comes_first_and_every_built_in_model_is_pinned():
    catalogue = load_catalogue()
    assert next(iter(catalogue)) == "antiberty"
    assert {"antiberty-random", "esm2-8m", "esm2-35m", "esm2-150m", "esm2-650m"} <= set(catalogue)
    assert all(len(spec.source.revision) in {40, 64} for spec in catalogue.values())


def test_random_weights_are_another_model_with_the_same_files():
    catalogue = load_catalogue()
    trained, random = catalogue["antiberty"], catalogue["antiberty-random"]
    assert trained.source.revision == random.source.revision
    assert trained.identity() != random.identity()


def test_identity_says_nothing_that_does_not_change_results():
    spec = load_catalogue()["antiberty"]
    renamed = spec.model_copy(update={"title": "x", "needs": spec.needs.model_copy(update={"gpus": 4})})
    assert renamed.identity() == spec.identity()
    assert spec.model_copy(update={"max_length": 100}).identity() != spec.identity()


def test_a_local_directory_is_relative_to_its_file_and_no_part_of_the_identity(tmp_path):
    text = LOCAL.format(pin="0" * 64)
    here = load_catalogue(write(tmp_path / "a", text))["my-bert"]
    there = load_catalogue(write(tmp_path / "b", text))["my-bert"]
    assert here.source.directory == str(tmp_path / "a" / "weights")
    assert here.identity() == there.identity()


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
        "import ab_assets.training.session, ab_assets.training.recipe, ab_assets.training.data; "
        "[availability(spec) for spec in load_catalogue().values()]; "
        "sys.exit(bool({'torch', 'transformers', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
