"""The share of positives in training, whatever the item: it ranks nothing, and calls everything alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ab_assets.evaluation.baselines.fitting import FitItems, Scores


def majority(items: FitItems) -> Scores:
    """Return the training prevalence as the score of every item."""
    return np.full(items.validation.height, items.prevalence), np.full(items.test.height, items.prevalence)
