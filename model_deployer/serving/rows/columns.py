"""Rows of a request as the arrays that the graph takes: one per feature, [rows, 1], float64 or string."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.features import Datetime, Feature

Columns = Mapping[str, NDArray[Any]]
Values = Sequence[Any]

_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)


class Table:
    """Rows that are columns already, as Arrow and Parquet send them; they are counted and cut like a list of rows."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, rows: slice) -> "Table":
        return Table({name: array[rows] for name, array in self.columns.items()})


class ColumnBuilder:
    """Turns validated rows (tuples in the contract's order, None for missing) into columns."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self._plain = [(place, each.name) for place, each in enumerate(features) if _is_plain(each)]
        self._others = [
            (place, each.name, _converter(each)) for place, each in enumerate(features) if not _is_plain(each)
        ]

    def __call__(self, rows: Sequence[Values]) -> Columns:
        """The columns of at least one row."""
        return self.columns(list(zip(*rows, strict=True)))

    def columns(self, values: Sequence[Values]) -> Columns:
        """The same from the values of each feature, in the contract's order."""
        columns = {name: convert(values[place]) for place, name, convert in self._others}
        if self._plain:
            # One array for all numbers: numpy takes longer to begin an array than to fill it with a few rows.
            numbers = np.array([values[place] for place, _ in self._plain], dtype=np.float64)[:, :, None]
            columns.update(zip((name for _, name in self._plain), numbers, strict=True))
        return columns


def _is_plain(feature: Feature) -> bool:
    """Whether numpy reads the values as they are: None as NaN, True as 1.0."""
    return feature.dtype == "float64" and not isinstance(feature, Datetime)


def _converter(feature: Feature) -> Callable[[Values], NDArray[Any]]:
    if isinstance(feature, Datetime):
        return _zoned_times if feature.zoned else _local_times
    return _strings


def _strings(values: Values) -> NDArray[Any]:
    return np.array([value or "" for value in values], dtype=object).reshape(-1, 1)


def _local_times(values: Values) -> NDArray[Any]:
    return _seconds([None if value is None else (value - _EPOCH).total_seconds() for value in values])


def _zoned_times(values: Values) -> NDArray[Any]:
    return _seconds([None if value is None else (value - _EPOCH_UTC).total_seconds() for value in values])


def _seconds(values: Sequence[float | None]) -> NDArray[Any]:
    return np.array(values, dtype=np.float64).reshape(-1, 1)
