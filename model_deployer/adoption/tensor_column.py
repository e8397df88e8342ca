"""Columns of tensors in a table: lists of lists of numbers, of any number of levels."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.nested_lists import Level, NestedLists
from model_deployer.contract.tensor_batch import padded


def tensor_type(axes: int) -> pl.DataType:
    """Return the type of a column of tensors with this number of axes."""
    dtype: pl.DataType = pl.Float64()
    for _ in range(axes):
        dtype = pl.List(dtype)
    return dtype


def axes_of(dtype: pl.DataType) -> int:
    """Return the number of axes of the values of a column of nested lists or arrays; 0 if they are not numbers."""
    axes, inner = 0, dtype
    while isinstance(inner, pl.List | pl.Array):
        axes, inner = axes + 1, pl.Series(dtype=inner).dtype.inner  # type: ignore[attr-defined]
    return axes if inner.is_numeric() else 0


def padded_tensors(column: pl.Series) -> NDArray[np.float64]:
    """Return a column of nested lists as one array with NaN after the ends of smaller tensors, [rows, *shape]."""
    return padded(tensor_values(column), [1] * axes_of(column.dtype))


def tensor_values(column: pl.Series) -> list[Any]:
    """Return the value of each row of a column of nested lists.

    Each is an array, float64 with NaN for null; nested lists if it is not rectangular; None if it is null or empty.
    """
    levels, items = [], column
    while isinstance(items.dtype, pl.List):
        lengths = items.list.len().fill_null(0)
        offsets = np.concatenate([[0], lengths.to_numpy().cumsum(dtype=np.int64)])
        levels.append(Level(offsets, items.is_null().to_numpy() if items.null_count() else None))
        items = items.filter(lengths > 0).explode()
    numbers = items.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    is_present = np.diff(levels[0].offsets) > 0
    values = NestedLists(levels, numbers).values()
    return [value if present else None for value, present in zip(values, is_present.tolist(), strict=True)]
