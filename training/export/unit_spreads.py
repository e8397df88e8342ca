"""How far the units of a table differ in each distribution: its days, or what stands for them, see Spreads."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.features import Feature
from model_deployer.contract.reference import BinSpread, Distribution, Reference, Spreads
from model_deployer.contract.unit_spread import MIN_UNITS, UnitSpread, spread_of_units
from model_deployer.training.data.traffic import MIN_DAY_ROWS
from model_deployer.training.export.drift_replay import ReplayedRows

#: The digits of a number after the point: a share of 50 % is then exact to 0.001 %.
_DIGITS = 5


def unit_spreads(
    features: Sequence[Feature], reference: Reference, training: ReplayedRows, test: ReplayedRows
) -> Spreads | None:
    """Return how far the units of a table differ; None if it has none, or fewer than five with enough rows.

    Args:
        features: The features of the model.
        reference: The expected distributions.
        training: The training and validation rows.
        test: The test rows.
    """
    unit = training.arrivals.unit
    if unit == "random":
        return None
    units = _Units([training, *([test] if test.arrivals.unit == unit else [])])
    if units.count < MIN_UNITS:
        return None
    is_time = {feature.name for feature in features if feature.kind == "datetime"}
    by_feature = {name: units.spread(name, each) for name, each in reference.features.items() if name not in is_time}
    by_prediction = {name: units.spread(name, each) for name, each in reference.predictions.items()}
    any_spread = next(iter(by_prediction.values()))
    return Spreads(
        unit=unit,
        units=units.count,
        rows=any_spread.rows,
        freedom=any_spread.freedom,
        features={name: _stored(each) for name, each in by_feature.items()},
        predictions={name: _stored(each) for name, each in by_prediction.items()},
    )


class _Units:
    """The units of both parts with enough rows, in order of time. A day with rows of both parts is one unit.

    Attributes:
        count: Their number.
    """

    def __init__(self, parts: Sequence[ReplayedRows]) -> None:
        self._parts = parts
        self._numbers, end = [], 0
        for part in parts:
            days = part.arrivals.days
            shift = 0 if part.arrivals.unit == "day" else end - int(days.min(initial=0))
            self._numbers.append(days + shift)
            end = int(self._numbers[-1].max(initial=0)) + 1
        numbers, rows = np.unique(np.concatenate(self._numbers), return_counts=True)
        self._kept = numbers[rows >= MIN_DAY_ROWS]
        self.count = len(self._kept)

    def spread(self, name: str, distribution: Distribution) -> UnitSpread:
        """Return the spread of a feature or prediction."""
        counts = [self._counts(index, name, distribution) for index in range(len(self._parts))]
        return spread_of_units(np.sum(counts, axis=0))

    def _counts(self, part: int, name: str, distribution: Distribution) -> NDArray[np.int64]:
        """Return the number of rows of one part in each unit and bin, [units, bins]."""
        codes, numbers = distribution.codes(self._parts[part].values(name)), self._numbers[part]
        is_kept = np.isin(numbers, self._kept)
        bins = len(distribution.shares())
        cells = np.searchsorted(self._kept, numbers[is_kept]) * bins + codes[is_kept]
        return np.bincount(cells, minlength=self.count * bins).reshape(-1, bins)


def _stored(spread: UnitSpread) -> BinSpread:
    lowest, highest, noise = (
        tuple(np.round(each, _DIGITS).tolist()) for each in (spread.lowest, spread.highest, spread.noise)
    )
    return BinSpread(lowest=lowest, highest=highest, noise=noise)
