"""What certificates say of published data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ab_assets.benchmarks.schema import Benchmark
from ab_assets.datasets.curation import curate
from ab_assets.datasets.readers import read_source
from ab_assets.datasets.selection import select_rows
from ab_assets.splits.certificate import NEARLY_SEEN, certify
from ab_assets.splits.graph import similarity_graph
from ab_assets.splits.policies import make_split

MIRROR = os.environ.get("AB_ASSETS_MIRROR", "")
pytestmark = [pytest.mark.real_data, pytest.mark.skipif(not MIRROR, reason="AB_ASSETS_MIRROR is not set")]

PARAGRAPH = {
    "name": "paragraph",
    "task": "paratope",
    "chains": "HL",
    "source": {
        "format": "sabdab",
        "files": [f"topefind_paragraph_{part}.parquet" for part in ("train", "val", "test")],
    },
    "columns": {
        "entry": "pdb",
        "chain": "chain_type",
        "sequence": "antibody_sequence",
        "positions": "antibody_imgt",
        "paratope": "full_paratope_labels",
    },
    "split": {
        "policy": "published",
        "certificate": "report",
        "parts": {
            part: [f"topefind_paragraph_{file}.parquet"]
            for part, file in (("train", "train"), ("validation", "val"), ("test", "test"))
        },
    },
}
NEUTRALISATION = {
    "name": "neutralisation",
    "task": "antigen-specificity",
    "chains": "HL",
    "source": {"files": ["derived_deepaai_sarscov2_paired.csv"]},
    "columns": {"vh": "heavy", "vl": "light", "label": "label", "positive": ["1"], "negative": ["0"]},
    "split": {"folds": 5},
}


def divided(declared, **split):
    """Return (benchmark, rows, split, certificate) of published data, without numbering."""
    benchmark = Benchmark.model_validate(declared | {"split": declared["split"] | split})
    curation = curate(read_source(benchmark, Path(MIRROR)), benchmark, numbering=None)
    rows = select_rows(curation.rows, benchmark).rows
    edges = similarity_graph(
        rows, benchmark.split.identity, cluster=lambda rows: dict.fromkeys(rows["row_id"], ""), workers=2
    ).edges
    made = make_split(rows, edges, benchmark)
    return rows, made, certify(rows, made.roles, benchmark.split, workers=2)


def test_the_certificate_of_the_published_paratope_split_tells_of_its_light_chains():
    _, _, certificate = divided(PARAGRAPH)
    assert not certificate.passed
    shares = {item["by"]: item["share_nearly_seen"] for item in certificate.maxima if item["role"] == "test"}
    assert shares["vl"] == pytest.approx(0.60, abs=0.02)
    nearest = certificate.nearest.filter(role="test", by="vl")["identity"]
    assert shares["vl"] == (nearest >= NEARLY_SEEN).mean()


@pytest.mark.parametrize(("vh", "most_removed"), [(0.9, 0.006), (0.85, 0.040), (0.8, 0.182)])
def test_the_neutralisation_set_divides_at_no_more_cost_than_by_graphpart(vh, most_removed):
    # GraphPart removes 0.6, 4.0 and 18.2 % at these bounds and CDR-H3 0.8
    rows, made, certificate = divided(NEUTRALISATION, identity={"vh": vh, "cdrh3": None, "vl": None})
    assert certificate.passed
    assert max(item["identity"] for item in certificate.maxima if item["by"] == "vh") < vh
    assert made.summary["removed_share"] <= most_removed
    assert made.roles["row_id"].n_unique() == rows.height - made.removed.height
    assert made.summary["largest_fold"] <= 1.6 * rows.height / 5
