"""Logistic regression on k-mer counts: what the composition of a sequence tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from scipy.sparse import hstack
from sklearn.feature_extraction.text import CountVectorizer

from ab_assets.evaluation.baselines.logistic import logistic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ab_assets.evaluation.baselines.fitting import FitItems, Scores

# Shortest and longest k-mer counted.
CHAIN_KMERS = (3, 3)
CDRH3_KMERS = (1, 3)


def kmer_logistic(items: FitItems) -> Scores:
    """Return probabilities of the L2 regression whose strength has the lowest squared error on validation.

    Features are counts of the 3-mers of each chain, and of the 1- to 3-mers of CDR-H3 where VH is used; k-mers that no
    training antibody has are ignored.
    """
    counters = [(chain, _counter(CHAIN_KMERS)) for chain in items.chain_names]
    if "vh" in items.chain_names and items.train["cdrh3"].str.len_chars().max():
        counters.append(("cdrh3", _counter(CDRH3_KMERS)))
    for column, counter in counters:
        counter.fit(_texts(items.train, column))
    train, validation, test = (
        hstack([counter.transform(_texts(part, column)) for column, counter in counters]).tocsr()
        for part in (items.train, items.validation, items.test)
    )
    return logistic(items, train, validation, test)


def _counter(lengths: tuple[int, int]) -> Any:  # noqa: ANN401 - scikit-learn is untyped
    return CountVectorizer(analyzer="char", ngram_range=lengths, lowercase=False, dtype="float64")


def _texts(part: pl.DataFrame, column: str) -> Sequence[str]:
    return part.select(pl.col(column).fill_null("")).to_series().to_list()
