"""Whether a field, or a prediction, has left what the periods of its own training table were like.

The null hypothesis is that each live period resembles the units of the table: its own days, hours or groups. Rows of
one client, hour or day share much, so the dispersion is that between units, never that of independent rows.

The null hypothesis allows every level between the lowest and the highest one of the units, in any order and for any
time: a cold month is not drift if the table has one. How levels and noise are estimated says
:mod:`model_deployer.contract.unit_spread`. The assumption is that the table covers the seasons; a season that it does
not have is drift.

Under the null hypothesis, the distance of a period from the range, in units of the noise, has a p-value whatever
happened before; the noise has at most the tails of Student's t distribution. For each bin there are bets on a higher
and on a lower share, in three :data:`POWERS`: a period multiplies the capital by power x p ** (power - 1), whose mean
is at most 1 (Shafer, Shen, Vereshchagin, Vovk, "Test martingales, Bayes factors and p-values", arXiv 0912.4269). A
broken field shows with the first period, a small shift by its persistence.
"""

from dataclasses import dataclass
from math import lgamma, log, pi

import numpy as np

from model_deployer.contract.unit_spread import Dispersion, UnitSpread, anscombe, shares_of_levels, transformed_shares
from model_deployer.monitoring.statistics.evidence import YEAR_DAYS, Evidence, Floats, Ints, mixed_evidence

#: The powers of p that are bet on: from a weak, long shift to a broken field.
POWERS = (0.5, 0.2, 0.05)

#: The standard deviation of the transformed share of n rows, times the square root of n.
_SAMPLING_NOISE = 0.5


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
    lowest, highest = (shares_of_levels(level[bin], spread.rows) for level in (spread.lowest, spread.highest))
    return FieldDrift(
        evidence=evidence,
        dispersion=spread.dispersion,
        bin=bin,
        is_higher=side == 0,
        share=float(since[bin] / max(1, since.sum())),
        expected=(float(lowest), float(highest)),
    )


def _log_p(spread: UnitSpread, counts: Ints) -> Floats:
    """Return ln p of each period, upwards and downwards, in each bin, [periods, 2, bins].

    Where x is above 0 and y = f / (f + x^2), Student's t with f degrees of freedom exceeds x with the probability
    1/2 c y ** (f / 2) sqrt(1 - y) (1 + ...), the series of the incomplete beta function, which is at most 1 / (1 - y);
    Chernoff's bound, 1/2 y ** (f / 2), is lower for small x.
    """
    rows = counts.sum(axis=1, keepdims=True)
    values = transformed_shares(counts)
    # As if all noise were of rows and clients: it grows where a period is smaller than a unit, and does not shrink.
    noise = np.maximum(spread.noise, _SAMPLING_NOISE / np.sqrt(spread.rows))
    noise = noise * np.sqrt(np.maximum(1, spread.rows / np.maximum(1, rows)))
    lowest, highest = (_for_rows(level, spread.rows, rows) for level in (spread.lowest, spread.highest))
    distances = np.stack([values - highest, lowest - values], axis=1) / noise[:, None]
    squares, half = np.maximum(distances, 0) ** 2 / spread.freedom, spread.freedom / 2
    constant = lgamma(half + 0.5) - lgamma(half + 1) - log(pi) / 2
    with np.errstate(divide="ignore"):
        series = constant - 0.5 * np.log(squares / (1 + squares))
    tails = -log(2) - half * np.log1p(squares) + np.minimum(0, series)
    return np.where(distances > 0, tails, 0.0)


def _for_rows(levels: Floats, unit_rows: float, rows: Ints) -> Floats:
    """Return what levels of units are for periods with another number of rows, [bins], [periods, 1] -> [periods, bins].

    The transformed share of a count of 0 depends on the number of rows.
    """
    return anscombe(rows * shares_of_levels(levels, unit_rows), rows)
