"""Division of numbers into parts with about the same number of rows."""

import numpy as np
from numpy.typing import NDArray

from model_deployer.training.evaluation.losses import Floats


def quantile_parts(values: Floats, parts: int) -> NDArray[np.intp]:
    """Return the part of each value. Equal values are in the same part.

    Args:
        values: Finite numbers, float64 [rows].
        parts: The maximum number of parts. If there are at most this many distinct values, each has a part of its own.

    Returns:
        The numbers of the parts, from 0, in the order of the values, intp [rows].
    """
    levels, positions = np.unique(values, return_inverse=True)
    if len(levels) <= parts:
        return positions
    edges = np.unique(np.quantile(values, np.arange(1, parts) / parts, method="inverted_cdf"))
    return np.unique(np.searchsorted(edges, values), return_inverse=True)[1]
