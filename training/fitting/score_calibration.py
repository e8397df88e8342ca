"""Probabilities for a model that was trained elsewhere and gives scores only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from model_deployer.contract.errors import CheckFailed


def fit_scores(scores: NDArray[np.float64], target: NDArray[Any], weights: NDArray[np.float64]) -> tuple[float, float]:
    """Return the slope and the intercept that turn scores into probabilities, by the smallest log loss.

    With two labels it is Platt's logistic function (Platt, 1999, "Probabilistic outputs for support vector machines"),
    with his targets that are not quite 0 and 1. With more labels it is the temperature of a softmax (Guo et al., 2017,
    "On calibration of modern neural networks"), and the intercept is 0.

    Args:
        scores: The scores of rows that the model was not fitted on, float64 [rows, 1] or [rows, labels].
        target: The codes of the true labels, int64 [rows].
        weights: The weight of each row, float64 [rows].

    Returns:
        The slope, which is above 0, and the intercept.

    Raises:
        CheckFailed: if a higher score does not mean a more probable label on these rows.
    """
    spread = max(float(scores.std()), 1e-12)
    if scores.shape[1] > 1:
        fit = minimize(lambda free: _softmax_loss(np.exp(free[0]) / spread, scores, target, weights), [0.0])
        return float(np.exp(fit.x[0]) / spread), 0.0
    fit = minimize(lambda free: _logistic_loss(free[0] / spread, free[1], scores[:, 0], target, weights), [1.0, 0.0])
    slope, intercept = float(fit.x[0] / spread), float(fit.x[1])
    if not slope > 0:
        raise CheckFailed(
            "the source decides without probabilities, and on the validation rows a higher score does not make the "
            "second label more probable; check the labels of the table, or give it more rows"
        )
    return slope, intercept


def _softmax_loss(
    slope: float, scores: NDArray[np.float64], target: NDArray[Any], weights: NDArray[np.float64]
) -> float:
    logs = log_softmax(slope * scores, axis=1)
    return float(-np.average(logs[np.arange(len(target)), target], weights=weights))


def _logistic_loss(
    slope: float, intercept: float, scores: NDArray[np.float64], target: NDArray[Any], weights: NDArray[np.float64]
) -> float:
    positives = float(weights[target == 1].sum())
    negatives = float(weights.sum()) - positives
    expected = np.where(target == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    log_odds = slope * scores + intercept
    losses = expected * np.logaddexp(0, -log_odds) + (1 - expected) * np.logaddexp(0, log_odds)
    return float(np.average(losses, weights=weights))
