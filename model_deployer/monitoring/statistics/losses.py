"""Losses of single rows, from decisions, probabilities or values and the labels that arrived.

Every loss is at least 0 and has an upper bound. Errors of values have none, so they are clipped at a bound that the
evaluation gives: a few rows with an enormous error would otherwise decide alone.
"""

import numpy as np
from numpy.typing import NDArray

from model_deployer.monitoring.statistics.evidence import Floats

Bools = NDArray[np.bool_]


def decision_errors(decisions: Bools, labels: Bools) -> Floats:
    """Return 1 for each wrong decision, 0 for each right one; bool [rows] each -> float64 [rows]."""
    return np.asarray(decisions != labels, np.float64)


def decision_costs(decisions: Bools, labels: Bools, false_positive: float, false_negative: float) -> Floats:
    """Return the cost of each decision, float64 [rows]: its bound is the larger of both costs.

    Args:
        decisions: Whether the decision is the label of interest, bool [rows].
        labels: Whether the true label is it, bool [rows].
        false_positive: The cost of a decision for the label of interest that is wrong.
        false_negative: The cost of a decision against it that is wrong.
    """
    return false_positive * (decisions & ~labels) + false_negative * (~decisions & labels)


def brier_scores(probabilities: Floats, labels: Bools) -> Floats:
    """Return the squared error of each probability of the label of interest, float64 [rows]: its bound is 1."""
    return (probabilities - labels) ** 2


def half_brier_scores(probabilities: Floats, labels: Bools) -> Floats:
    """Return half the sum of the squared errors of all probabilities of a row, float64 [rows]: its bound is 1.

    Args:
        probabilities: The probability of each label, float64 [rows, labels].
        labels: Whether it is the true one, bool [rows, labels].
    """
    return np.asarray(((probabilities - labels) ** 2).sum(axis=1) / 2)


def pinball_losses(predictions: Floats, values: Floats, share: float) -> Floats:
    """Return the pinball loss of each predicted quantile, float64 [rows]; it has no bound.

    Args:
        predictions: The predicted quantiles, float64 [rows].
        values: The true values, float64 [rows].
        share: The share of cases whose value should be at most the prediction, from 0 to 1.
    """
    gap = values - predictions
    return np.asarray(np.maximum(share * gap, (share - 1) * gap))


def clipped_squared_errors(predictions: Floats, values: Floats, bound: float) -> Floats:
    """Return the squared error of each predicted value, at most ``bound``, float64 [rows]."""
    return np.minimum((predictions - values) ** 2, bound)


def clipped_absolute_errors(predictions: Floats, values: Floats, bound: float) -> Floats:
    """Return the absolute error of each predicted value, at most ``bound``, float64 [rows]."""
    return np.minimum(np.abs(predictions - values), bound)
