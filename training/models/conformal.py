"""Bounds that new rows keep to as often as promised, whatever the model and the distribution.

Split conformal prediction (Papadopoulos et al., 2002, "Inductive confidence machines for regression"; Lei et al., 2018,
"Distribution-free predictive inference for regression"). The promise holds for rows that could as well have come from
those that the bound was learnt from.
"""

from torch import Tensor


def conformal_quantile(scores: Tensor, weights: Tensor, share: float) -> Tensor:
    """What the score of a new row stays at or below with a probability of at least ``share``.

    The ``ceil((n + 1) * share)``-th smallest of n scores; with too few rows to keep the promise (fewer than
    ``share / (1 - share)``), the largest one. With weights, ranks are sums of weights (Tibshirani et al., 2019,
    "Conformal prediction under covariate shift"), and n is how many rows they are worth (Kish, 1965).

    Args:
        scores: One a row, [rows], of rows that the model was not fitted on.
        weights: How much each row counts, [rows]; not all zero.
        share: Between 0 and 1.
    """
    there = weights > 0
    ordered, order = scores[there].sort()
    counted = weights[there][order].double()
    total = counted.sum()
    rows = total**2 / (counted**2).sum()
    rank = (rows + 1) * share * (total / rows)
    return ordered[(counted.cumsum(0) < rank).sum().clamp_max(len(ordered) - 1)]
