"""The support-vector frozen probe: an RBF machine on states of the pre-trained model, its decisions made probabilities.

Not nested: like the linear probe it has one fixed validation set, which chooses strength and width and fits the two
numbers that turn decisions into probabilities. Test rows have no part in either, so one level of validation is enough.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from ab_assets.errors import FitFailedError
from ab_assets.training.probe import class_weights, log_loss, sigmoid, standardisation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

# Penalties tried (C), strongest regularisation first: AbFlow's four, and 1.
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)

# Kernel widths tried, widest kernel first, in units of sklearn's gamma="scale".
WIDTHS = (0.1, 1.0, 10.0)

# Items the probe is fitted on at most, and as many of validation: time and memory grow with their square. With so many
# the whole grid takes some ten seconds of one core and 1.5 GB.
ITEM_LIMIT = 5000

# Losses this close are one: what the smallest slope can change.
_SAME_LOSS = 1e-6

# The least that a logit rises with a standard deviation of decisions, so that probabilities never rank otherwise.
_SMALLEST_SLOPE = 1e-6

# Validation decisions that differ by less than this do not differ.
_SMALLEST_SPREAD = 1e-6

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class SupportVectorProbe:
    """A fitted probe.

    mean, scale: (feature,) float64; support: (vector, feature) float32, features of training items as they were given;
    dual: (vector,) float64, multiplier times class sign. A decision's logit is slope * decision + offset, slope > 0.
    strength: the chosen C; gamma: the chosen width; train_items: how many items were learned from.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    support: NDArray[np.float32]
    dual: NDArray[np.float64]
    intercept: float
    gamma: float
    slope: float
    offset: float
    strength: float = 0.0
    validation_loss: float = 0.0
    train_items: int = 0

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probability of the positive class: (item, feature) -> (item,)."""
        return sigmoid(self.slope * self.decisions(features) + self.offset)

    def decisions(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the signed decision values of the machine: (item, feature) -> (item,)."""
        parts = [np.empty(0)]
        for start in range(0, len(features), _ROWS_AT_ONCE):
            rows = (features[start : start + _ROWS_AT_ONCE] - self.mean) / self.scale
            parts.append(_kernel(_squared_distances(rows, self._vectors), self.gamma) @ self.dual + self.intercept)
        return np.concatenate(parts)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what predictions need, by name."""
        parts: dict[str, NDArray[Any]] = {
            "mean": self.mean,
            "scale": self.scale,
            "support": self.support,
            "dual": self.dual,
        }
        numbers = {"intercept": self.intercept, "gamma": self.gamma, "slope": self.slope, "offset": self.offset}
        return parts | {name: np.array([number]) for name, number in numbers.items()}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the probe that `arrays` came from."""
        intercept, gamma, slope, offset = (float(arrays[n][0]) for n in ("intercept", "gamma", "slope", "offset"))
        return cls(arrays["mean"], arrays["scale"], arrays["support"], arrays["dual"], intercept, gamma, slope, offset)

    @functools.cached_property
    def _vectors(self) -> NDArray[np.float64]:
        return (self.support - self.mean) / self.scale


def fit_svm_probe(
    features: NDArray[np.float32],
    labels: NDArray[np.bool_],
    validation_features: NDArray[np.float32],
    validation_labels: NDArray[np.bool_],
    *,
    balanced: bool,
    seed: int,
) -> SupportVectorProbe:
    """Return the probe of PENALTIES x WIDTHS with the lowest log loss on validation, by the class weights of training.

    Of losses that are equal the stronger regularisation wins, then the wider kernel. Features are standardised by the
    training items. `balanced`: both classes count equally. `seed` draws ITEM_LIMIT items of each set that has more,
    with its share of each class. Raises FitFailedError when the training items lack a class.
    """
    if len(np.unique(labels)) < 2:
        raise FitFailedError(
            what="all training labels are the same",
            found=f"{int(labels.sum())} positive of {len(labels)} labels",
            hint="Use more rows or fewer folds.",
        )
    train, validation = (drawn_items(one, limit=ITEM_LIMIT, seed=seed) for one in (labels, validation_labels))
    features, labels = features[train], labels[train]
    validation_labels = validation_labels[validation]
    mean, scale = standardisation(features)
    weight = class_weights(labels, balanced=balanced)
    x, x_validation = (features - mean) / scale, (validation_features[validation] - mean) / scale
    candidates = list(_candidates(x, labels, x_validation, validation_labels, weight))
    lowest = min(candidate.loss for candidate in candidates)
    best = min(
        (candidate for candidate in candidates if candidate.loss <= lowest + _SAME_LOSS),
        key=lambda candidate: (candidate.penalty, candidate.gamma),
    )
    return SupportVectorProbe(
        mean=mean,
        scale=scale,
        support=features[best.support],
        dual=best.dual,
        intercept=best.intercept,
        gamma=best.gamma,
        slope=best.slope,
        offset=best.offset,
        strength=best.penalty,
        validation_loss=best.loss,
        train_items=len(labels),
    )


