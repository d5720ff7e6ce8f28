"""Average precision and AUROC of many weightings of the same ranked items, in one pass; compiled by numba."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ab_assets.compilation import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray


@compiled
def ranking_of_resamples(
    labels: NDArray[np.bool_], units: NDArray[np.int32], last: NDArray[np.bool_], multiplicities: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (average precision, AUROC), each (resample,) float64, nan where a resample lacks a class.

    labels, units, last: (item,), items by falling score; `last` marks the last item of each tied score.
    multiplicities: (unit, resample), how often each unit was drawn; it is the weight of the unit's items.
    """
    # one pass: calls would break up the inner loops, which become vector instructions
    resamples = multiplicities.shape[1]
    steps, area = np.zeros(resamples), np.zeros(resamples)
    tp, fp = np.zeros(resamples, np.int32), np.zeros(resamples, np.int32)
    tied_tp, tied_fp = np.zeros(resamples, np.int32), np.zeros(resamples, np.int32)
    alone = True
    for item in range(labels.size):
        weight = multiplicities[units[item]]
        if alone and last[item]:
            if labels[item]:
                for r in range(resamples):
                    tp[r] += weight[r]
                    steps[r] += weight[r] * np.float64(tp[r]) / max(tp[r] + fp[r], 1)
            else:
                for r in range(resamples):
                    fp[r] += weight[r]
                    area[r] += np.float64(weight[r]) * tp[r]
            continue
        tied = tied_tp if labels[item] else tied_fp
        for r in range(resamples):
            tied[r] += weight[r]
        alone = last[item]
        if alone:
            for r in range(resamples):
                area[r] += tied_fp[r] * (tp[r] + 0.5 * tied_tp[r])
                tp[r] += tied_tp[r]
                fp[r] += tied_fp[r]
                steps[r] += tied_tp[r] * np.float64(tp[r]) / max(tp[r] + fp[r], 1)
                tied_tp[r] = 0
                tied_fp[r] = 0
    for r in range(resamples):
        defined = tp[r] > 0 and fp[r] > 0
        steps[r] = steps[r] / tp[r] if defined else np.nan
        area[r] = area[r] / (np.float64(tp[r]) * fp[r]) if defined else np.nan
    return steps, area
