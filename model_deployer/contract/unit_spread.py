"""How far the units of a training table differ: its days, or groups of its rows, which share much.

The share of each bin is transformed by Anscombe's arcsine square root, which makes the noise of a count the same for
rare and frequent bins. The share in :data:`WINDOW` successive units is the level, and the rest is noise. The table is
assumed to cover the seasons. A weekday is part of the noise.

- The part of the range of levels that noise alone explains is left out, at most as much as a confidence limit allows.
- A table shorter than a year has not seen all levels of a year. Its range grows with the square root of the time, as
  that of a random walk does.
- Another year differs: the range grows by :data:`MARGIN`, and by a confidence limit, since a few weeks hardly say how
  far weeks differ.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: The days of a year.
_YEAR_DAYS = 365

#: The number of units that show a level: a week of days.
WINDOW = 7

#: Fewer units show no dispersion.
MIN_UNITS = 5

#: The range of levels is extended on both sides by this share of its half width: another year differs.
MARGIN = 0.75

#: The level of the upper confidence limits of the variances of noise and of levels.
CONFIDENCE = 0.9

#: The largest number of degrees of freedom of the noise: its tails are heavier than those of a normal distribution.
MAX_FREEDOM = 16

#: The noise is at least the most unusual unit divided by this: about the largest of 1,000 values of Student's t.
EXTREME = 3.5

#: Without units, a level may be this far from the expected one on the scale of the arcsine. Over ten bins of equal
#: shares, that is an index (PSI) of about 0.35; above 0.25, a shift is usually called major. The noise is half of it.
ASSUMED_DISTANCE, ASSUMED_NOISE = 0.1, 0.05

Dispersion = Literal["units", "unknown"]


@dataclass(frozen=True)
class UnitSpread:
    """How far the units of the training table differ, on the scale of the arcsine square root of shares.

    Attributes:
        lowest, highest: The range of the level of each bin, float64 [bins].
        noise: The standard deviation of a unit around its level, float64 [bins].
        rows: The number of rows of the unit that an average row is in.
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


def spread_of_units(counts: Ints, year: int = _YEAR_DAYS) -> UnitSpread:
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
    rows = counts.sum(axis=1, keepdims=True)
    # The size of the unit that an average row is in: hours of the night are many, but have few of the rows.
    usual_rows = float((rows**2).sum() / rows.sum())
    window = min(WINDOW, max(2, units // 3))
    levels = _levels(counts, rows, window, usual_rows)
    nearest = np.clip(np.arange(units) - window // 2, 0, len(levels) - 1)
    freedom = max(2, round(units * (1 - 1 / window)) - 1)
    # What a unit with few rows differs by counts as little as it does in a live period with few rows.
    residuals = anscombe(counts, rows) - anscombe(rows * levels[nearest], rows)
    residuals = residuals * np.sqrt(np.minimum(1, rows / usual_rows))
    variance = (residuals**2).sum(axis=0) / freedom
    levels = anscombe(usual_rows * levels, usual_rows)
    center, extent = _range_of_levels(levels, variance / window, units // window)
    extent = np.maximum(range_growth(units, units // window, year) * extent, 2 * np.sqrt(variance / units))
    return UnitSpread(
        lowest=center - extent,
        highest=center + extent,
        noise=np.maximum(np.sqrt(variance * upper_factor(freedom)), np.abs(residuals).max(axis=0) / EXTREME),
        rows=usual_rows,
        freedom=min(freedom, MAX_FREEDOM),
        dispersion="units",
    )


def range_growth(units: int, levels: int, year: int = _YEAR_DAYS) -> float:
    """Return how many times as wide the range of levels of a year is as that of a table: another year differs.

    Args:
        units: The number of units of the table.
        levels: The number of levels that its range is of, from units that do not overlap.
        year: The number of periods for which the range has to hold.
    """
    # A few levels may be alike by chance.
    doubt = upper_factor(max(1, levels - 1))
    return float((1 + MARGIN) * np.sqrt(doubt * max(1, year / units)))


def _levels(counts: Ints, rows: Ints, window: int, usual_rows: float) -> Floats:
    """Return the share of each bin in successive units, [positions, bins].

    The level of few rows is drawn towards that of all rows, so that it has no more noise than other levels.

    Args:
        counts: The number of rows of each unit in each bin, [units, bins].
        rows: The number of rows of each unit, [units, 1].
        window: The number of successive units.
        usual_rows: The usual number of rows of a unit.
    """
    in_window, rows_in_window = (
        np.lib.stride_tricks.sliding_window_view(each, window, axis=0).sum(axis=-1) for each in (counts, rows)
    )
    overall = counts.sum(axis=0) / rows.sum()
    weights = np.sqrt(np.minimum(1, rows_in_window / (window * usual_rows)))
    return np.asarray(overall + weights * (in_window / rows_in_window - overall))


def _range_of_levels(levels: Floats, noise_variance: Floats, windows: int) -> tuple[Floats, Floats]:
    """Return the middle of the levels and half of their range, without the part of noise, [bins] each.

    Args:
        levels: The transformed levels, [positions, bins].
        noise_variance: The variance that noise alone gives to a level, [bins].
        windows: The number of levels from units that do not overlap.
    """
    variance = levels.var(axis=0)
    upper = variance.sum() * upper_factor(max(1, windows))
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
    level = anscombe(rows * shares.clip(0, 1), rows)
    noise = np.full(len(shares), ASSUMED_NOISE)
    return UnitSpread(level - ASSUMED_DISTANCE, level + ASSUMED_DISTANCE, noise, rows, MAX_FREEDOM, "unknown")


def transformed_shares(counts: Ints) -> Floats:
    """Return Anscombe's transformation of the shares, [units, bins] -> [units, bins]."""
    return anscombe(counts, counts.sum(axis=1, keepdims=True))


def anscombe(counts: Floats | Ints, rows: Ints | float) -> Floats:
    """Return the transformation of counts among a number of rows.

    Source: Anscombe (1948), "The transformation of Poisson, binomial and negative-binomial data".
    """
    return np.asarray(np.arcsin(np.sqrt((counts + 3 / 8) / (rows + 3 / 4))))


def shares_of_levels(levels: Floats, rows: float) -> Floats:
    """Return the shares that levels of units with a number of rows stand for, from 0 to 1."""
    return np.asarray(((np.sin(levels.clip(0, np.pi / 2)) ** 2 * (rows + 3 / 4) - 3 / 8) / rows).clip(0, 1))


def upper_factor(freedom: int) -> float:
    """Return the upper end of the confidence interval of a variance, as a multiple of its estimate.

    The quantile of chi-squared is Wilson and Hilferty's approximation.
    """
    spread = 2 / (9 * freedom)
    return float((1 - spread - NormalDist().inv_cdf(CONFIDENCE) * np.sqrt(spread)) ** -3)
