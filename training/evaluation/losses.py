"""The loss of each row, by the task's proper scoring rule: the true answer has the lowest expected loss."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from model_deployer.contract.metric_catalog import LOSS
from model_deployer.contract.outputs import Arrays, Classification, Regression, SingleTarget

#: An array of float64.
Floats = NDArray[np.float64]

#: The minimum of a probability or rate, so that its logarithm is finite.
EPSILON = 1e-15


def row_losses(target: NDArray[Any], arrays: Arrays, output: SingleTarget) -> Floats:
    """Return the loss of each row.

    Args:
        target: Class codes, int64 [rows], or quantities, float64 [rows].
        arrays: The graph's output tensors for these rows, float32: ``probabilities`` [rows, labels] or ``value``
            [rows, 1].
        output: The meaning of the tensors.

    Returns:
        Float64 [rows]. For a classification the negative logarithm of the true class's probability, in nats; for a
        regression the squared error, in the squared unit of the target; for a count the Poisson deviance, in nats; for
        a quantile the pinball loss, in the unit of the target.
    """
    return _LOSSES[output.task](target, arrays, output)


def to_metric(mean: float, output: SingleTarget) -> float:
    """Convert a mean of row losses to the task's metric in ``LOSS``: the root of a squared error, else the mean."""
    return math.sqrt(mean) if LOSS[output.task] == "rmse" else mean


def _log_losses(target: NDArray[Any], arrays: Arrays, output: Classification) -> Floats:
    true_probability = arrays["probabilities"][np.arange(len(target)), target]
    return np.asarray(-np.log(np.clip(true_probability.astype(np.float64), EPSILON, 1)))


def _squared_errors(target: NDArray[Any], arrays: Arrays, output: Regression) -> Floats:
    return np.asarray((_value(arrays) - target) ** 2)


def _poisson_deviances(target: NDArray[Any], arrays: Arrays, output: Regression) -> Floats:
    rate = np.maximum(_value(arrays), EPSILON)
    return np.asarray(2 * (rate - target - xlogy(target, rate) + xlogy(target, target)))


def _pinball_losses(target: NDArray[Any], arrays: Arrays, output: Regression) -> Floats:
    assert output.quantile is not None
    residuals = target - _value(arrays)
    return np.asarray(np.maximum(output.quantile * residuals, (output.quantile - 1) * residuals))


def _value(arrays: Arrays) -> Floats:
    return arrays["value"][:, 0].astype(np.float64)


_LOSSES: dict[str, Callable[[NDArray[Any], Arrays, Any], Floats]] = {
    "classification": _log_losses,
    "regression": _squared_errors,
    "count": _poisson_deviances,
    "quantile": _pinball_losses,
}
