"""Columns of vectors: lists of numbers of one length."""

import math

import polars as pl

from model_deployer.contract.errors import DataError
from model_deployer.contract.features import Vector


def conformed_vectors(column: pl.Series, feature: Vector, offset: int = 0) -> pl.Series:
    """Return a column of lists or arrays of numbers as a conformed frame holds vectors.

    Args:
        column: The column; null for a missing vector.
        feature: The feature.
        offset: The number of rows of the table that come before these, for the row number in the error.

    Returns:
        An Array of Float64 of the length of the feature, with NaN in all places for a missing vector.

    Raises:
        DataError: if the column has another type, or a list has another length or a null in it; the message counts rows
            from 1.
    """
    dtype = column.dtype
    if not isinstance(dtype, pl.List | pl.Array) or not _is_number(dtype.inner):
        raise DataError(f"column '{column.name}' holds {dtype}; expected {feature.expected()}")
    lists = column.cast(pl.List(pl.Float64))
    is_wrong = ((lists.list.len() != feature.length) | lists.list.eval(pl.element().is_null()).list.any()) & (
        lists.is_not_null()
    )
    if is_wrong.any():
        row = offset + int(is_wrong.arg_true()[0]) + 1
        raise DataError(f"column '{column.name}', row {row}: expected {feature.expected()}")
    missing = pl.Series([[math.nan] * feature.length], dtype=pl.List(pl.Float64))
    return lists.zip_with(lists.is_not_null(), missing.new_from_index(0, len(lists))).cast(
        pl.Array(pl.Float64, feature.length)
    )


def _is_number(dtype: object) -> bool:
    return isinstance(dtype, pl.DataType) and dtype.is_numeric()