def drawn_items(labels: NDArray[np.bool_], *, limit: int, seed: int) -> NDArray[np.int64]:
    """Return the places of all items, or of at most `limit` drawn by `seed`, of each class its share but at least one.

    `limit` is 2 or more.
    """
    if len(labels) <= limit:
        return np.arange(len(labels))
    generator = np.random.default_rng(seed)
    members = [places for places in (np.flatnonzero(~labels), np.flatnonzero(labels)) if len(places)]
    shares = [max(1, limit * len(places) // len(labels)) for places in members]
    kept = [generator.choice(places, size=share, replace=False) for places, share in zip(members, shares, strict=True)]
    return np.sort(np.concatenate(kept))


class _Candidate(NamedTuple):
    """A machine of the grid. support: places of its vectors among the training items."""

    penalty: float
    gamma: float
    support: NDArray[np.int32]
    dual: NDArray[np.float64]
    intercept: float
    slope: float
    offset: float
    loss: float


def _candidates(
    x: NDArray[np.float64],
    labels: NDArray[np.bool_],
    x_validation: NDArray[np.float64],
    validation_labels: NDArray[np.bool_],
    weight: tuple[float, float],
) -> Iterator[_Candidate]:
    from sklearn.svm import SVC  # noqa: PLC0415 - a second to import

    varying = max(1, int(x.any(axis=0).sum()))
    among, across = _squared_distances(x, x), _squared_distances(x_validation, x)
    for width in WIDTHS:
        gamma = width / varying
        # all machines of a width share its kernel, which makes them eight times as fast
        kernel, validation_kernel = _kernel(among, gamma), _kernel(across, gamma)
        for penalty in PENALTIES:
            machine = SVC(C=penalty, kernel="precomputed", class_weight=dict(enumerate(weight))).fit(kernel, labels)
            support, dual, intercept = machine.support_, machine.dual_coef_[0], float(machine.intercept_[0])
            everywhere = np.zeros(len(x))  # the columns of the support vectors alone would be a copy of the kernel
            everywhere[support] = dual
            decisions = validation_kernel @ everywhere + intercept
            slope, offset = _calibration(decisions, validation_labels, weight)
            loss = log_loss(slope * decisions + offset, validation_labels, weight)
            yield _Candidate(penalty, gamma, support, dual, intercept, slope, offset, loss)


def _kernel(squared_distances: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    exponents = -gamma * squared_distances
    return np.exp(exponents, out=exponents)


def _squared_distances(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    distances = x @ y.T
    distances *= -2
    distances += (x * x).sum(axis=1)[:, None]
    distances += (y * y).sum(axis=1)
    return np.maximum(distances, 0, out=distances)


def _calibration(
    decisions: NDArray[np.float64], labels: NDArray[np.bool_], weight: tuple[float, float]
) -> tuple[float, float]:
    """Return slope > 0 and offset of the logit with the lowest log loss (Platt 1999, with his smoothed targets)."""
    from scipy.optimize import minimize  # noqa: PLC0415 - slow to import

    centre, spread = decisions.mean(), decisions.std()
    if spread < _SMALLEST_SPREAD:
        spread = 1.0
    x = (decisions - centre) / spread
    positives = int(labels.sum())
    target = np.where(labels, (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2))
    share = np.where(labels, weight[1], weight[0]) / len(labels)

    def loss_and_gradient(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = point[0] * x + point[1]
        error = share * (sigmoid(logits) - target)
        return float(share @ (np.logaddexp(0, logits) - target * logits)), np.array([error @ x, error.sum()])

    found = minimize(
        loss_and_gradient,
        np.array([1.0, 0.0]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(_SMALLEST_SLOPE, None), (None, None)],
        options={"ftol": 1e-12, "gtol": 1e-9},
    )
    slope = float(found.x[0] / spread)
    return slope, float(found.x[1] - slope * centre)
