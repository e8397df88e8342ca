"""Rows of a conformed frame as a client sends them, and the way back."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import and_
from typing import Any

import polars as pl

from model_deployer.contract.features import (
    MAX_CATEGORY_CHARACTERS,
    MAX_EXACT_INTEGER,
    Boolean,
    Categorical,
    Datetime,
    Feature,
    Integer,
    Numeric,
    Text,
)

EPOCH = datetime(1970, 1, 1)

#: The first and the last second that ISO 8601 writes with four digits a year.
_CALENDAR = (datetime.min - EPOCH).total_seconds(), (datetime.max - EPOCH).total_seconds() - 1

Row = dict[str, Any]


def legal(features: Sequence[Feature], frame: pl.DataFrame) -> pl.Series:
    """Which rows of a conformed frame a client may send: every value within its feature's contract."""
    return reduce(and_, (_legal(feature, frame[feature.name]) for feature in features))


def request(features: Sequence[Feature], row: Row) -> Row:
    """A legal row of a conformed frame as JSON; a missing value is null."""
    return {feature.name: _json(feature, row[feature.name]) for feature in features}


def conformed(features: Sequence[Feature], rows: Sequence[Row]) -> pl.DataFrame:
    """Rows as clients send them as a conformed frame; a field that is not there is missing, another one is left out."""
    schema = {feature.name: pl.String if feature.dtype == "string" else pl.Float64 for feature in features}
    values = [{feature.name: raw(feature, row.get(feature.name)) for feature in features} for row in rows]
    return pl.DataFrame(values, schema=schema)


def raw(feature: Feature, value: Any) -> float | str:
    """A value of JSON as a conformed frame holds it."""
    if value is None:
        return "" if feature.dtype == "string" else math.nan
    if isinstance(feature, Datetime):
        time = datetime.fromisoformat(str(value))
        local = time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
        return (local - EPOCH).total_seconds()
    return str(value) if feature.dtype == "string" else float(value)


def _legal(feature: Feature, values: pl.Series) -> pl.Series:
    if feature.dtype == "string":
        absent, present = values == "", _legal_strings(feature, values)
    else:
        absent, present = values.is_nan(), _legal_numbers(feature, values)
    return (absent & feature.nullable) | (~absent & present)


def _legal_strings(feature: Feature, values: pl.Series) -> pl.Series:
    if isinstance(feature, Categorical) and feature.unknown == "reject":
        return values.is_in(list(feature.categories or ()))
    return values.str.len_chars() <= (feature.longest if isinstance(feature, Text) else MAX_CATEGORY_CHARACTERS)


def _legal_numbers(feature: Feature, values: pl.Series) -> pl.Series:
    if isinstance(feature, Datetime):
        return values.is_between(*_CALENDAR)
    present = values.is_finite()
    if isinstance(feature, Integer):
        present &= values.abs() <= MAX_EXACT_INTEGER
    if isinstance(feature, Numeric | Integer) and feature.out_of_range == "reject":
        low = -math.inf if feature.minimum is None else feature.minimum
        high = math.inf if feature.maximum is None else feature.maximum
        present &= values.is_between(low, high)
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
