"""The two benchmarks of real data, from their definitions to a report, at a size that takes a minute."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import polars as pl
import pytest
from tests_support import ab_assets

from ab_assets.home import Home

MIRROR = os.environ.get("AB_ASSETS_MIRROR", "")
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.real_weights,
    pytest.mark.skipif(not MIRROR, reason="AB_ASSETS_MIRROR is not set"),
]
EPOCHS = 1


def read(path: Path) -> pl.DataFrame:
    return pl.read_csv(path, infer_schema=False) if path.suffix == ".csv" else pl.read_parquet(path)


def reduced(benchmark: str, home: Path, folder: Path, *, keep: dict[str, int], by: str) -> Path:
    """Return a folder with the fetched benchmark, the first `keep` values of `by` of each file, and little to do."""
    ab_assets(home, "fetch", benchmark)
    fetched = Home(home).folder(benchmark)
    text = (fetched / "benchmark.toml").read_text()
    text = re.sub(r"\[\[source\.download\]\].*?(?=\n\[)", "", text, flags=re.DOTALL)
    folder.mkdir()
    text = re.sub(r"epochs = \d+", f"epochs = {EPOCHS}", text) + "\n[evaluation]\nresamples = 1000\n"
    (folder / "benchmark.toml").write_text(text)
    for file, count in keep.items():
        table = read(fetched / file)
        chosen = table.filter(pl.col(by).is_in(table[by].unique(maintain_order=True).head(count).to_list()))
        assert chosen[by].n_unique() == count < table[by].n_unique()
        (chosen.write_csv if file.endswith(".csv") else chosen.write_parquet)(folder / file)
    return folder


def round_of(home: Path, folder: Path) -> dict:
    ab_assets(home, "add", str(folder), "--name", folder.name)
    ab_assets(home, "materialize", folder.name)
    assert Path(ab_assets(home, "report", folder.name).strip()).is_file()
    return json.loads(ab_assets(home, "metrics", folder.name, "--json"))


def auroc(document: dict, method: str) -> dict:
    return document["methods"][method]["auroc"]


def has_interval(document: dict, method: str) -> bool:
    figure = auroc(document, method)
    return figure["low"] < figure["value"] < figure["high"]


def test_the_published_paratope_split_is_waived_shown_and_learnt(tmp_path):
    keep = {"paragraph_train.parquet": 24, "paragraph_val.parquet": 8, "paragraph_test.parquet": 8}
    folder = reduced("paratope-paragraph", tmp_path / "home", tmp_path / "small-paragraph", keep=keep, by="pdb")
    document = round_of(tmp_path / "home", folder)
    assert not document["certificate"]["enforced"]
    assert auroc(document, "antiberty fine-tuned")["value"] > 0.85
    assert auroc(document, "windowed-forest")["value"] > 0.85
    for method in (
        "antiberty fine-tuned",
        "antiberty fine-tuned-shuffled",
        "antiberty frozen-probe",
        "windowed-forest",
    ):
        assert has_interval(document, method)


def test_the_neutralisation_folds_are_apart(tmp_path):
    keep = {"sarscov2_paired.csv": 60}
    folder = reduced("sarscov2-neutralisation", tmp_path / "home", tmp_path / "small-sarscov2", keep=keep, by="id")
    document = round_of(tmp_path / "home", folder)
    certificate = document["certificate"]
    assert certificate["enforced"]
    assert certificate["passed"]
    assert certificate["maximum"]["vh"] < 0.9
    assert certificate["maximum"]["cdrh3"] < 0.8
    for method in ("antiberty fine-tuned", "antiberty fine-tuned-shuffled", "kmer-logistic"):
        assert has_interval(document, method)
