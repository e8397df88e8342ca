"""Whether the live risk of a model is above what was promised: testing by betting on a bounded loss.

The null hypothesis is that the mean loss of each block is at most the limit, given all earlier blocks. A strategy bets
a part of its capital on each block: it multiplies the capital by 1 + bet x (loss - limit) / limit, which is at most 1
on average under the null hypothesis, however the losses are distributed (Waudby-Smith, Ramdas, "Estimating means of
bounded random variables by betting", arXiv 2010.09686; for the risk of a deployed model: arXiv 2506.16416). Several
bets are mixed, and each may begin with any block, so that good months do not hide a bad week.

Nothing else is assumed, but blocks have to be chosen well. If days differ in risk by themselves, a block is a day:
after the first rows of a bad day, the next rows of the same day are expected to be above the limit, too.
"""

from dataclasses import dataclass

import numpy as np

from model_deployer.monitoring.statistics.blocks import Blocks
from model_deployer.monitoring.statistics.evidence import (
    YEAR_DAYS,
    Alarm,
    Evidence,
    Floats,
    log_mean,
    mixed_evidence,
)

#: The bets: the part of the capital that a block without any loss costs. Small ones are for blocks of single rows,
#: whose losses vary much; large ones for blocks of many rows.
BETS = (0.01, 0.03, 0.1, 0.3, 0.9)

#: Halvings of an interval until its end is known.
_HALVINGS = 40


@dataclass(frozen=True)
class Promise:
    """The risk that an evaluation promises.

    Attributes:
        baseline: The risk in the evaluation.
        tolerance: How much worse the live risk may be. It should not be below the half width of the interval of the
            evaluation, whose error would count as excess otherwise.
        bound: The largest possible loss of a row.

    Raises:
        ValueError: if the limit is not between 0 and the bound.
    """

    baseline: float
    tolerance: float
    bound: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.limit < self.bound:
            raise ValueError(f"Expected baseline + tolerance above 0 and below the bound of a loss, {self.bound:g}.")

    @property
    def limit(self) -> float:
        """The highest risk that keeps the promise."""
        return self.baseline + self.tolerance


@dataclass(frozen=True)
class Risk:
    """What labelled blocks say about the risk of a model.

    Attributes:
        evidence: The e-process against the hypothesis that the risk is at most the limit.
        alarm: The first alarm; None if there is none.
        limit: The promised risk with its tolerance.
        mean: The mean loss of all rows; NaN without blocks.
        low, high: The ends of a confidence sequence for a constant live risk.
        blocks: The number of blocks.
    """

    evidence: Evidence
    alarm: Alarm | None
    limit: float
    mean: float
    low: float
    high: float
    blocks: int


def risk(losses: Blocks, promise: Promise, alpha: float, horizon: int = YEAR_DAYS) -> Risk:
    """Return the evidence that the live risk is above the promised one.

    Args:
        losses: The mean loss of each block, from 0 to the bound, in order of time. Blocks without any label yet are
            left out; blocks with some labels count with these.
        promise: The promised risk.
        alpha: The largest probability of a false alarm.
        horizon: The number of blocks of a budget of false alarms: 365 if they are days.

    Raises:
        ValueError: if a loss is below 0 or above the bound.
    """
    bound = promise.bound
    if len(losses) and not (losses.means.min() >= 0 and losses.means.max() <= bound * (1 + 1e-9)):
        raise ValueError(f"Expected losses from 0 to {bound:g}; clip them.")
    parts = Blocks(losses.means / bound, losses.weights)
    evidence = mixed_evidence(_log_bets(parts, promise.limit / bound), horizon)
    low, high = bounded_interval(parts, alpha)
    return Risk(
        evidence=evidence,
        alarm=evidence.alarm(alpha),
        limit=promise.limit,
        mean=losses.mean,
        low=low * bound,
        high=high * bound,
        blocks=len(losses),
    )


def bounded_interval(means: Blocks, alpha: float) -> tuple[float, float]:
    """Return a confidence interval for the mean of blocks, each from 0 to 1, which holds at any look.

    It is the set of means that neither a bet on a higher nor one on a lower mean refutes. If the mean changes with
    time, the interval contains the mean of some block.

    Args:
        means: The mean of each block.
        alpha: The largest probability that the interval is ever wrong.
    """
    opposite = Blocks(1 - means.means, means.weights)
    return _lower_end(means, alpha / 2), 1 - _lower_end(opposite, alpha / 2)


def _lower_end(means: Blocks, alpha: float) -> float:
    """Return the largest mean that a bet on a higher one refutes; the capital falls as the mean rises."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_refuted = log_mean(_log_bets(means, middle).sum(axis=0)) >= -np.log(alpha)
        low, high = (middle, high) if is_refuted else (low, middle)
    return low


def _log_bets(means: Blocks, limit: float) -> Floats:
    """Return the logarithm of the factor of each bet on a mean above the limit, [blocks, bets].

    A block with fewer rows than the mean block so far gets a smaller bet.
    """
    typical = means.weights.cumsum() / np.arange(1, len(means) + 1)
    parts = np.minimum(1, means.weights / typical) * (means.means / limit - 1)
    return np.log1p(np.array(BETS) * parts[:, None])
