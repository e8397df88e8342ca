"""Evidence that may be looked at after every period: e-processes, their alarms, and when a change began.

An e-process starts at 1 and, as long as nothing has changed, is at most 1 on average at every time at which it is read.
The probability that it ever reaches 1 / alpha is therefore at most alpha (Ville's inequality), however often it is
read: Ramdas, Gruenwald, Vovk, Shafer, "Game-theoretic statistics and safe anytime-valid inference", arXiv 2210.01948.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: The periods of a year of days. The false alarms of a year have one budget; a new year begins with new evidence.
YEAR_DAYS = 365


@dataclass(frozen=True)
class Alarm:
    """An e-process that reached its limit.

    Attributes:
        period: The index of the first period after which it did.
        since: The index of the period with which the change most probably began.
    """

    period: int
    since: int


@dataclass(frozen=True)
class Evidence:
    """An e-process.

    Attributes:
        log_values: The natural logarithm of the e-value after each period, float64 [periods].
        starts: The index of the period with which a change most probably began, as seen after each period, int64
            [periods].
    """

    log_values: Floats
    starts: Ints

    @property
    def e_value(self) -> float:
        """The e-value after the last period; 1 before the first one, and infinite above the largest float."""
        return _exp(float(self.log_values[-1])) if len(self.log_values) else 1.0

    def until(self, period: int) -> "Evidence":
        """Return the evidence as it was after a period."""
        return Evidence(self.log_values[: period + 1], self.starts[: period + 1])

    def alarm(self, alpha: float) -> Alarm | None:
        """Return the first alarm: the e-value reaches 1 / alpha. None if it never does.

        Args:
            alpha: The largest probability of a false alarm, over all periods together.
        """
        reached = np.flatnonzero(self.log_values >= -math.log(alpha))
        return Alarm(int(reached[0]), int(self.starts[reached[0]])) if len(reached) else None


def mixed_evidence(log_bets: Floats, horizon: int = YEAR_DAYS) -> Evidence:
    """Return the evidence of several strategies that may each begin with any period.

    The capital is divided equally among the strategies, and each part among the first ``horizon`` periods. A share
    waits until its period, and is then multiplied by the bets of its strategy. So a change late in the year is found as
    fast as an early one, at a price of ln(horizon). What waits is not lost: the sum is an e-process.

    Args:
        log_bets: The logarithms of bets, float64 [periods, strategies]: each strategy multiplies its capital by its bet
            in each period. Without a change, a bet is at most 1 on average, whatever happened in earlier periods.
        horizon: The number of periods that a strategy may begin with.
    """
    periods, strategies = log_bets.shape
    if not periods:
        return Evidence(np.empty(0), np.empty(0, np.int64))
    wealth = log_bets.cumsum(axis=0)
    before = np.vstack([np.zeros((1, strategies)), wealth[:-1]])
    last_start = np.minimum(np.arange(periods), horizon - 1)
    begun = np.logaddexp.accumulate(-before[:horizon], axis=0)[last_start] + wealth - math.log(horizon)
    waiting = np.maximum(0.0, 1 - np.arange(1, periods + 1) / horizon)
    best = begun.argmax(axis=1)
    starts = _running_argmin(before[:horizon])[last_start, best]
    with np.errstate(divide="ignore"):
        return Evidence(np.logaddexp(log_mean(begun), np.log(waiting)), starts)


def average_evidence(evidence: Sequence[Evidence], weights: Sequence[float] | None = None) -> Evidence:
    """Return the weighted average of e-processes over the same periods, which is an e-process again.

    Args:
        evidence: The e-processes; they may depend on each other in any way.
        weights: Their weights, with a sum of 1; equal by default.
    """
    shares = np.full(len(evidence), 1 / len(evidence)) if weights is None else np.array(weights, np.float64)
    logs = np.stack([each.log_values for each in evidence], axis=1) + np.log(shares)
    best = logs.argmax(axis=1)
    starts = np.stack([each.starts for each in evidence], axis=1)
    return Evidence(np.asarray(np.logaddexp.reduce(logs, axis=1)), starts[np.arange(len(best)), best])


def hours_and_days(hours: Evidence, days: Evidence, day_hours: int = 24) -> Evidence:
    """Return the average of the evidence of hours and of days, after each hour.

    Hours show a broken field at once, and days a small shift: an hour has fewer rows and more noise. A day counts from
    the end of its last hour on.

    Args:
        hours: The e-process over hours, the first of them the first hour of the first day.
        days: The e-process over the whole days among these hours.
        day_hours: The number of hours of a day.
    """
    complete = np.minimum(np.arange(1, len(hours.log_values) + 1) // day_hours, len(days.log_values))
    log_values = np.concatenate([[0.0], days.log_values])[complete]
    starts = np.concatenate([[0], day_hours * days.starts])[complete]
    return average_evidence([hours, Evidence(log_values, starts)])


def log_mean(logs: Floats) -> Floats:
    """Return the logarithm of the mean of numbers with these logarithms, over the last axis."""
    return np.asarray(np.logaddexp.reduce(logs, axis=-1) - math.log(logs.shape[-1]))


def _exp(log_value: float) -> float:
    return math.exp(log_value) if log_value < 709 else math.inf


def _running_argmin(values: Floats) -> Ints:
    """Return the index of the smallest value so far, the first one of equals, [periods, strategies]."""
    is_lower = np.vstack([np.ones((1, values.shape[1]), np.bool_), values[1:] < np.minimum.accumulate(values)[:-1]])
    indices = np.where(is_lower, np.arange(len(values))[:, None], 0)
    return np.asarray(np.maximum.accumulate(indices, axis=0), np.int64)
