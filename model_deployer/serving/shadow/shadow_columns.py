"""The rows of a batch on their way to the shadow: the graph's inputs become columns that another contract validates."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.features import Boolean, Datetime, Feature, Image, NumberArray
from model_deployer.contract.tensor_batch import unpadded
from model_deployer.serving.rows.arrow import Column
from model_deployer.serving.rows.columns import Columns

_MICROSECONDS = 10**6


def message_columns(columns: Columns) -> dict[str, NDArray[Any]]:
    """Return the graph's inputs, [rows, *shape] each, as a message takes them: texts [rows]."""
    return {name: array[:, 0] if array.dtype == object else array for name, array in columns.items()}


def table_columns(features: Sequence[Feature], columns: Mapping[str, NDArray[Any]]) -> dict[str, Column]:
    """Return the columns of a message as those of a table, which the contract of another model validates.

    Args:
        features: The features of the model that answers callers.
        columns: The columns of :func:`message_columns`.
    """
    return {feature.name: _column(feature, columns[feature.name]) for feature in features}


def _column(feature: Feature, values: NDArray[Any]) -> Column:
    if feature.dtype == "string":
        return Column("text", values, values == "")
    if isinstance(feature, NumberArray):
        return _arrays(feature, values)
    numbers = values[:, 0]
    missing = np.isnan(numbers)
    if isinstance(feature, Boolean):
        return Column("boolean", numbers == 1, missing)
    if isinstance(feature, Datetime):
        counts = np.round(np.nan_to_num(numbers) * _MICROSECONDS).astype(np.int64)
        return Column("time", counts, missing, _MICROSECONDS, feature.zoned)
    return Column("number", numbers)


def _arrays(feature: NumberArray, values: NDArray[Any]) -> Column:
    """Return lists or tensors. NaN fills the places after their ends, and all places of a missing one."""
    missing = np.isnan(values.reshape(len(values), -1)[:, 0])
    if feature.has_fixed_shape:
        return Column("list", np.nan_to_num(values), missing)
    rows = np.empty(len(values), dtype=object)
    for row, value in enumerate(unpadded(values)):
        rows[row] = np.empty(0) if value is None else value
    return Column("list", rows, missing)


def images(features: Sequence[Feature]) -> list[str]:
    """Return the names of the images: their files are not kept after they were decoded."""
    return [feature.name for feature in features if isinstance(feature, Image)]
