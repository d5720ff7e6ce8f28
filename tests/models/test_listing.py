import pytest
from typer.testing import CliRunner

from ab_assets.cli import app
from ab_assets.commands.listings import model_rows
from ab_assets.home import Home
from ab_assets.models.twins import BERT_TOKENS

FILES = ("config.json", "model.safetensors", "vocab.txt")


@pytest.fixture
def rows(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "home" / "models" / "balm-unpaired"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_text("\n".join(BERT_TOKENS), encoding="utf-8")
    return {row["name"]: row for row in model_rows(Home(tmp_path / "home"))}


def test_a_row_says_what_a_model_needs_and_whether_it_is_here(rows, tmp_path):
    assert (rows["antiberty"]["here"], rows["antiberty"]["bring"]) == ("yes", "")
    assert rows["esm2-15b"]["here"] == "download 60.5 GB"
    assert rows["esm2-8m"]["here"] == "download 30 MB"
    assert rows["esm2-15b"]["needs_text"] == "80 GiB GPU, bf16"
    assert (rows["igbert"]["trained_with"], rows["esm1b"]["trained_with"]) == ("pairs", "single chains")
    assert rows["balm-unpaired"]["here"] == "needs a pin"
    place = tmp_path / "home" / "models" / "balm-paired"
    assert rows["balm-paired"]["here"] == "bring files"
    assert rows["balm-paired"]["bring"] == f"{', '.join(FILES)} to {place}"


def test_the_table_fits_120_columns_and_names_what_to_bring(tmp_path, monkeypatch):
    monkeypatch.setenv("AB_ASSETS_HOME", str(tmp_path))
    shown = CliRunner().invoke(app, ["models"])
    table, _, bring = shown.stdout.partition("\n\n")
    assert shown.exit_code == 0
    assert max(map(len, table.splitlines())) <= 120
    assert f"balm-paired: {', '.join(FILES)} to {tmp_path}" in bring
