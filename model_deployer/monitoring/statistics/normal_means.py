"""Means of blocks that are about normal, with an unknown variance: an interval, and evidence against a value.

Both are the anytime-valid form of Student's t test: the Bayes factor with a normal prior of the standardized mean
(Goenen, Johnson, Lu, Westfall, 2005, "The Bayesian two-sample t test") is an e-process (Wang, Ramdas, "Anytime-valid
t-tests and confidence sequences for Gaussian means with unknown variance", arXiv 2310.03722). A mean of blocks uses
that rows vary little around it, which a bounded loss alone does not say; so it is the faster test where blocks have
many rows.
"""

import numpy as np

from model_deployer.monitoring.statistics.blocks import Blocks
from model_deployer.monitoring.statistics.evidence import YEAR_DAYS, Evidence, Floats

#: The standard deviation of the prior of the mean, in standard deviations of a block.
PRIOR = 0.5

#: Sums of squares below this part of the largest one are rounding errors.
_DIGITS = 1e-13


def mean_interval(means: Blocks, alpha: float, least_variances: Floats | None = None) -> tuple[float, float]:
    """Return a confidence interval for the mean of blocks, which holds at any look.

    Args:
        means: The mean of each block.
        alpha: The largest probability that the interval is ever wrong.
        least_variances: The variance that each mean has at least, float64 [blocks]. Without it, blocks seem to be all
            alike before the first rare event.

    Returns:
        Its ends; infinite with too few blocks.
    """
    if not len(means):
        return -np.inf, np.inf
    centers, halves = running_intervals(means, alpha, least_variances)
    return float(centers[-1] - halves[-1]), float(centers[-1] + halves[-1])


def running_intervals(means: Blocks, alpha: float, least_variances: Floats | None = None) -> tuple[Floats, Floats]:
    """Return the center and the half width of the interval after each block, [blocks] each; see :func:`mean_interval`.

    It is the set of means with a Bayes factor below 1 / alpha.
    """
    offset = means.mean
    centers, squares = _centers_and_squares(means.means - offset, means.weights)
    blocks = np.arange(1, len(means) + 1)
    if least_variances is not None:
        least = (means.weights**2 * least_variances).cumsum() / (means.weights.cumsum() / blocks) ** 2
        squares = np.maximum(squares, least)
    growth = 1 + blocks * PRIOR**2
    ratio = (np.sqrt(growth) / alpha) ** (2 / blocks)
    limit = np.full(len(means), np.inf)
    is_finite = ratio < growth
    limit[is_finite] = ((ratio - 1) / (1 - ratio / growth))[is_finite]
    halves = np.full(len(means), np.inf)
    halves[is_finite] = np.sqrt(limit[is_finite] * squares[is_finite] / blocks[is_finite])
    return centers + offset, halves


def mean_evidence(
    means: Blocks, tolerance: float, horizon: int = YEAR_DAYS, least_variances: Floats | None = None
) -> Evidence:
    """Return the evidence that the mean of blocks is not within a tolerance around 0.

    A change may begin with any block, as in :func:`~model_deployer.monitoring.statistics.evidence.mixed_evidence`. Time
    and memory grow with the square of the number of blocks: they should be days.

    Args:
        means: The mean of each block.
        tolerance: The largest mean, of either sign, without a change.
        horizon: The number of blocks of a budget of false alarms.
        least_variances: See :func:`mean_interval`, float64 [blocks].
    """
    blocks = len(means)
    if not blocks:
        return Evidence(np.empty(0), np.empty(0, np.int64))
    least = np.zeros(blocks) if least_variances is None else least_variances
    logs = _log_factors(means, tolerance, least)[:horizon]
    waiting = np.maximum(0.0, 1 - np.arange(1, blocks + 1) / horizon)
    with np.errstate(divide="ignore"):
        begun = np.logaddexp.reduce(logs, axis=0) - np.log(horizon)
        return Evidence(np.logaddexp(begun, np.log(waiting)), logs.argmax(axis=0))


def _log_factors(means: Blocks, tolerance: float, least_variances: Floats) -> Floats:
    """Return the logarithm of the lowest Bayes factor against any mean within the tolerance, [starts, ends].

    It is that of the blocks from each start to each end, and -infinity for ends before the start. Without a variance,
    as of a single block, there is no evidence yet.
    """
    # The values are centered first, so that no digits cancel in the differences of sums.
    offset = means.mean
    values, weights = means.means - offset, means.weights
    squared_weights = weights**2
    totals, sums, of_squares, by_squares, squared, least = (
        _sums_of_ranges(each)
        for each in (
            weights,
            weights * values,
            squared_weights,
            squared_weights * values,
            squared_weights * values**2,
            squared_weights * least_variances,
        )
    )
    blocks = _sums_of_ranges(np.ones(len(means)))
    with np.errstate(divide="ignore", invalid="ignore"):
        centers = sums / totals
        squares = squared - 2 * centers * by_squares + centers**2 * of_squares
        squares = np.where(squares > _DIGITS * squared.max(), squares, 0.0)
        squares = np.maximum(squares, least) / (totals / blocks) ** 2
        growth = 1 + blocks * PRIOR**2
        distances = np.maximum(0, np.abs(centers + offset) - tolerance)
        statistic = np.where(distances > 0, blocks * distances**2 / squares, 0.0)
        logs = blocks / 2 * (np.log1p(statistic) - np.log1p(statistic / growth)) - np.log(growth) / 2
        return np.where(blocks > 0, np.where(squares > 0, logs, 0.0), -np.inf)


def _sums_of_ranges(values: Floats) -> Floats:
    """Return the sum of the values from each start to each end, [starts, ends]; 0 for ends before the start."""
    totals = np.concatenate([[0.0], values.cumsum()])
    return np.triu(totals[1:] - totals[:-1, None])


def _centers_and_squares(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return the weighted mean after each block, and the sum of the weighted squares around it, [blocks] each."""
    blocks = np.arange(1, len(values) + 1)
    totals = weights.cumsum()
    centers = (weights * values).cumsum() / totals
    squares = (weights**2 * values**2).cumsum() - 2 * centers * (weights**2 * values).cumsum()
    squares = np.maximum(0.0, squares + centers**2 * (weights**2).cumsum())
    return centers, squares / (totals / blocks) ** 2
