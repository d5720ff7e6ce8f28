"""One load of a model makes the same bytes whatever ran before it in this process and whatever was kept."""

from __future__ import annotations

import pytest

from ab_assets.artifacts.store import Ref
from ab_assets.graph import PRODUCTS
from ab_assets.progress import silent
from ab_assets.worker import Work, run_work


@pytest.mark.parametrize("benchmark", ["tiny-specificity", "tiny-paratope"])
@pytest.mark.parametrize("wanted", [PRODUCTS, ("shuffled_label_checkpoint",), ("predictions",)])
def test_made_again_in_whatever_company_it_has_the_same_bytes(made, benchmark, wanted):
    before = {asset: made.store.require(Ref(asset, benchmark, "twin-bert")).digest for asset in wanted}
    outcomes = run_work(made, Work(benchmark, "twin-bert", frozenset(wanted), force=True), silent)
    assert {outcome.ref.asset: outcome.artifact.digest for outcome in outcomes} == before
