"""The part of reference.json about drift: how far single days of the table differ from all of it, and the thresholds.

The measure is the population stability index (PSI) over bins: the sum of (live - expected) x ln(live / expected) over
their shares. For two samples of the same population, of m and n rows in k bins, it is approximately (1/m + 1/n) times a
chi-squared variable with k - 1 degrees of freedom (Yurdakul, 2018, "Statistical properties of the population stability
index"). Rows of one day have more in common than that, so a threshold that holds for days is found by replaying them.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.document import JsonObject

#: The smallest share in an index: the logarithm of a smaller one would be dominated by chance.
MIN_SHARE = 0.001

#: Categories with a smaller share are merged into one bin: each of them would add more noise than information.
MIN_CATEGORY_SHARE = 0.05

#: The bin of missing values, and the one of all values that have no bin of their own.
MISSING, OTHER = "missing", "other"

#: What a replayed day is: a day of the table's time column, or 1,000 rows: in the order of a time column that has few
#: rows a day or no calendar, of whole groups, or drawn at random.
Unit = Literal["day", "rows", "group", "random"]

#: The faults that are planted: all values are missing; all are the same, the commonest one; all are 1,000 times, or
#: 1.609344 times (kilometres for miles) as large; the commonest category does not occur any more.
FaultName = Literal["missing", "constant", "thousandfold", "kilometres", "vanished"]


class UnusualDay(JsonObject):
    """The day on which a distribution differs most from the expected one.

    Attributes:
        index: The index of this day.
        shares: The share of its rows in each bin, from 0 to 1.
    """

    index: float
    shares: Mapping[str, float]


class PlantedFault(JsonObject):
    """A fault that was planted into the replayed rows.

    Attributes:
        fault: What was changed.
        is_refused: Whether the service refuses such rows, so that they reach no model and cause no drift.
        index: The index of a day on which all rows have the fault.
        rows: The number of rows with the fault after which the index exceeds the threshold, following a normal day;
            None if it never does.
        shares: The share of the rows in each bin on a day on which all rows have the fault.
    """

    fault: FaultName
    is_refused: bool
    index: float
    rows: int | None
    shares: Mapping[str, float]

    @property
    def is_found(self) -> bool:
        """Whether an alert on drift reports the fault."""
        return self.rows is not None and not self.is_refused


class ReplayedDistribution(JsonObject):
    """The replay of one feature or prediction.

    Attributes:
        threshold: The index above which a day is unusual.
        training: The most unusual day of the training and validation rows on which no alert fires; None if no day has
            enough rows.
        test: The most unusual day of the test rows; None if no day has enough rows.
        faults: The planted faults.
    """

    threshold: float
    training: UnusualDay | None
    test: UnusualDay | None
    faults: tuple[PlantedFault, ...]

    @property
    def is_watched(self) -> bool:
        """Whether an alert is of use: whether it finds any planted fault."""
        return any(fault.is_found for fault in self.faults)


class ReplayedPart(JsonObject):
    """The replay of one part of the table.

    Attributes:
        unit: What a day is.
        days: The number of days with enough rows.
        days_with_alerts: The number of these days on which the index of any distribution exceeds its threshold.
    """

    unit: Unit
    days: int
    days_with_alerts: int


class Drift(JsonObject):
    """The replay of the table.

    Attributes:
        min_rows: The number of rows below which a day of live traffic is not compared.
        training: The replay of the training and validation rows.
        test: The replay of the test rows.
        features: The replay of each feature except times, by name.
        predictions: The replay of each prediction, by tensor and column.
    """

    min_rows: int
    training: ReplayedPart
    test: ReplayedPart
    features: Mapping[str, ReplayedDistribution]
    predictions: Mapping[str, ReplayedDistribution]


def index_bins(shares: Mapping[str, float], is_category: bool) -> list[str]:
    """Return the bins that an index has terms for; one more term is for all other bins together.

    Args:
        shares: The expected share of each bin.
        is_category: Whether the bins are categories: only frequent ones have a term.
    """
    if not is_category:
        return list(shares)
    return [bin for bin, share in shares.items() if bin == MISSING or (bin != OTHER and share >= MIN_CATEGORY_SHARE)]


def stability_index(live: NDArray[np.float64], expected: Sequence[float]) -> NDArray[np.float64]:
    """Return the population stability index of each day.

    Args:
        live: The shares of each day in the bins with a term, [days, bins].
        expected: The expected shares of these bins, [bins].

    Returns:
        The index of each day, [days].
    """
    shares = np.column_stack([live, 1 - live.sum(axis=1)]).clip(MIN_SHARE)
    all_expected = np.append(expected, 1 - np.sum(expected)).clip(MIN_SHARE)
    return np.asarray(((shares - all_expected) * np.log(shares / all_expected)).sum(axis=1))
