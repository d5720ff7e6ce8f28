"""The linear frozen probe: a regularised logistic regression on states of the pre-trained model, which learns nothing.

Beside it, what every frozen probe shares: its items, how features are standardised, what the classes weigh.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

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
_SCORED_TOGETHER = 1024


class Probe(Protocol):
    """What scores states of a frozen model."""

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probability of the positive class: (item, feature) -> (item,)."""


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
        return sigmoid((features - self.mean) / self.scale @ self.coefficients + self.intercept)

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

    mean, scale = standardisation(features)
    weight = class_weights(labels, balanced=balanced)
    x, x_validation = (features - mean) / scale, (validation_features - mean) / scale
    # the exact second-order solver is the faster one until the square of the features outweighs the rows
    solver = "newton-cholesky" if len(x) > x.shape[1] else "lbfgs"
    best: LinearProbe | None = None
    for strength in STRENGTHS:
        model = LogisticRegression(
            C=strength, solver=solver, max_iter=_ITERATIONS, class_weight=dict(enumerate(weight))
        ).fit(x, labels)
        coefficients, intercept = model.coef_[0].astype(np.float64), float(model.intercept_[0])
        loss = log_loss(x_validation @ coefficients + intercept, validation_labels, weight)
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


def probabilities_of(
    probe: Probe, features: Iterable[tuple[Example, Sequence[NDArray[np.float32]]]]
) -> Iterator[tuple[Example, list[NDArray[np.float64]]]]:
    """Yield each example with its probabilities, [(item,)] as its features; many examples at once is faster."""
    waiting: list[tuple[Example, Sequence[NDArray[np.float32]]]] = []
    items = 0
    for example, states in features:
        waiting.append((example, states))
        items += sum(map(len, states))
        if items >= _SCORED_TOGETHER:
            yield from _scored(probe, waiting)
            waiting, items = [], 0
    if waiting:
        yield from _scored(probe, waiting)


def standardisation(features: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each feature: (item, feature) -> (feature,); 1 where it is constant."""
    deviation = features.std(axis=0, dtype=np.float64)
    return features.mean(axis=0, dtype=np.float64), np.where(deviation > 0, deviation, 1.0)


def class_weights(labels: NDArray[np.bool_], *, balanced: bool) -> tuple[float, float]:
    """Return what a negative and a positive item weigh; `balanced`: both classes weigh the same together."""
    if not balanced:
        return 1.0, 1.0
    positives = int(labels.sum())
    return len(labels) / (2 * (len(labels) - positives)), len(labels) / (2 * positives)


def log_loss(logits: NDArray[np.float64], labels: NDArray[np.bool_], weight: tuple[float, float]) -> float:
    """Return the mean log loss, each item times the weight of its class."""
    loss = np.logaddexp(0, np.where(labels, -logits, logits))
    return float((loss * np.where(labels, weight[1], weight[0])).mean())


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities that belong to `logits`."""
    return np.exp(-np.logaddexp(0, -logits))


def _scored(
    probe: Probe, pairs: list[tuple[Example, Sequence[NDArray[np.float32]]]]
) -> Iterator[tuple[Example, list[NDArray[np.float64]]]]:
    parts = [part for _, states in pairs for part in states]
    scores = iter(np.split(probe.probabilities(np.concatenate(parts)), np.cumsum([len(part) for part in parts])[:-1]))
    yield from ((example, [next(scores) for _ in states]) for example, states in pairs)
