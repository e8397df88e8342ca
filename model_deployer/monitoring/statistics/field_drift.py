"""Whether a field, or a prediction, has left what the periods of its own training table were like.

The null hypothesis is that each live period resembles the units of the table: its own days, hours or groups. Rows of
one client, hour or day share much, so the dispersion is that between units, never that of independent rows.

The share of each bin is transformed by Anscombe's arcsine square root, which makes the noise of a count the same for
rare and frequent bins. In the units, a running mean over :data:`WINDOW` units is the level, and the rest is noise. The
null hypothesis allows every level between the lowest and the highest one, in any order and for any time: a cold month
is not drift if the table has one. The assumption is that the table covers the seasons; a season that it does not have
is drift. A weekday is part of the noise.

- The part of the range that noise alone explains is left out, at most as much as a confidence limit allows.
- A table shorter than a year has not seen all levels of a year. Its range grows with the square root of the time, as
  that of a random walk does, and by :data:`MARGIN`.

Under the null hypothesis, the distance of a period from the range, in units of the noise, has a p-value whatever
happened before; the noise has at most the tails of Student's t distribution. For each bin there are bets on a higher
and on a lower share, in three :data:`POWERS`: a period multiplies the capital by power x p ** (power - 1), whose mean
is at most 1 (Shafer, Shen, Vereshchagin, Vovk, "Test martingales, Bayes factors and p-values", arXiv 0912.4269). A
broken field shows with the first period, a small shift by its persistence.
"""

from dataclasses import dataclass
from math import lgamma, log, pi
from statistics import NormalDist
from typing import Literal

import numpy as np

from model_deployer.monitoring.statistics.evidence import YEAR_DAYS, Evidence, Floats, Ints, mixed_evidence

#: The number of units of a running mean: a week of days.
WINDOW = 7

#: Fewer units show no dispersion.
MIN_UNITS = 5

#: The range of levels is extended on both sides by this share of its half width: another year differs a little.
MARGIN = 0.5

#: The level of the upper confidence limits of the variances of noise and of levels.
CONFIDENCE = 0.9

#: The largest number of degrees of freedom of the noise: its tails are heavier than those of a normal distribution.
MAX_FREEDOM = 16

#: The noise is at least the most unusual unit divided by this: about the largest of 1,000 values of Student's t.
EXTREME = 3.5

#: The powers of p that are bet on: from a weak, long shift to a broken field.
POWERS = (0.5, 0.2, 0.05)

#: Without units, a level may be this far from the expected one on the scale of the arcsine. Over ten bins of equal
#: shares, that is an index (PSI) of about 0.35; above 0.25, a shift is usually called major. The noise is half of it.
ASSUMED_DISTANCE, ASSUMED_NOISE = 0.1, 0.05

#: The standard deviation of the transformed share of n rows, times the square root of n.
_SAMPLING_NOISE = 0.5

Dispersion = Literal["units", "unknown"]


@dataclass(frozen=True)
class UnitSpread:
    """How far the units of the training table differ, on the scale of the arcsine square root of shares.

    Attributes:
        lowest, highest: The range of the level of each bin, float64 [bins].
        noise: The standard deviation of a unit around its level, float64 [bins].
        rows: The median number of rows of a unit.
        freedom: The degrees of freedom of the noise.
        dispersion: ``units`` if it was estimated; ``unknown`` if it is the wide default, because the table does not say
            which rows belong to a day or group.
    """

    lowest: Floats
    highest: Floats
    noise: Floats
    rows: float
    freedom: int
    dispersion: Dispersion


@dataclass(frozen=True)
class FieldDrift:
    """What live periods say about a field.

    Attributes:
        evidence: The e-process against the null hypothesis.
        dispersion: See :attr:`UnitSpread.dispersion`.
        bin: The index of the bin that speaks most against the null hypothesis.
        is_higher: Whether the share of this bin is above its range; below otherwise.
        share: The share of this bin over the periods since the most probable start of a change, from 0 to 1.
        expected: The lowest and the highest level of the share of this bin in the units.
    """

    evidence: Evidence
    dispersion: Dispersion
    bin: int
    is_higher: bool
    share: float
    expected: tuple[float, float]


