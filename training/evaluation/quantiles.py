"""Numbers divided into parts of about equally many rows."""

import numpy as np
from numpy.typing import NDArray

from model_deployer.training.evaluation.losses import Floats


def quantile_parts(values: Floats, parts: int) -> NDArray[np.intp]:
    """The part of each value, from 0 upwards in the order of the values; equal values are in the same part.

    Args:
        values: Finite numbers.
        parts: How many there are at most. Where there are no more different values, each is a part of its own.
    """
    levels, places = np.unique(values, return_inverse=True)
    if len(levels) <= parts:
        return places
    edges = np.unique(np.quantile(values, np.arange(1, parts) / parts, method="inverted_cdf"))
    return np.unique(np.searchsorted(edges, values), return_inverse=True)[1]
