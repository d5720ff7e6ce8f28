"""L2 logistic regression on sparse counts, as strong as validation says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.linear_model import LogisticRegression

if TYPE_CHECKING:
    from ab_assets.evaluation.baselines.fitting import FitItems, Scores

# Inverse regularisation strengths tried, strongest regularisation first: it is kept where validation cannot tell.
STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)

_ITERATIONS = 1000


def logistic(items: FitItems, train: Any, validation: Any, test: Any) -> Scores:  # noqa: ANN401 - scipy is untyped
    """Return probabilities of the regression whose strength has the lowest squared error on validation.

    train, validation, test: (item, feature) sparse.
    """
    best: tuple[float, Scores] | None = None
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, solver="liblinear", max_iter=_ITERATIONS, random_state=items.seed)
        model.fit(train, items.labels)
        scores = model.predict_proba(validation)[:, 1], model.predict_proba(test)[:, 1]
        error = items.validation_error(scores[0])
        if best is None or error < best[0]:
            best = error, scores
    assert best is not None  # noqa: S101 - STRENGTHS is not empty
    return best[1]
