"""What one answer costs, by the proper loss of the task: one that no answer but the truth makes lowest on average."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from model_deployer.contract.metric_catalog import LOSS
from model_deployer.contract.outputs import Arrays, Classification, Output, Regression

Floats = NDArray[np.float64]

#: Keeps the logarithm of a probability, or of a rate, finite.
LEAST = 1e-15


def row_losses(target: NDArray[Any], arrays: Arrays, output: Output) -> Floats:
    """What the answer to each row costs.

    Args:
        target: Class codes or quantities, one a row.
        arrays: The graph's answers to those rows.
        output: What they mean.

    Returns:
        The negative logarithm of the true class's probability, in nats; the squared error; the Poisson deviance of a
        count; or the pinball loss of a quantile.
    """
    return _LOSSES[output.task](target, arrays, output)


def to_metric(mean: float, output: Output) -> float:
    """A mean of such losses as the metric that ``LOSS`` names: itself, or its root where it is a squared error."""
    return math.sqrt(mean) if LOSS[output.task] == "rmse" else mean


def _logarithms(target: NDArray[Any], arrays: Arrays, output: Classification) -> Floats:
    own = arrays["probabilities"][np.arange(len(target)), target]
    return np.asarray(-np.log(np.clip(own.astype(np.float64), LEAST, 1)))


def _squares(target: NDArray[Any], arrays: Arrays, output: Regression) -> Floats:
    return np.asarray((_value(arrays) - target) ** 2)


def _deviances(target: NDArray[Any], arrays: Arrays, output: Regression) -> Floats:
    rate = np.maximum(_value(arrays), LEAST)
    return np.asarray(2 * (rate - target - xlogy(target, rate) + xlogy(target, target)))


def _pinballs(target: NDArray[Any], arrays: Arrays, output: Regression) -> Floats:
    assert output.quantile is not None
    residuals = target - _value(arrays)
    return np.asarray(np.maximum(output.quantile * residuals, (output.quantile - 1) * residuals))


def _value(arrays: Arrays) -> Floats:
    return arrays["value"][:, 0].astype(np.float64)


_LOSSES: dict[str, Callable[[NDArray[Any], Arrays, Any], Floats]] = {
    "classification": _logarithms,
    "regression": _squares,
    "count": _deviances,
    "quantile": _pinballs,
}
