"""The work of one model on one benchmark."""

from __future__ import annotations

import pytest

from ab_assets import work
from ab_assets.errors import AbAssetsError
from ab_assets.progress import silent


def test_a_process_that_may_have_loaded_other_code_than_it_names_computes_nothing(made, monkeypatch):
    monkeypatch.setattr(work, "_CHANGED", ["ab_assets.training.loop"])
    asked = work.Work("tiny-specificity", "twin-bert", frozenset({"embeddings"}), force=True)
    before = len(made.store.objects("embeddings"))
    with pytest.raises(AbAssetsError, match=r"changed while this process was starting: ab_assets\.training\.loop"):
        next(work.run_work(made, asked, silent))
    assert len(made.store.objects("embeddings")) == before
