"""An estimated quantity with its interval, and the bootstrap over blocks that gives one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from model_deployer.monitoring.statistics.blocks import resampled_rows
from model_deployer.monitoring.statistics.evidence import Floats, Ints

#: The number of bootstrap samples.
SAMPLES = 200


@dataclass(frozen=True)
class Estimate:
    """An estimated quantity.

    Attributes:
        value: The estimate.
        low, high: The ends of its confidence interval.
    """

    value: float
    low: float
    high: float


def bootstrapped(statistic: Callable[[Ints], float], blocks: Ints, alpha: float, seed: int) -> Estimate:
    """Return a statistic of rows with its percentile interval over bootstrap samples of blocks, for one look.

    Blocks are drawn, each with all its rows (Efron, Tibshirani, 1993, "An introduction to the bootstrap", chapter 8).
    With few blocks, the interval is too narrow; below 20, read it with care.

    Args:
        statistic: Returns the statistic of the rows with these indices, int64 [rows]; NaN where they have none.
        blocks: The block of each row, int64 [rows].
        alpha: The probability that the interval is wrong.
        seed: The seed of the samples.
    """
    random = np.random.default_rng(seed)
    values = np.array([statistic(resampled_rows(blocks, random)) for _ in range(SAMPLES)])
    low, high = interval_of_samples(values, alpha)
    return Estimate(statistic(np.arange(len(blocks))), low, high)


def interval_of_samples(values: Floats, alpha: float) -> tuple[float, float]:
    """Return the percentile interval of bootstrap samples, float64 [samples]; NaN if no sample has a value."""
    values = values[np.isfinite(values)]
    if not len(values):
        return np.nan, np.nan
    low, high = np.quantile(values, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)
