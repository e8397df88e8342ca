"""From which probability on a label is in the set that holds the truth as often as promised."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.metrics import Floats


def set_threshold(probabilities: NDArray[np.float32], target: NDArray[Any], weights: Floats, coverage: float) -> float:
    """The threshold with which the true label of a new row is in its set with a probability of at least ``coverage``.

    Least ambiguous set-valued classifiers (Sadinle, Lei and Wasserman, 2019), by split conformal prediction: the
    ``ceil((n + 1) * coverage)``-th largest probability that n rows gave to their own label; with weights the first one
    at which the rows so far weigh ``coverage`` of all of them and one more of average weight. The promise is about all
    rows together: of one label, or of hard cases, the share may be lower. It holds for rows that could as well have
    come from these; they took part in the choice of the model, which makes it slightly optimistic.

    Args:
        probabilities: Calibrated, [rows, labels], of rows that the weights of the model were not learnt from.
        target: The codes of their labels.
        weights: How much each of them counts; not all of them 0.
        coverage: The share that is promised.

    Returns:
        A number halfway to the next smaller of these probabilities, so that no such row lies on the threshold, where
        the last digit would decide; 0 where the rows are too few to keep the promise otherwise.
    """
    own = probabilities[np.arange(len(target)), target].astype(np.float64)
    order = np.argsort(-own, kind="stable")
    held = np.cumsum(weights[order])
    last = int(np.searchsorted(held, coverage * (held[-1] + weights.mean())))
    if last == len(own):
        return 0.0
    least = own[order[last]]
    return float(least + own[own < least].max(initial=0.0)) / 2
