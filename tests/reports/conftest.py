"""A small report about two models, two baselines and their controls, made in code."""

from __future__ import annotations

import polars as pl
import pytest

from ab_assets import tables
from ab_assets.benchmarks.schema import Benchmark, Source, Split
from ab_assets.reports.report_data import ReportData

MODELS = (
    {"name": "antiberty", "title": "AntiBERTy", "parameters": 26_000_000, "licence": "MIT", "revision": "0.1.3"},
    {"name": "esm2-8m", "title": "ESM-2 8M", "parameters": 8_000_000, "licence": "MIT", "revision": "c731040f"},
)
AP = {
    "esm2-8m fine-tuned": 0.66,
    "antiberty fine-tuned": 0.71,
    "antiberty frozen-probe": 0.6,
    "antiberty fine-tuned-shuffled": 0.41,
    "kmer-logistic": 0.72,
    "kmer-logistic-shuffled": 0.4,
    "majority": 0.4,
}


def score_rows(method, ap, *, view="all"):
    values = {"ap": ap, "auroc": ap + 0.1, "mcc": None if method == "majority" else ap - 0.4, "prevalence": 0.4}
    return [
        {
            "method": method,
            "metric": metric,
            "view": view,
            "value": value,
            "low": None if value is None else value - 0.03,
            "high": None if value is None else value + 0.03,
            "fold_spread": 0.02 if metric == "ap" else None,
            "seed_spread": None,
            "positives": 40,
            "negatives": 60,
            "clusters": 50,
            "reason": "one class is never predicted" if value is None else None,
        }
        for metric, value in values.items()
    ]


def prediction_rows(method):
    return [
        {
            "method": method,
            "fit": fit,
            "seed": 1,
            "role": "test",
            "row_id": f"r{row}",
            "label": row % 5 < 2,
            "score": (row * 7 % 23) / 23 * 0.6 + (0.3 if row % 5 < 2 else 0.0),
        }
        for fit in (0, 1)
        for row in range(fit * 40, fit * 40 + 40)
    ]


def paratope_rows(method):
    return [
        {
            "method": method,
            "fit": 0,
            "seed": 1,
            "role": "test",
            "row_id": f"r{row}",
            "chain": "vh",
            "residue": residue,
            "position": position,
            "label": position in {"105", "106"},
            "score": 0.8 if position in {"105", "27"} else 0.1,
        }
        for row in range(6)
        for residue, position in enumerate(("1", "27", "105", "106"))
    ]


@pytest.fixture
def scores():
    rows = [row for method, ap in AP.items() for row in score_rows(method, ap)]
    return tables.conform(pl.DataFrame(rows, infer_schema_length=None), tables.SCORES)


@pytest.fixture
def comparisons():
    rows = [
        ("antiberty fine-tuned", "kmer-logistic", "ap", -0.01, -0.04, 0.02, "primary"),
        ("esm2-8m fine-tuned", "kmer-logistic", "ap", -0.06, -0.09, -0.03, "primary"),
        ("antiberty fine-tuned", "kmer-logistic", "mcc", 0.05, 0.01, 0.09, "primary"),
        ("antiberty fine-tuned", "esm2-8m fine-tuned", "ap", 0.05, 0.02, 0.08, "exploratory"),
    ]
    return pl.DataFrame(rows, schema=tables.COMPARISONS, orient="row")


@pytest.fixture
def nearest():
    rows = [
        {"fit": 0, "row_id": f"r{row}", "role": "test", "by": by, "identity": identity, "nearest_row_id": "t"}
        for row, (vh, vl, cdrh3) in enumerate([(0.95, 1.0, 0.5), (0.6, 0.9, 0.0), (0.7, 0.8, 0.85), (0.5, 0.8, 0.2)])
        for by, identity in (("vh", vh), ("vl", vl), ("cdrh3", cdrh3))
    ]
    return pl.DataFrame(rows, schema=tables.NEAREST)


@pytest.fixture
def make_report(scores, comparisons, nearest):
    """A function that returns ReportData, certified unless said otherwise, with the fields given replaced."""

    def make(*, task="antigen-specificity", title="Neutralisation", policy="identity", **changes):
        rows = paratope_rows if task == "paratope" else prediction_rows
        enforced = policy == "identity"
        predictions = pl.DataFrame([row for method in AP for row in rows(method)], infer_schema_length=None)
        sizes = [(fit, role, 40, 16, 24) for fit in (0, 1) for role in ("train", "validation", "test")]
        fields = {
            "benchmark": Benchmark(
                name="demo",
                task=task,
                title=title,
                models=("antiberty", "esm2-8m"),
                source=Source(files=("a.csv",), licence="CC BY 4.0"),
                split=Split(policy=policy, certificate="enforce" if enforced else "report"),
            ),
            "scores": scores,
            "comparisons": comparisons,
            "curation": {
                "source_rows": 110,
                "kept_source_rows": 100,
                "rejected": {"illegal-residue": 3, "no-vh": 7},
                "rows": 90,
                "merged_duplicates": 4,
            },
            "used": 80,
            "removed": pl.DataFrame([(f"x{i}", "unlabelled", "") for i in range(10)], tables.REMOVED, orient="row"),
            "sizes": pl.DataFrame(sizes, ["fit", "role", "antibodies", "positives", "negatives"], orient="row"),
            "split_summary": {"components": 12},
            "certificate": {
                "policy": policy,
                "bounds": {"vh": 0.9, "cdrh3": 0.8, "vl": None},
                "enforced": enforced,
                "passed": enforced,
                "maxima": [{"fit": 0, "by": "vh", "identity": 0.95}],
            },
            "nearest": nearest,
            "predictions": predictions,
            "histories": [
                {
                    "model": "antiberty",
                    "fit": 0,
                    "seed": 1,
                    "arm": arm,
                    "epoch": epoch,
                    "train_loss": 0.7 - epoch / 10,
                    "validation_loss": 0.7,
                }
                for arm in ("fine-tuned", "fine-tuned-shuffled")
                for epoch in (1, 2)
            ],
            "models": MODELS,
            "provenance": {"git revision": "abc123", "artifacts": {"split": "0123456789abcdef"}},
        }
        return ReportData(**(fields | changes))

    return make
