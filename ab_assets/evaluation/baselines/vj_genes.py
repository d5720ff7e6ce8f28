"""Logistic regression on the V and the J gene: what the germline tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from sklearn.preprocessing import OneHotEncoder

from ab_assets.evaluation.baselines.logistic import logistic

if TYPE_CHECKING:
    from ab_assets.evaluation.baselines.fitting import FitItems, Scores

GENES = ("v_call", "j_call")
# Of fewer antibodies than this share a gene is known for, the regression would tell who was annotated.
KNOWN = 0.5


def genes_are_given(rows: pl.DataFrame) -> bool:
    """Return whether most CURATED `rows` have a V or a J gene."""
    given = rows.select(pl.any_horizontal(pl.col(GENES).is_not_null())).to_series()
    return bool(given.sum() >= KNOWN * max(1, rows.height))


def vj_genes(items: FitItems) -> Scores:
    """Return probabilities from the V and the J gene, alleles left out; of several calls the first counts."""
    encoder = OneHotEncoder(handle_unknown="ignore")
    train, validation, test = (_genes(part) for part in (items.train, items.validation, items.test))
    encoder.fit(train)
    return logistic(items, *(encoder.transform(part) for part in (train, validation, test)))


def _genes(part: pl.DataFrame) -> list[tuple[str, ...]]:
    first = pl.col(GENES).str.split(",").list.first().str.split("*").list.first().str.strip_chars()
    return part.select(first.fill_null("")).rows()
