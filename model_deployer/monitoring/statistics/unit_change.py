"""Whether a number arrives in another unit: a factor of 1,000, miles for kilometres, Fahrenheit for Celsius.

Each known change is applied to the quantiles of the training table, and the result is compared with the live values. A
change is named if it leaves about as much difference as chance does. Where some callers changed and others did not, the
live values are a mixture of old and new ones; that is only named if both hardly overlap, because a mixture of similar
values looks like any real shift. Blocks are resampled for the confidence. A real shift by such a factor looks like
another unit, but is rare.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from model_deployer.monitoring.statistics.blocks import resampled_rows
from model_deployer.monitoring.statistics.evidence import Floats, Ints

#: The factors of units in use, with the name of the change. Each is tried in both directions.
FACTORS: Sequence[tuple[str, str, float]] = (
    ("miles", "kilometres", 1.609344),
    ("inches", "centimetres", 2.54),
    ("feet", "metres", 0.3048),
    ("pounds", "kilograms", 0.45359237),
    ("ounces", "grams", 28.349523125),
    ("gallons", "litres", 3.785411784),
    ("minutes", "seconds", 60.0),
    ("hours", "seconds", 3600.0),
    ("days", "hours", 24.0),
    ("days", "seconds", 86_400.0),
    ("years", "months", 12.0),
    ("years", "days", 365.25),
    ("knots", "kilometres per hour", 1.852),
)

#: The powers of ten.
POWERS_OF_TEN = (1, 2, 3, 6, 9)

#: The smallest mean distance between the live distribution and the old one that counts as a change. The largest one is
#: 0.5, of distributions that do not overlap.
MIN_DISTANCE = 0.08

#: A named change leaves at most this part of the distance, or twice what chance gives.
MAX_REMAINING = 0.1

#: Old and new values that are mixed have at least this mean distance.
MIN_SEPARATION = 0.48

#: The smallest confidence of a named change, and the number of bootstrap samples for it.
MIN_CONFIDENCE, SAMPLES = 0.8, 100

#: The live values that are compared at most.
_POINTS = 200


@dataclass(frozen=True)
class UnitChange:
    """A change of the unit of a number: live = factor x old + offset.

    Attributes:
        name: The change in words.
        factor, offset: What old values were multiplied by, and what was added then.
        share: The share of live rows with the new unit, from 0 to 1.
        confidence: The share of bootstrap samples of blocks that name this change, from 0 to 1.
    """

    name: str
    factor: float
    offset: float
    share: float
    confidence: float


def unit_change(quantiles: Floats, live: Floats, blocks: Ints, seed: int = 0) -> UnitChange | None:
    """Return the change of the unit of a number; None if there is none, or none that is clear.

    Args:
        quantiles: The quantiles of the number in the table, in equal steps from 0 to 1, float64 [levels], as in
            reference.json.
        live: The live values, float64 [rows]; missing ones, NaN, are left out.
        blocks: The block of each row, int64 [rows].
        seed: The seed of the bootstrap.
    """
    present = np.isfinite(live)
    live, blocks = live[present], blocks[present]
    if not len(live) or len(np.unique(quantiles)) < 3:
        return None
    changes = list(_changes())
    comparison = _Comparison(quantiles, live, changes)
    random = np.random.default_rng(seed)
    samples = [comparison.shares_up_to(resampled_rows(blocks, random)) for _ in range(SAMPLES)]
    whole = comparison.shares_up_to(np.arange(len(live)))
    noise = float(np.mean([comparison.distance(each, whole) for each in samples]))
    distance = comparison.distance(whole, comparison.old)
    if distance < MIN_DISTANCE:
        return None
    for is_mixture in (False, True):
        remaining, shares = comparison.remaining(whole, is_mixture)
        best = int(remaining.argmin())
        if remaining[best] <= max(MAX_REMAINING * distance, 2 * noise):
            votes = [int(comparison.remaining(each, is_mixture)[0].argmin()) for each in samples]
            confidence = votes.count(best) / len(votes)
            name, factor, offset = changes[best]
            change = UnitChange(name, factor, offset, float(shares[best]), confidence)
            return change if confidence >= MIN_CONFIDENCE else None
    return None


def _changes() -> Iterator[tuple[str, float, float]]:
    """Yield the known changes: name, factor, offset."""
    for power in POWERS_OF_TEN:
        factor = 10**power
        yield f"multiplied by {factor:,}", float(factor), 0.0
        yield f"divided by {factor:,}", 1 / factor, 0.0
    for old, new, factor in FACTORS:
        yield f"{new} instead of {old}", factor, 0.0
        yield f"{old} instead of {new}", 1 / factor, 0.0
    yield "degrees Fahrenheit instead of Celsius", 1.8, 32.0
    yield "degrees Celsius instead of Fahrenheit", 1 / 1.8, -32 / 1.8
    yield "kelvins instead of degrees Celsius", 1.0, 273.15
    yield "degrees Celsius instead of kelvins", 1.0, -273.15
    yield "the opposite sign", -1.0, 0.0


class _Comparison:
    """Cumulative distributions at the same points: live, old, and with each change.

    Attributes:
        old: The share of rows of the table up to each point, [points].
    """

    def __init__(self, quantiles: Floats, live: Floats, changes: Sequence[tuple[str, float, float]]) -> None:
        levels = np.linspace(0, 1, _POINTS)
        points = np.concatenate([np.quantile(live, levels), np.quantile(quantiles, levels)])
        self._points, counts = np.unique(points, return_counts=True)
        # Half of the weight is at live values, and half at old ones.
        self._weights = counts / counts.sum()
        self.old = _cumulative(quantiles, self._points)
        new = [_cumulative(np.sort(factor * quantiles + offset), self._points) for _, factor, offset in changes]
        self._directions = np.stack(new) - self.old
        self._bins = np.searchsorted(self._points, live)

    def shares_up_to(self, rows: Ints) -> Floats:
        """Return the share of the live rows with these indices whose values are up to each point."""
        counts = np.bincount(self._bins[rows], minlength=len(self._points))
        return np.asarray(counts.cumsum() / len(rows))

    def distance(self, first: Floats, second: Floats) -> float:
        """Return the mean distance of two cumulative distributions."""
        return float(np.abs(first - second) @ self._weights)

    def remaining(self, live: Floats, is_mixture: bool) -> tuple[Floats, Floats]:
        """Return the distance that each change leaves, and the share of rows with it, [changes] each.

        Args:
            live: The share of live rows up to each point, [points].
            is_mixture: Whether only some of the rows have the change; otherwise all.
        """
        gap = live - self.old
        separations = np.abs(self._directions) @ self._weights
        scales = np.maximum(self._directions**2 @ self._weights, 1e-12)
        shares = ((gap * self._directions) @ self._weights / scales).clip(0, 1)
        if not is_mixture:
            shares = np.ones(len(shares))
        explained = np.where(is_mixture & (separations < MIN_SEPARATION), 0.0, shares)
        return np.asarray(np.abs(gap - explained[:, None] * self._directions) @ self._weights), shares


def _cumulative(quantiles: Floats, points: Floats) -> Floats:
    """Return the share of values up to each point, for quantiles in equal steps; repeated quantiles are steps."""
    levels = np.linspace(0, 1, len(quantiles))
    distinct, first = np.unique(quantiles, return_index=True)
    last = np.append(first[1:] - 1, len(quantiles) - 1)
    shares = np.interp(points, distinct, levels[last])
    return np.asarray(np.where(points < distinct[0], 0.0, shares))
