"""Rows of a request as the arrays that the graph takes: one per feature, [rows, 1], float64 or string."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.features import Datetime, Feature

Columns = Mapping[str, NDArray[Any]]
Values = Sequence[Any]

_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)


class Stacker:
    """Turns validated rows (tuples in the contract's order, None for missing) into columns."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self._converters = [(feature.name, _converter(feature)) for feature in features]

    def __call__(self, rows: Sequence[Values]) -> dict[str, NDArray[Any]]:
        """The columns of at least one row."""
        columns = zip(*rows, strict=True)
        return {name: convert(values) for (name, convert), values in zip(self._converters, columns, strict=True)}


def _converter(feature: Feature) -> Callable[[Values], NDArray[Any]]:
    if isinstance(feature, Datetime):
        return _zoned_times if feature.zoned else _local_times
    return _strings if feature.dtype == "string" else _numbers


def _numbers(values: Values) -> NDArray[Any]:
    # numpy reads None as NaN and True as 1.0 when it is told that the result is float64.
    return np.array(values, dtype=np.float64).reshape(-1, 1)


def _strings(values: Values) -> NDArray[Any]:
    return np.array([value or "" for value in values], dtype=object).reshape(-1, 1)


def _local_times(values: Values) -> NDArray[Any]:
    return _numbers([None if value is None else (value - _EPOCH).total_seconds() for value in values])


def _zoned_times(values: Values) -> NDArray[Any]:
    return _numbers([None if value is None else (value - _EPOCH_UTC).total_seconds() for value in values])
