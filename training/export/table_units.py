"""The units of a table: its days, or the units in their place, over its training and its test part."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.drift import Unit
from model_deployer.contract.reference import Distribution
from model_deployer.contract.unit_spread import MIN_UNITS
from model_deployer.training.data.traffic import MIN_DAY_ROWS
from model_deployer.training.export.drift_replay import ReplayedRows


class TableUnits:
    """The units with enough rows, in order of time. A day with rows of both parts is one unit.

    Args:
        parts: The parts of the table, in order of time, with the same unit.

    Attributes:
        unit: What a unit is.
        count: Their number.
        numbers: The index of the unit of each arrival of all parts, int64 [arrivals]; -1 if it has too few rows.
    """

    def __init__(self, parts: Sequence[ReplayedRows]) -> None:
        self._parts = parts
        self.unit: Unit = parts[0].arrivals.unit
        numbers, end = [], 0
        for part in parts:
            days = part.arrivals.days
            shift = 0 if self.unit == "day" else end - int(days.min(initial=0))
            numbers.append(days + shift)
            end = int(numbers[-1].max(initial=0)) + 1
        units, positions, rows = np.unique(np.concatenate(numbers), return_inverse=True, return_counts=True)
        is_kept = rows >= MIN_DAY_ROWS
        self.count = int(is_kept.sum())
        self.numbers = np.where(is_kept, np.cumsum(is_kept) - 1, -1)[positions] if len(units) else positions

    @property
    def rows(self) -> NDArray[np.int64]:
        """The number of rows of each unit, int64 [units]."""
        return np.bincount(self.numbers[self.numbers >= 0], minlength=self.count)

    def codes(self, name: str, distribution: Distribution) -> NDArray[np.intp]:
        """Return the index of the bin of each arrival, [arrivals], in a feature or prediction."""
        return np.concatenate([distribution.codes(part.values(name)) for part in self._parts])


def table_units(training: ReplayedRows, test: ReplayedRows) -> TableUnits | None:
    """Return the units of a table; None if it has none, or fewer than five with enough rows.

    Args:
        training: The training and validation rows.
        test: The test rows.
    """
    unit = training.arrivals.unit
    if unit == "random":
        return None
    units = TableUnits([training, *([test] if test.arrivals.unit == unit else [])])
    return units if units.count >= MIN_UNITS else None
