"""The probability threshold of prediction sets: a set holds every label whose probability reaches it."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_deployer.training.models.conformal import conformal_quantile


def set_threshold(
    probabilities: NDArray[np.float32], target: NDArray[Any], weights: NDArray[np.float64], coverage: float
) -> float:
    """Return the threshold at which a new row's set holds its true label with probability ``coverage`` or more.

    The sets are those of least ambiguous set-valued classifiers (Sadinle, Lei and Wasserman, 2019). The threshold
    follows from the probabilities of the true labels; see :mod:`training.models.conformal`. The coverage holds for all
    rows together: it may be lower for one label or for hard cases. The rows also served to choose the model, which
    makes the threshold slightly optimistic.

    Args:
        probabilities: Calibrated probabilities of rows that the model was not fitted on, float32 [rows, labels].
        target: The codes of the true labels, int64 [rows].
        weights: The weight of each row, float64 [rows]; not all zero.
        coverage: The probability, from 0 to 1.

    Returns:
        The midpoint between two of the probabilities, so that no row is on the threshold, where rounding would decide.
    """
    true_label_probabilities = probabilities[np.arange(len(target)), target].astype(np.float64)
    lowest = -conformal_quantile(
        torch.from_numpy(-true_label_probabilities), torch.from_numpy(weights), coverage
    ).item()
    next_lower = true_label_probabilities[true_label_probabilities < lowest].max(initial=0.0)
    return float(lowest + next_lower) / 2
