"""Split conformal prediction: bounds that hold for new rows with a given probability.

Papadopoulos et al., 2002, "Inductive confidence machines for regression"; Lei et al., 2018, "Distribution-free
predictive inference for regression". The guarantee needs neither a correct model nor a known distribution, but new rows
that are exchangeable with the rows that the bound is computed from.
"""

from torch import Tensor


def conformal_quantile(scores: Tensor, weights: Tensor, share: float) -> Tensor:
    """Return the bound that the score of a new row does not exceed with a probability of at least ``share``.

    It is the ``ceil((n + 1) * share)``-th smallest of n scores; with too few rows for the guarantee (fewer than
    ``share / (1 - share)``), the largest one. With weights, ranks are sums of weights (Tibshirani et al., 2019,
    "Conformal prediction under covariate shift"), and n is the effective number of rows (Kish, 1965).

    Args:
        scores: The scores of rows that the model was not fitted on, float [rows].
        weights: The weight of each row, float [rows]; not all zero.
        share: The probability, between 0 and 1.

    Returns:
        One of the scores, float [].
    """
    has_weight = weights > 0
    ordered, order = scores[has_weight].sort()
    ordered_weights = weights[has_weight][order].double()
    total = ordered_weights.sum()
    effective_rows = total**2 / (ordered_weights**2).sum()
    rank = (effective_rows + 1) * share * (total / effective_rows)
    return ordered[(ordered_weights.cumsum(0) < rank).sum().clamp_max(len(ordered) - 1)]
