"""How long labels take to arrive, and how many of those that are missing are still to be expected.

A row without a label may get one later: its delay is censored at its age. The Kaplan-Meier estimator (1958,
"Nonparametric estimation from incomplete observations") uses these rows, too; a mean over the labels that have arrived
would only see the fast ones. Where rows without a label are not known, the delay of each label that did arrive is
truncated: a label with a longer delay than the age of its row is not seen. The reverse-time estimator handles that
(Lagakos, Barraj, De Gruttola, 1988, "Nonparametric analysis of truncated survival data, with application to AIDS").
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from model_deployer.monitoring.statistics.evidence import Floats, Ints


@dataclass(frozen=True)
class DelayCurve:
    """The share of rows with a label by the time since the prediction.

    Attributes:
        delays: The delays at which labels arrived, ascending, float64 [steps], in the unit of the input.
        shares: The share of rows whose label arrives within each delay, float64 [steps], from 0 to 1.
        low, high: The ends of its interval for one delay and one look, float64 [steps].
        labelled: The number of rows with a label.
        waiting: The number of rows without one.
        longest: The largest age of a row. Labels that take longer are not known.
        is_relative: Whether the shares are of the labels within the longest age, since rows without a label are not
            known; otherwise they are of all rows.
    """

    delays: Floats
    shares: Floats
    low: Floats
    high: Floats
    labelled: int
    waiting: int
    longest: float
    is_relative: bool = False

    def share_within(self, ages: Floats) -> Floats:
        """Return the share of rows whose label arrives within each age, float64 [ages]."""
        steps = np.searchsorted(self.delays, ages, side="right")
        return np.asarray(np.concatenate([[0.0], self.shares])[steps])

    def expected(self, ages: Floats) -> Floats:
        """Return the probability that a row without a label still gets one by the longest age, float64 [rows].

        Args:
            ages: The age of each row without a label, float64 [rows].
        """
        final = self.shares[-1] if len(self.shares) else 0.0
        arrived = self.share_within(ages)
        return np.asarray(np.where(arrived < 1, (final - arrived) / np.maximum(1 - arrived, 1e-12), 0.0))


def delay_curve(delays: Floats, ages: Floats, alpha: float = 0.05) -> DelayCurve:
    """Return the delays of labels, from all rows with predictions.

    Args:
        delays: The time from each prediction to its label, float64 [rows]; NaN if there is none yet.
        ages: The time from each prediction until now, float64 [rows].
        alpha: The probability that the interval at one delay is wrong.
    """
    has_label = np.isfinite(delays)
    times = np.where(has_label, delays, ages)
    steps, arrived = np.unique(delays[has_label], return_counts=True)
    at_risk = len(times) - np.searchsorted(np.sort(times), steps, side="left")
    surviving = np.asarray(np.cumprod(1 - arrived / at_risk), np.float64)
    low, high = _log_log_interval(surviving, arrived, at_risk, alpha)
    return DelayCurve(
        delays=steps,
        shares=1 - surviving,
        low=1 - high,
        high=1 - low,
        labelled=int(has_label.sum()),
        waiting=int((~has_label).sum()),
        longest=float(ages.max(initial=0.0)),
    )


def truncated_delay_curve(delays: Floats, ages: Floats, alpha: float = 0.05) -> DelayCurve:
    """Return the delays of labels that have arrived, where rows without a label are not known.

    In reverse time, a label enters at the age of its row and is seen at its delay.

    Args:
        delays: The time from each prediction to its label, float64 [labels].
        ages: The time from each prediction until now, float64 [labels]; at least the delay.
        alpha: The probability that the interval at one delay is wrong.
    """
    steps, arrived = np.unique(delays, return_counts=True)
    up_to = np.searchsorted(np.sort(delays), steps, side="right")
    too_young = np.searchsorted(np.sort(ages), steps, side="left")
    at_risk = up_to - too_young
    # The probability of a delay up to a step is that of no later delay, step by step from the end.
    factors = 1 - arrived / np.maximum(at_risk, arrived)
    shares = np.append(np.cumprod(factors[:0:-1])[::-1], 1.0) if len(steps) else np.empty(0)
    low, high = _log_log_interval(shares[::-1], np.append(0, arrived[:0:-1]), np.append(1, at_risk[:0:-1]), alpha)
    return DelayCurve(
        delays=steps,
        shares=shares,
        low=low[::-1],
        high=high[::-1],
        labelled=len(delays),
        waiting=0,
        longest=float(ages.max(initial=0.0)),
        is_relative=True,
    )


def _log_log_interval(surviving: Floats, events: Ints, at_risk: Ints, alpha: float) -> tuple[Floats, Floats]:
    """Return the interval of a product of factors 1 - events / at_risk, [steps] each.

    The variance is Greenwood's, on the scale of log(-log), so that the interval stays between 0 and 1.
    """
    quantile = NormalDist().inv_cdf(1 - alpha / 2)
    is_inner = (surviving > 0) & (surviving < 1)
    variance = np.cumsum(events / np.maximum(at_risk * (at_risk - events), 1e-300))
    logs = np.log(np.where(is_inner, surviving, 0.5))
    spread = np.exp(quantile * np.sqrt(np.where(is_inner, variance, 0.0)) / np.abs(logs))
    inner = np.where(is_inner, surviving, 0.5)
    return np.where(is_inner, inner**spread, surviving), np.where(is_inner, inner ** (1 / spread), surviving)
