"""Convert between rows of a conformed frame (:func:`training.data.features.conform`) and the JSON that clients send."""

import base64
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import and_
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.adoption.tensor_column import tensor_type, tensor_values
from model_deployer.contract.features import (
    MAX_CATEGORY_CHARACTERS,
    MAX_EXACT_INTEGER,
    Boolean,
    Categorical,
    Datetime,
    Feature,
    Image,
    Integer,
    NumberArray,
    NumberList,
    NumberSequence,
    Numeric,
    Tensor,
    Text,
)
from model_deployer.contract.image_file import InvalidImage, read_image

EPOCH = datetime(1970, 1, 1)

#: The first and the last second with a year of four digits, in seconds since ``EPOCH``.
_MIN_AND_MAX_SECONDS = (datetime.min - EPOCH).total_seconds(), (datetime.max - EPOCH).total_seconds() - 1

Row = dict[str, Any]


def legal(features: Sequence[Feature], frame: pl.DataFrame) -> pl.Series:
    """Return a Boolean mask of the rows of a conformed frame that a client may send: every value fits its contract."""
    return reduce(and_, (_legal(feature, frame[feature.name]) for feature in features))


def request(features: Sequence[Feature], row: Row) -> Row:
    """Return a legal row of a conformed frame as JSON values; a missing value is None."""
    return {feature.name: _json(feature, row[feature.name]) for feature in features}


def frame_of_requests(features: Sequence[Feature], rows: Sequence[Row]) -> pl.DataFrame:
    """Return a conformed frame of rows that clients send.

    Args:
        features: The features.
        rows: JSON objects. An absent field counts as missing; a field that is not a feature is left out.

    Returns:
        One Float64, String, Array, List or Binary column per feature, one row per object.
    """
    schema = {feature.name: column_type(feature) for feature in features}
    values = [{feature.name: frame_value(feature, row.get(feature.name)) for feature in features} for row in rows]
    return pl.DataFrame(values, schema=schema)


def column_type(feature: Feature) -> pl.DataType:
    """Return the type of the column of a feature in a conformed frame.

    It is Float64, String, an Array of Float64 for a vector, a List of it for a sequence, nested Lists for a tensor, or
    Binary for the file of an image.
    """
    if isinstance(feature, Image):
        return pl.Binary()
    if isinstance(feature, Tensor):
        return tensor_type(len(feature.sizes))
    if isinstance(feature, NumberList):
        is_fixed = feature.has_fixed_shape
        return pl.Array(pl.Float64, feature.lengths[1]) if is_fixed else pl.List(pl.Float64)
    return pl.String() if feature.dtype == "string" else pl.Float64()


def frame_value(feature: Feature, value: Any) -> float | str | list[Any] | bytes:
    """Return a JSON value as a conformed frame holds it: NaN or "" for None, seconds for a time.

    A vector is a list of numbers; for None it is NaN in all places. A sequence or a tensor is a list, empty for None.
    An image is the bytes of its file.
    """
    if isinstance(feature, Tensor):
        return [] if value is None else np.asarray(value, np.float64).tolist()
    if isinstance(feature, Image):
        return base64.b64decode(value) if value else b""
    if isinstance(feature, NumberList):
        return list(map(float, value or ([math.nan] * feature.lengths[1] if feature.has_fixed_shape else ())))
    if value is None:
        return "" if feature.dtype == "string" else math.nan
    if isinstance(feature, Datetime):
        time = datetime.fromisoformat(str(value))
        local = time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
        return (local - EPOCH).total_seconds()
    if feature.dtype != "string":
        return float(value)
    spelling = feature.spelling() if isinstance(feature, Categorical) else None
    return spelling(str(value)) if spelling else str(value)


def graph_column(feature: Feature, values: pl.Series) -> NDArray[Any]:
    """Return a column of a conformed frame as an input of the graph: [rows, *shape], float64, strings or uint8."""
    if isinstance(feature, Image):
        return np.stack([read_image(feature, content) for content in values])
    if isinstance(feature, Tensor):
        return feature.column(tensor_values(values))
    if isinstance(feature, NumberSequence):
        return feature.column([numbers.to_numpy() for numbers in values])
    return values.to_numpy().reshape(-1, *feature.shape)


def _legal(feature: Feature, values: pl.Series) -> pl.Series:
    if isinstance(feature, Image):
        return pl.Series([_is_image(feature, content) for content in values], dtype=pl.Boolean)
    if isinstance(feature, Tensor):
        return pl.Series([_is_legal_tensor(feature, value) for value in tensor_values(values)], dtype=pl.Boolean)
    if isinstance(feature, NumberList):
        return _legal_lists(feature, values)
    if feature.dtype == "string":
        is_missing, is_legal = values == "", _legal_strings(feature, values)
    else:
        is_missing, is_legal = values.is_nan(), _legal_numbers(feature, values)
    return (is_missing & feature.nullable) | (~is_missing & is_legal)


def _legal_lists(feature: NumberList, values: pl.Series) -> pl.Series:
    if not feature.has_fixed_shape:
        is_legal = [
            feature.accepts_length(len(numbers)) and bool(feature.accepts(numbers.to_numpy()[None])[0])
            for numbers in values
        ]
        return pl.Series(is_legal, dtype=pl.Boolean) | ((values.list.len() == 0) & feature.nullable)
    vectors = values.to_numpy()
    return pl.Series(feature.accepts(vectors) | (np.isnan(vectors).all(axis=1) & feature.nullable))


def _is_legal_tensor(feature: Tensor, value: Any) -> bool:
    if not isinstance(value, np.ndarray):
        return value is None and feature.nullable
    return feature.accepts_shape(value.shape) and bool(feature.accepts(value[None])[0])


def _is_image(feature: Image, content: bytes) -> bool:
    try:
        read_image(feature, content)
    except InvalidImage:
        return False
    return True


def _legal_strings(feature: Feature, values: pl.Series) -> pl.Series:
    if isinstance(feature, Categorical) and feature.unknown == "reject":
        return values.is_in(list(feature.categories or ()))
    return values.str.len_chars() <= (feature.longest if isinstance(feature, Text) else MAX_CATEGORY_CHARACTERS)


def _legal_numbers(feature: Feature, values: pl.Series) -> pl.Series:
    if isinstance(feature, Datetime):
        return values.is_between(*_MIN_AND_MAX_SECONDS)
    if isinstance(feature, Boolean):
        return values.is_in([0.0, 1.0])
    is_legal = values.is_finite()
    if isinstance(feature, Integer):
        is_legal &= values.abs() <= MAX_EXACT_INTEGER
    if isinstance(feature, Numeric | Integer) and feature.out_of_range == "reject":
        low = -math.inf if feature.minimum is None else feature.minimum
        high = math.inf if feature.maximum is None else feature.maximum
        is_legal &= values.is_between(low, high)
    return is_legal


def _json(feature: Feature, value: Any) -> Any:
    if isinstance(feature, Image):
        return base64.b64encode(value).decode()
    if isinstance(feature, NumberArray):
        is_missing = not value or (isinstance(value[0], float) and math.isnan(value[0]))
        return None if is_missing else _numbers(feature, value)
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


def _numbers(feature: NumberArray, value: Any) -> Any:
    """Return a number, or nested lists of numbers, as JSON has them."""
    if isinstance(value, list):
        return [_numbers(feature, item) for item in value]
    return int(value) if feature.integers else value
