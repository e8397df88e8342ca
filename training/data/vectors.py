"""Columns of vectors and of sequences: lists of numbers."""

import math

import polars as pl

from model_deployer.contract.errors import DataError
from model_deployer.contract.features import NumberList


def conformed_lists(column: pl.Series, feature: NumberList, offset: int = 0) -> pl.Series:
    """Return a column of lists or arrays of numbers as a conformed frame holds vectors and sequences.

    Args:
        column: The column; null for a missing value.
        feature: The feature.
        offset: The number of rows of the table that come before these, for the row number in the error.

    Returns:
        For a vector an Array of Float64 of its length, with NaN in all places for a missing one. For a sequence a List
        of Float64, empty for a missing one.

    Raises:
        DataError: if the column has another type, or a list has another length or a null in it; the message counts rows
            from 1.
    """
    dtype = column.dtype
    if not isinstance(dtype, pl.List | pl.Array) or not _is_number(dtype.inner):
        raise DataError(f"column '{column.name}' holds {dtype}; expected {feature.expected()}")
    lists = column.cast(pl.List(pl.Float64))
    low, high = feature.lengths
    has_null = lists.list.eval(pl.element().is_null()).list.any()
    is_wrong = (~lists.list.len().is_between(low, high) | has_null) & lists.is_not_null()
    if is_wrong.any():
        row = offset + int(is_wrong.arg_true()[0]) + 1
        raise DataError(f"column '{column.name}', row {row}: expected {feature.expected()}")
    missing = pl.Series([[math.nan] * high if feature.has_fixed_length else []], dtype=pl.List(pl.Float64))
    present = lists.zip_with(lists.is_not_null(), missing.new_from_index(0, len(lists)))
    return present.cast(pl.Array(pl.Float64, high)) if feature.has_fixed_length else present


def _is_number(dtype: object) -> bool:
    return isinstance(dtype, pl.DataType) and dtype.is_numeric()
