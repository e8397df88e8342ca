"""Which of two models is better on the same rows: a confidence sequence for the difference of their losses.

Both models answer the same rows, so most of what makes a row hard cancels in the difference. Rows of one client or day
are not independent: each block is one observation. That two intervals overlap, one for each model, is not a test.

The interval is that of :mod:`~model_deployer.monitoring.statistics.normal_means`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from model_deployer.monitoring.statistics.blocks import Blocks
from model_deployer.monitoring.statistics.evidence import Floats
from model_deployer.monitoring.statistics.normal_means import running_intervals
from model_deployer.monitoring.statistics.risk import bounded_interval

#: With fewer blocks in which the models differ, their variance says nothing yet.
MIN_DIFFERENT_BLOCKS = 10

Verdict = Literal["better", "worse", "not known yet"]


@dataclass(frozen=True)
class PairedComparison:
    """What the same rows say about two models.

    Attributes:
        difference: The mean loss of the candidate minus that of the champion; NaN without rows.
        low, high: The ends of the confidence sequence of the difference.
        verdict: Whether the candidate is better (the whole interval is below 0) or worse.
        excluded: The size of a difference, in either direction, above which every difference is excluded.
        since: The index of the block with which the verdict was reached; None if it is not known yet.
        blocks: The number of blocks.
    """

    difference: float
    low: float
    high: float
    verdict: Verdict
    excluded: float
    since: int | None
    blocks: int


def paired_comparison(differences: Blocks, alpha: float = 0.05, bound: float = 1.0) -> PairedComparison:
    """Return which of two models is better.

    Args:
        differences: The mean over the rows of each block of the candidate's loss minus the champion's; its weights
            count rows.
        alpha: The largest probability that the interval is ever wrong.
        bound: The largest possible loss of a row.
    """
    lows, highs = _running_intervals(differences, alpha, bound)
    low, high = (float(lows[-1]), float(highs[-1])) if len(differences) else (-bound, bound)
    verdict: Verdict = "better" if high < 0 else "worse" if low > 0 else "not known yet"
    reached = {"better": highs < 0, "worse": lows > 0, "not known yet": np.zeros(0, np.bool_)}[verdict]
    return PairedComparison(
        difference=differences.mean,
        low=low,
        high=high,
        verdict=verdict,
        excluded=max(abs(low), abs(high)),
        since=int(reached.argmax()) if len(reached) else None,
        blocks=len(differences),
    )


def _running_intervals(differences: Blocks, alpha: float, bound: float) -> tuple[Floats, Floats]:
    """Return the interval after each block, [blocks] each: at most from -bound to bound.

    It is widened by what rows with the largest difference could add that have not been seen by chance, as in the "rule
    of three": many small gains say nothing about a rare, large loss. As long as the models differ in few blocks, it is
    open; the last one is then that of the mean size of a difference.
    """
    if not len(differences):
        return np.empty(0), np.empty(0)
    centers, halves = running_intervals(differences, alpha)
    halves = halves + bound * np.log(2 / alpha) / differences.weights.cumsum()
    is_open = np.cumsum(differences.means != 0) < MIN_DIFFERENT_BLOCKS
    lows, highs = np.where(is_open, -bound, centers - halves), np.where(is_open, bound, centers + halves)
    if is_open[-1]:
        sizes = Blocks(np.abs(differences.means) / bound, differences.weights)
        highs[-1] = bound * bounded_interval(sizes, alpha)[1]
        lows[-1] = -highs[-1]
    return lows.clip(-bound, bound), highs.clip(-bound, bound)
