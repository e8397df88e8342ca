"""The standard normal distribution in double; ONNX Runtime has its error function for float32 only."""

import numpy as np
from scipy.special import ndtr, ndtri

from model_deployer.adoption.graph.expression import Expression
from model_deployer.adoption.graph.piecewise import approximate

#: Outside of these quantiles the distribution function is 0 or 1 to double precision.
_LARGEST = 8.5


def distribution(numbers: Expression) -> Expression:
    """Return the probability of a value below each number."""
    tail = approximate(ndtr, -_LARGEST, 0.0, -numbers.abs())
    return (numbers > 0.0).choose(1.0 - tail, tail)


def quantile(probabilities: Expression, smallest: float) -> Expression:
    """Return the number below which a value is with each probability.

    Args:
        probabilities: From 0 to 1.
        smallest: The smallest probability that differs from 0; the largest one is 1 - ``smallest``.
    """
    tail = probabilities.apply("Min", 1.0 - probabilities).clip(smallest, None)
    scale = (tail.log() * -2.0).sqrt()  # of this the quantile is a smooth function
    bounds = np.sqrt(-2 * np.log([0.5, smallest]))
    numbers = approximate(lambda s: ndtri(np.exp(-np.square(s) / 2)), bounds[0], bounds[1], scale)
    return (probabilities > 0.5).choose(-numbers, numbers)
