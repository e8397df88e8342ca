"""The columns that the graph takes, built from rows: one array per feature, [rows, *shape], float64 or str objects."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.features import Datetime, Feature, Image, NumberArray
from model_deployer.contract.tensor_batch import padded_elements
from model_deployer.serving import memory
from model_deployer.serving.rows.images import image_column

#: The graph's inputs by feature: arrays of [rows, 1], float64 or str objects; of a vector, a sequence or a tensor
#: [rows, *shape], float64, with NaN after the ends; of an image [rows, height, width, channels], uint8.
Columns = Mapping[str, NDArray[Any]]

#: The validated values of a row in the contract's order, or of a feature in the order of the rows; None for missing.
Values = Sequence[Any]

_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)


class Table:
    """Rows in the form of columns, as from Arrow and Parquet. They are counted and sliced like a list of rows.

    Attributes:
        columns: The graph's inputs.
        ids: The callers' ids of the rows (:mod:`serving.rows.row_id`); None if they have none. A slice has none.
    """

    def __init__(self, columns: Columns, ids: Values | None = None) -> None:
        self.columns = columns
        self.ids = ids

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, rows: slice) -> "Table":
        return Table({name: array[rows] for name, array in self.columns.items()})


class ColumnBuilder:
    """Turns validated rows into columns."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self._numeric = [(index, feature.name) for index, feature in enumerate(features) if _is_numeric(feature)]
        self._converted = [
            (index, feature.name, _converter(feature))
            for index, feature in enumerate(features)
            if not _is_numeric(feature)
        ]
        self._padded = [
            index
            for index, feature in enumerate(features)
            if isinstance(feature, NumberArray) and not feature.has_fixed_shape
        ]

    def __call__(self, rows: Sequence[Values]) -> Columns:
        """Return the columns of at least one row.

        Args:
            rows: The values of each row in the contract's order, None for missing. An id that follows them is left out.

        Returns:
            One array per feature, [rows, *shape]: float64 with NaN for missing, or str objects with "" for missing.
        """
        return self.columns(list(zip(*rows, strict=True)))

    def reserve(self, values: Sequence[Values]) -> None:
        """Reserve the memory that sequences and tensors take as columns, in which all are as large as the largest.

        Args:
            values: The values of each feature, in the contract's order, as for :meth:`columns`.

        Raises:
            RequestError: as :func:`model_deployer.serving.memory.reserve`.
        """
        for index in self._padded:
            memory.reserve(8 * padded_elements([np.shape(value) for value in values[index] if value is not None]))

    def columns(self, values: Sequence[Values]) -> Columns:
        """Return the columns for the values of each feature, in the contract's order; otherwise as a call."""
        columns = {name: convert(values[index]) for index, name, convert in self._converted}
        if self._numeric:
            # One array for all numbers: for few rows, numpy takes longer to create an array than to fill it.
            numbers = np.array([values[index] for index, _ in self._numeric], dtype=np.float64)[:, :, None]
            columns.update(zip((name for _, name in self._numeric), numbers, strict=True))
        return columns


def _is_numeric(feature: Feature) -> bool:
    """Return whether numpy converts the values of a feature by itself: None to NaN, True to 1.0."""
    return feature.dtype == "float64" and not isinstance(feature, Datetime | NumberArray)


def _converter(feature: Feature) -> Callable[[Values], NDArray[Any]]:
    if isinstance(feature, Datetime):
        return _zoned_times if feature.zoned else _local_times
    if isinstance(feature, Image):
        return image_column
    if isinstance(feature, NumberArray):
        return feature.column
    return _strings


def _strings(values: Values) -> NDArray[Any]:
    return np.array([value or "" for value in values], dtype=object).reshape(-1, 1)


def _local_times(values: Values) -> NDArray[Any]:
    return _seconds([None if value is None else (value - _EPOCH).total_seconds() for value in values])


def _zoned_times(values: Values) -> NDArray[Any]:
    return _seconds([None if value is None else (value - _EPOCH_UTC).total_seconds() for value in values])


def _seconds(values: Sequence[float | None]) -> NDArray[Any]:
    return np.array(values, dtype=np.float64).reshape(-1, 1)