def spread_of_units(counts: Ints, year: int = YEAR_DAYS) -> UnitSpread:
    """Return the spread of the units of a training table.

    Args:
        counts: The number of rows of each unit in each bin, int64 [units, bins], in order of time. A unit is as long as
            a live period: days for days, hours for hours. Units without rows are left out.
        year: The number of periods for which the range has to hold.

    Raises:
        ValueError: if there are fewer than five units with rows.
    """
    counts = counts[counts.sum(axis=1) > 0]
    units = len(counts)
    if units < MIN_UNITS:
        raise ValueError(f"Expected at least {MIN_UNITS} units with rows; use assumed_spread() without units.")
    values = _transformed(counts)
    window = min(WINDOW, max(2, units // 3))
    levels = np.lib.stride_tricks.sliding_window_view(values, window, axis=0).mean(axis=-1)
    nearest = np.clip(np.arange(units) - window // 2, 0, len(levels) - 1)
    freedom = max(2, round(units * (1 - 1 / window)) - 1)
    residuals = values - levels[nearest]
    variance = (residuals**2).sum(axis=0) / freedom
    center, extent = _range_of_levels(levels, variance / window, units // window)
    growth = (1 + MARGIN) * np.sqrt(max(1, year / units))
    extent = np.maximum(growth * extent, 2 * np.sqrt(variance / units))
    return UnitSpread(
        lowest=center - extent,
        highest=center + extent,
        noise=np.maximum(np.sqrt(variance * _upper_factor(freedom)), np.abs(residuals).max(axis=0) / EXTREME),
        rows=float(np.median(counts.sum(axis=1))),
        freedom=min(freedom, MAX_FREEDOM),
        dispersion="units",
    )


def _range_of_levels(levels: Floats, noise_variance: Floats, windows: int) -> tuple[Floats, Floats]:
    """Return the middle of the levels and half of their range, without the part of noise, [bins] each.

    Args:
        levels: The running means, [positions, bins].
        noise_variance: The variance that noise alone gives to a running mean, [bins].
        windows: The number of running means that do not overlap.
    """
    variance = levels.var(axis=0)
    upper = variance.sum() * _upper_factor(max(1, windows))
    share = np.sqrt(max(0.0, 1 - noise_variance.sum() / max(upper, 1e-12)))
    mean, lowest, highest = levels.mean(axis=0), levels.min(axis=0), levels.max(axis=0)
    return mean + share * ((lowest + highest) / 2 - mean), share * (highest - lowest) / 2


def assumed_spread(shares: Floats, rows: int) -> UnitSpread:
    """Return a wide default for a table without units, whose dispersion is not known.

    Only shifts that are large by convention count then; see :data:`ASSUMED_DISTANCE`.

    Args:
        shares: The expected share of each bin, float64 [bins].
        rows: The number of rows of a live period for which the noise holds; smaller periods have more.
    """
    level = np.arcsin(np.sqrt(np.clip(shares, 0, 1)))
    noise = np.full(len(shares), ASSUMED_NOISE)
    return UnitSpread(level - ASSUMED_DISTANCE, level + ASSUMED_DISTANCE, noise, rows, MAX_FREEDOM, "unknown")


def field_drift(spread: UnitSpread, counts: Ints, horizon: int = YEAR_DAYS) -> FieldDrift:
    """Return the evidence that a field has left the spread of its units.

    Args:
        spread: The spread of the units.
        counts: The number of rows of each live period in each bin, int64 [periods, bins]. A period without rows is no
            evidence.
        horizon: The number of periods of a budget of false alarms: 365 for days, 8,760 for hours.
    """
    log_p = _log_p(spread, counts)
    powers = np.array(POWERS)
    log_bets = np.log(powers) + (powers - 1) * log_p[..., None]
    log_bets[counts.sum(axis=1) == 0] = 0
    evidence = mixed_evidence(log_bets.reshape(len(counts), -1), horizon)
    start = int(evidence.starts[-1]) if len(counts) else 0
    strategy = int(log_bets[start:].sum(axis=0).argmax())
    side, bin = divmod(strategy // len(POWERS), counts.shape[1])
    since = counts[start:].sum(axis=0)
    return FieldDrift(
        evidence=evidence,
        dispersion=spread.dispersion,
        bin=bin,
        is_higher=side == 0,
        share=float(since[bin] / max(1, since.sum())),
        expected=(_share(spread.lowest[bin]), _share(spread.highest[bin])),
    )


def _log_p(spread: UnitSpread, counts: Ints) -> Floats:
    """Return ln p of each period, upwards and downwards, in each bin, [periods, 2, bins].

    Where x is above 0 and y = f / (f + x^2), Student's t with f degrees of freedom exceeds x with the probability
    1/2 c y ** (f / 2) sqrt(1 - y) (1 + ...), the series of the incomplete beta function, which is at most 1 / (1 - y);
    Chernoff's bound, 1/2 y ** (f / 2), is lower for small x.
    """
    rows = counts.sum(axis=1, keepdims=True)
    values = _transformed(counts)
    # As if all noise were of rows and clients: it grows where a period is smaller than a unit, and does not shrink.
    noise = np.maximum(spread.noise, _SAMPLING_NOISE / np.sqrt(spread.rows))
    noise = noise * np.sqrt(np.maximum(1, spread.rows / np.maximum(1, rows)))
    distances = np.stack([values - spread.highest, spread.lowest - values], axis=1) / noise[:, None]
    squares, half = np.maximum(distances, 0) ** 2 / spread.freedom, spread.freedom / 2
    constant = lgamma(half + 0.5) - lgamma(half + 1) - log(pi) / 2
    with np.errstate(divide="ignore"):
        series = constant - 0.5 * np.log(squares / (1 + squares))
    tails = -log(2) - half * np.log1p(squares) + np.minimum(0, series)
    return np.where(distances > 0, tails, 0.0)


def _transformed(counts: Ints) -> Floats:
    """Return Anscombe's transformation of the shares, [units, bins] (1948, "The transformation of ... data")."""
    rows = counts.sum(axis=1, keepdims=True)
    return np.asarray(np.arcsin(np.sqrt((counts + 3 / 8) / (rows + 3 / 4))))


def _share(value: float) -> float:
    return float(np.sin(np.clip(value, 0, np.pi / 2)) ** 2)


def _upper_factor(freedom: int) -> float:
    """Return the upper end of the confidence interval of a variance, as a multiple of its estimate.

    The quantile of chi-squared is Wilson and Hilferty's approximation.
    """
    spread = 2 / (9 * freedom)
    return float((1 - spread - NormalDist().inv_cdf(CONFIDENCE) * np.sqrt(spread)) ** -3)
