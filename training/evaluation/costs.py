"""The costs of decisions between two labels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.training.evaluation.losses import Floats
from model_deployer.training.spec import Cost


def error_costs(target: NDArray[Any], positive: NDArray[np.bool_], cost: Cost) -> Floats:
    """Return the cost of each decision, float64 [rows]; a right one costs nothing.

    Args:
        target: Class codes, int64 [rows].
        positive: Whether the decision is the second label, bool [rows].
        cost: The costs of the two errors.
    """
    false_positives, false_negatives = positive & (target == 0), ~positive & (target == 1)
    return np.asarray(cost.false_positive * false_positives + cost.false_negative * false_negatives, np.float64)


def constant_cost(target: NDArray[Any], weights: Floats, is_positive: bool, cost: Cost) -> float:
    """Return the mean cost of the same decision for every row.

    Args:
        target: Class codes, int64 [rows].
        weights: The weight of each row, float64 [rows].
        is_positive: Whether the decision is the second label.
        cost: The costs of the two errors.
    """
    return float(np.average(error_costs(target, np.full(len(target), is_positive), cost), weights=weights))


def is_positive_cheapest(target: NDArray[Any], weights: Floats, cost: Cost) -> bool:
    """Return whether always deciding for the second label costs less than always deciding for the first."""
    costs = [constant_cost(target, weights, is_positive, cost) for is_positive in (False, True)]
    return costs[1] < costs[0]
