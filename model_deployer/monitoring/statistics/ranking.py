"""How well scores rank the rows: the area under the ROC curve (AUC)."""

import numpy as np
from numpy.typing import NDArray

from model_deployer.monitoring.statistics.estimate import Estimate, bootstrapped
from model_deployer.monitoring.statistics.evidence import Floats, Ints


def auc(scores: Floats, positive: Floats, negative: Floats) -> float:
    """Return the probability that a positive row has a higher score than a negative one; equal scores count half.

    Args:
        scores: The score of each row, float64 [rows].
        positive: The weight of each row as a positive one, float64 [rows]: 1 or 0 with a label, or a probability.
        negative: Its weight as a negative one, float64 [rows].

    Returns:
        NaN without positive or without negative rows.
    """
    _, positions = np.unique(scores, return_inverse=True)
    positives, negatives = np.bincount(positions, positive), np.bincount(positions, negative)
    pairs = positives.sum() * negatives.sum()
    if pairs <= 0:
        return float("nan")
    below = negatives.cumsum() - negatives / 2
    return float(positives @ below / pairs)


def auc_of_labels(scores: Floats, labels: NDArray[np.bool_], blocks: Ints, alpha: float, seed: int) -> Estimate:
    """Return the AUC with its bootstrap interval over blocks.

    Args:
        scores: The score of each row, float64 [rows].
        labels: Whether each row is positive, bool [rows].
        blocks: The block of each row, int64 [rows].
        alpha: The probability that the interval is wrong.
        seed: The seed of the bootstrap.
    """
    positive = labels.astype(np.float64)
    return bootstrapped(
        lambda rows: auc(scores[rows], positive[rows], 1 - positive[rows]), blocks, alpha=alpha, seed=seed
    )
