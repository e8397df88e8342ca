"""Rows of a conformed frame as a client sends them."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from contract.features import EXACT_INTEGER, Boolean, Categorical, Datetime, Feature, Integer, Numeric

EPOCH = datetime(1970, 1, 1)

#: The first and the last second that ISO 8601 writes with four digits a year.
_CALENDAR = (datetime.min - EPOCH).total_seconds(), (datetime.max - EPOCH).total_seconds() - 1

Row = dict[str, Any]


def legal(features: Sequence[Feature]) -> pl.Expr:
    """Whether a client may send a row: every value within its feature's contract."""
    return pl.all_horizontal(_legal(feature) for feature in features)


def request(features: Sequence[Feature], row: Row) -> Row:
    """A legal row of a conformed frame as JSON; a missing value is null."""
    return {feature.name: _json(feature, row[feature.name]) for feature in features}


def _legal(feature: Feature) -> pl.Expr:
    value = pl.col(feature.name)
    if feature.dtype == "string":
        absent, present = value == "", pl.lit(True)
        if isinstance(feature, Categorical) and feature.unknown == "reject":
            present = value.is_in(list(feature.categories or ()))
    else:
        absent, present = value.is_nan(), _legal_number(feature, value)
    return (absent & pl.lit(feature.nullable)) | (~absent & present)


def _legal_number(feature: Feature, value: pl.Expr) -> pl.Expr:
    if isinstance(feature, Datetime):
        return value.is_between(*_CALENDAR)
    present = value.is_finite()
    if isinstance(feature, Integer):
        present &= value.abs() <= EXACT_INTEGER
    if isinstance(feature, Numeric | Integer) and feature.out_of_range == "reject":
        low = -math.inf if feature.minimum is None else feature.minimum
        high = math.inf if feature.maximum is None else feature.maximum
        present &= value.is_between(low, high)
    return present


def _json(feature: Feature, value: Any) -> Any:
    if value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    match feature:
        case Integer():
            return int(value)
        case Boolean():
            return bool(value)
        case Datetime():
            return (EPOCH + timedelta(seconds=value)).isoformat() + ("Z" if feature.zoned else "")
    return value
