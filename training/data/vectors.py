"""Columns of vectors, sequences and tensors: lists of numbers, and nested lists."""

import math

import numpy as np
import polars as pl

from model_deployer.adoption.tensor_column import axes_of, tensor_type, tensor_values
from model_deployer.contract.errors import DataError
from model_deployer.contract.features import MAX_AXES, Dimensions, NumberArray, NumberList, Tensor


def conformed_arrays(column: pl.Series, feature: NumberArray, offset: int = 0) -> pl.Series:
    """Return a column of lists or arrays of numbers as a conformed frame holds vectors, sequences and tensors.

    Args:
        column: The column, of lists, or of their text in JSON; null for a missing value.
        feature: The feature.
        offset: The number of rows of the table that come before these, for the row number in the error.

    Returns:
        For a vector an Array of Float64 of its length, with NaN in all places for a missing one. For a sequence a List
        of Float64, for a tensor Lists of it in Lists, empty for a missing one.

    Raises:
        DataError: if the column has another type, or a value another shape or a null in it; the message counts rows
            from 1.
    """
    axes = len(feature.sizes)
    if column.dtype == pl.String:
        column = _of_json(column, feature, offset)
    if column.dtype != pl.Null and axes_of(column.dtype) != axes:
        raise DataError(f"column '{column.name}' holds {column.dtype}; expected {feature.expected()}")
    lists = column.cast(tensor_type(axes))
    is_wrong = _wrong_tensors(lists, feature) if isinstance(feature, Tensor) else _wrong_lists(lists, feature)
    if is_wrong.any():
        raise _error(column.name, offset + int(is_wrong.arg_true()[0]), feature)
    is_vector = isinstance(feature, NumberList) and feature.has_fixed_shape
    missing = pl.Series([[math.nan] * feature.shape[0] if is_vector else []], dtype=lists.dtype)
    present = lists.zip_with(lists.is_not_null(), missing.new_from_index(0, len(lists)))
    return present.cast(pl.Array(pl.Float64, feature.shape[0])) if is_vector else present


def table_dimensions(column: pl.Series) -> Dimensions | None:
    """Return the sizes of the axes of the tensors in a column, from the smallest to the largest; None for others.

    Args:
        column: A column of any type; text in JSON may hold nested lists.
    """
    if column.dtype == pl.String:
        axes = _nesting(next((text for text in column if text is not None), ""))
        column = _of_json_or_null(column, tensor_type(axes)) if axes > 1 else column
    axes = axes_of(column.dtype)
    if axes < 2:
        return None
    values = tensor_values(column.cast(tensor_type(axes)))
    shapes = np.array([value.shape for value in values if isinstance(value, np.ndarray)])
    if not shapes.size:
        return None
    ends = zip(shapes.min(axis=0).tolist(), shapes.max(axis=0).tolist(), strict=True)
    return tuple(low if low == high else (low, high) for low, high in ends)


def _nesting(text: str) -> int:
    """Return how many lists a text begins with."""
    stripped = "".join(text[:100].split())
    return min(len(stripped) - len(stripped.lstrip("[")), MAX_AXES)


def _of_json_or_null(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    try:
        return column.str.json_decode(dtype)
    except pl.exceptions.ComputeError:
        return pl.Series(column.name, [], dtype=dtype)


def _wrong_lists(lists: pl.Series, feature: NumberArray) -> pl.Series:
    low, high = feature.sizes[0]
    has_null = lists.list.eval(pl.element().is_null()).list.any()
    return (~lists.list.len().is_between(low, high) | has_null) & lists.is_not_null()


def _wrong_tensors(lists: pl.Series, feature: NumberArray) -> pl.Series:
    is_wrong = [
        value is not None and not (_is_full(value) and feature.accepts_shape(value.shape))
        for value in tensor_values(lists)
    ]
    return pl.Series(is_wrong, dtype=pl.Boolean) | (lists.list.len() == 0).fill_null(False)


def _is_full(value: object) -> bool:
    """Return whether a value has a number in every place, not nested lists of other lengths, or null."""
    return isinstance(value, np.ndarray) and not np.isnan(value).any()


def _of_json(column: pl.Series, feature: NumberArray, offset: int) -> pl.Series:
    """Return lists from their text in JSON."""
    dtype = tensor_type(len(feature.sizes))
    try:
        return column.str.json_decode(dtype)
    except pl.exceptions.ComputeError:
        for row, text in enumerate(column):
            if text is not None and not _is_json(text, dtype):
                raise _error(column.name, offset + row, feature) from None
        raise


def _is_json(text: str, dtype: pl.DataType) -> bool:
    try:
        pl.Series([text]).str.json_decode(dtype)
    except pl.exceptions.ComputeError:
        return False
    return True


def _error(name: str, row: int, feature: NumberArray) -> DataError:
    return DataError(f"column '{name}', row {row + 1}: expected {feature.expected()}")
