"""A home in which the data of one benchmark were replaced once: rows and scores are made up, nothing was trained."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from injected_changes import BINDERS, FILES, MODELS, SETTINGS
from published import publish_all, write_benchmark, write_models

from ab_assets.artifacts.store import Draft
from ab_assets.home import Home
from ab_assets.tables import CURATED, SCORES

OLD = {"a1": True, "a2": False, "a3": True, "a4": None}
NEW = {"a1": False, "a2": False, "a4": True, "a5": True, "a6": None}  # a3 is gone, a5 and a6 are new


def antibodies(labels: Mapping[str, bool | None], **columns: Any) -> pl.DataFrame:
    """Return CURATED rows of antigen specificity, named and with these labels; other columns as given."""
    rows = [
        {
            "row_id": hashlib.sha256(name.encode()).hexdigest()[:16],
            "sequence_id": name,
            "vh": f"EVQ{name.upper()}",
            "label": label,
            "sources": [f"antibodies.csv:{place}"],
        }
        for place, (name, label) in enumerate(labels.items(), start=1)
    ]
    return pl.DataFrame([row | columns for row in rows], schema=CURATED).sort("row_id")


def scores(**average_precision: float) -> pl.DataFrame:
    """Return SCORES of these methods, a space where the name has two underscores."""
    rows = [
        {"method": name.replace("__", " "), "metric": metric, "view": "all", "value": value, "low": value - 0.1}
        | {"high": value + 0.1, "positives": 10, "negatives": 10}
        for name, value in average_precision.items()
        for metric in ("ap", "mcc", "auroc")
    ]
    return pl.DataFrame(rows, schema=SCORES)


def write_home(root: Path) -> Home:
    """Write the benchmark, its files and the models; nothing is published."""
    home = Home(root)
    write_benchmark(home, BINDERS, SETTINGS[BINDERS])
    write_models(home, MODELS)
    for file, text in FILES[BINDERS].items():
        (home.folder(BINDERS) / file).write_text(text)
    return home


def publish_version(home: Home, text: str, rows: pl.DataFrame, table: pl.DataFrame) -> None:
    """Replace the file and publish what follows from it."""
    (home.folder(BINDERS) / "antibodies.csv").write_text(text)

    def curate(draft: Draft) -> None:
        draft.table("antibodies", rows)
        counts = {"rows": rows.height, "unlabelled": rows["label"].null_count(), "rejected": {"no-sequence": 1}}
        counts |= {"positives": int(rows["label"].sum()), "negatives": int((~rows["label"]).sum())}
        draft.metadata = counts

    def compare(draft: Draft) -> None:
        draft.table("scores", table)

    publish_all(home, {"curated_dataset": curate, "metric_table": compare})


def two_versions(root: Path) -> Home:
    """Return a home with the version OLD and then NEW."""
    home = write_home(root)
    publish_version(home, "old\n", antibodies(OLD), scores(one__fine_tuned=0.5, kmer=0.7, gone=0.2))
    publish_version(home, "new\n", antibodies(NEW), scores(one__fine_tuned=0.75, kmer=0.7))
    return home
