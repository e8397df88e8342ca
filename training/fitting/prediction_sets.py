"""From which probability on a label is in the set that holds the truth as often as promised."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_deployer.training.models.conformal import conformal_quantile


def set_threshold(
    probabilities: NDArray[np.float32], target: NDArray[Any], weights: NDArray[np.float64], coverage: float
) -> float:
    """The threshold with which the true label of a new row is in its set with a probability of at least ``coverage``.

    Least ambiguous set-valued classifiers (Sadinle, Lei and Wasserman, 2019): the rows tell how small the probability
    of the own label may be; see :mod:`training.models.conformal`. The promise is about all rows together: of one
    label, or of hard cases, the share may be lower. The rows took part in the choice of the model, which makes it
    slightly optimistic.

    Args:
        probabilities: Calibrated, [rows, labels], of rows that the model was not fitted on.
        target: The codes of their labels.
        weights: How much each of them counts; not all of them 0.
        coverage: The share that is promised.

    Returns:
        A number halfway to the next smaller of these probabilities, so that no such row lies on the threshold, where
        the last digit would decide.
    """
    own = probabilities[np.arange(len(target)), target].astype(np.float64)
    least = -conformal_quantile(torch.from_numpy(-own), torch.from_numpy(weights), coverage).item()
    return float(least + own[own < least].max(initial=0.0)) / 2
