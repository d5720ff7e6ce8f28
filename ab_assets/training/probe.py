"""The frozen probe: a regularised logistic regression on states of the pre-trained model, nothing of which learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from ab_assets.training.data import UNKNOWN_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ab_assets.training.data import Example

# Inverse regularisation strengths tried, weakest model first: a tie on validation keeps the stronger regularisation.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)

# Residues a paratope probe is fitted on at most; more cost minutes and change nothing that an interval would show.
RESIDUE_LIMIT = 40_000

_ITERATIONS = 1000


@dataclass(frozen=True, slots=True)
class LinearProbe:
    """A fitted probe. mean, scale, coefficients: (feature,) float64; strength: the chosen C."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    intercept: float
    strength: float = 0.0
    validation_loss: float = 0.0

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probability of the positive class: (item, feature) -> (item,)."""
        return _sigmoid((features - self.mean) / self.scale @ self.coefficients + self.intercept)

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return what predictions need, by name."""
        parts = {"mean": self.mean, "scale": self.scale, "coefficients": self.coefficients}
        return parts | {"intercept": np.array([self.intercept])}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[np.float64]]) -> Self:
        """Return the probe that `arrays` came from."""
        return cls(arrays["mean"], arrays["scale"], arrays["coefficients"], float(arrays["intercept"][0]))


def fit_linear_probe(
    features: NDArray[np.float32],
    labels: NDArray[np.bool_],
    validation_features: NDArray[np.float32],
    validation_labels: NDArray[np.bool_],
    *,
    balanced: bool,
) -> LinearProbe:
    """Return the probe whose strength has the lowest log loss on validation, with the class weights of training.

    Features are standardised by the training rows. `balanced`: both classes count equally.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - a second to import

    mean = features.mean(axis=0, dtype=np.float64)
    deviation = features.std(axis=0, dtype=np.float64)
    scale = np.where(deviation > 0, deviation, 1.0)
    weight = _class_weights(labels, balanced=balanced)
    x, x_validation = (features - mean) / scale, (validation_features - mean) / scale
    # the exact second-order solver is the faster one until the square of the features outweighs the rows
    solver = "newton-cholesky" if len(x) > x.shape[1] else "lbfgs"
    best: LinearProbe | None = None
    for strength in STRENGTHS:
        model = LogisticRegression(
            C=strength, solver=solver, max_iter=_ITERATIONS, class_weight=dict(enumerate(weight))
        ).fit(x, labels)
        coefficients, intercept = model.coef_[0].astype(np.float64), float(model.intercept_[0])
        loss = _log_loss(x_validation @ coefficients + intercept, validation_labels, weight)
        if best is None or loss < best.validation_loss:
            best = LinearProbe(mean, scale, coefficients, intercept, strength, loss)
    assert best is not None  # noqa: S101 - STRENGTHS is not empty
    return best


def labelled_items(
    features: Iterable[tuple[Example, Sequence[NDArray[np.float32]]]], *, limit: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return (item, feature) and (item,) labels of all examples, or of `limit` items that `seed` draws from them.

    An item is an antibody, or for paratopes a residue that the model saw.
    """
    parts = [part for example, states in features for part in _labelled(example, states)]
    total = sum(len(labels) for _, labels in parts)
    chosen = np.ones(total, dtype=bool)
    if total > limit:
        chosen[:] = False
        chosen[np.random.default_rng(seed).choice(total, size=limit, replace=False)] = True
    kept = np.split(chosen, np.cumsum([len(labels) for _, labels in parts])[:-1])
    return (
        np.concatenate([states[keep] for (states, _), keep in zip(parts, kept, strict=True)]),
        np.concatenate([labels[keep] for (_, labels), keep in zip(parts, kept, strict=True)]),
    )


def _labelled(
    example: Example, states: Sequence[NDArray[np.float32]]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    if example.labels is None:
        return
    lengths = [len(chain) for chain in example.texts[0]] if example.scored else [1]
    for chain, labels in zip(states, np.split(example.labels, np.cumsum(lengths)[:-1]), strict=True):
        known = labels[: len(chain)] != UNKNOWN_LABEL
        yield chain[known], labels[: len(chain)][known] == 1


def _class_weights(labels: NDArray[np.bool_], *, balanced: bool) -> tuple[float, float]:
    if not balanced:
        return 1.0, 1.0
    positives = int(labels.sum())
    return len(labels) / (2 * (len(labels) - positives)), len(labels) / (2 * positives)


def _log_loss(logits: NDArray[np.float64], labels: NDArray[np.bool_], weight: tuple[float, float]) -> float:
    loss = np.logaddexp(0, np.where(labels, -logits, logits))
    return float((loss * np.where(labels, weight[1], weight[0])).mean())


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0, -logits))
