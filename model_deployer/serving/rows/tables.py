"""Validate the columns of a table against the contract, whole columns at a time.

If a column may be invalid, :mod:`serving.rows.validation` checks the table row by row and names every problem. So the
same table gets the same answer, or the same problems, as rows of JSON, columns of JSON or Arrow.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.category_spelling import CategorySpelling
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import MalformedBody
from model_deployer.contract.features import (
    MAX_CATEGORY_CHARACTERS,
    MAX_EXACT_INTEGER,
    Categorical,
    Datetime,
    Feature,
    Image,
    Integer,
    NumberArray,
    Numeric,
    Text,
)
from model_deployer.contract.tensor_batch import padded_elements
from model_deployer.serving import memory
from model_deployer.serving.rows import arrow
from model_deployer.serving.rows.arrow import Column, null_column
from model_deployer.serving.rows.columns import ColumnBuilder, Table
from model_deployer.serving.rows.decoding import value_type
from model_deployer.serving.rows.images import check_image, has_images, image_column
from model_deployer.serving.rows.invalid_value import InvalidValue
from model_deployer.serving.rows.row_id import InvalidIds, RowId, ids_of_column, present
from model_deployer.serving.rows.validation import Validator
from model_deployer.serving.rows.vectors import has_vectors

#: The range of Python's datetime, the years 1 to 9999, in seconds since 1970.
_MIN_SECONDS, _MAX_SECONDS = -62_135_596_800, 253_402_300_799

_EPOCH = datetime(1970, 1, 1)

#: The maximum number of columns that are not fields of the model; each of them is reported as a problem.
_MAX_UNKNOWN_COLUMNS = 100


class _NeedsRowCheck(Exception):
    """A column may be invalid: the table must be checked row by row."""


class TableReader:
    """Turns tables into the graph's columns.

    Args:
        contract: The contract of the model.
        ignores_unknown: Whether columns that the model does not have are left out, unless the model has none of them.
        row_id: The field with a caller's id, which may be a column; None if rows have no id.
    """

    def __init__(self, contract: Contract, ignores_unknown: bool = False, row_id: RowId | None = None) -> None:
        self._ignores_unknown = ignores_unknown
        self._row_id = row_id.name if row_id else None
        self._features = {feature.name: feature for feature in contract.features}
        self._spellings = {
            feature.name: spelling
            for feature in contract.features
            if isinstance(feature, Categorical) and (spelling := feature.spelling())
        }
        kinds = {"list": has_vectors, "bytes": has_images}
        self._refused_kinds = {kind for kind, is_in in kinds.items() if not is_in(contract.features)}
        self._max_rows = contract.limits.rows
        self._validator = Validator(contract, ignores_unknown, row_id)
        self._build_columns = ColumnBuilder(contract.features)
        self._read_numbers = _NumberReader(
            [feature for feature in contract.features if isinstance(feature, Numeric | Integer)]
        )
        self._other_features = [feature for feature in contract.features if not isinstance(feature, Numeric | Integer)]

    def __call__(self, stream: bytes) -> Table:
        """Read and validate an Arrow stream.

        In a column of floating-point numbers NaN means missing, as in the libraries that write such columns.

        Raises:
            MalformedBody: if it is not an Arrow stream, has no row, or has a column of a type that no feature has.
            TooManyRows: if it has more rows than the contract allows.
            InvalidRows: if values break the contract.
            CompressedStream: if its buffers are compressed.
        """
        columns = arrow.read(stream, self._max_rows, len(self._features) + _MAX_UNKNOWN_COLUMNS)
        if any(column.kind in self._refused_kinds for column in columns.values()):
            raise MalformedBody(arrow.UNKNOWN_TYPE)
        return self.table(columns)

    def table(self, columns: Mapping[str, Column]) -> Table:
        """Validate columns that were read already, all of the same length; returns and raises as a call does."""
        if self._ignores_unknown and not columns.keys().isdisjoint(self._features):
            kept = {*self._features, self._row_id}
            columns = {name: column for name, column in columns.items() if name in kept}
        rows = len(next(iter(columns.values())).values) if columns else 0
        if not rows:
            raise MalformedBody("the table has no rows; send at least one")
        columns = self._with_known_spellings(columns)
        try:
            return self._validated_table(columns, rows)
        except (_NeedsRowCheck, InvalidIds):
            values = self._validator.check(_to_rows(columns))
            ids = present([row[-1] for row in values]) if self._row_id else None
            by_field = list(zip(*values, strict=True))
            self._build_columns.reserve(by_field)
            return Table(self._build_columns.columns(by_field), ids)

    def _validated_table(self, columns: Mapping[str, Column], rows: int) -> Table:
        if self._row_id is None or self._row_id not in columns:
            return Table(self._validated_columns(columns, rows))
        features = {name: column for name, column in columns.items() if name != self._row_id}
        return Table(self._validated_columns(features, rows), ids_of_column(columns[self._row_id]))

    def _with_known_spellings(self, columns: Mapping[str, Column]) -> Mapping[str, Column]:
        """Return the columns with the categories that their texts count as."""
        spelled = {
            name: _spelled(spelling, columns[name])
            for name, spelling in self._spellings.items()
            if name in columns and columns[name].kind == "text"
        }
        return {**columns, **spelled} if spelled else columns

    def _validated_columns(self, columns: Mapping[str, Column], rows: int) -> dict[str, NDArray[Any]]:
        """Return the graph's columns, [rows, *shape] each, if all of them are valid."""
        if not columns.keys() <= self._features.keys():
            raise _NeedsRowCheck
        if any(feature.required and name not in columns for name, feature in self._features.items()):
            raise _NeedsRowCheck
        absent = null_column(rows)
        numbers = self._read_numbers(columns, absent)
        others = {
            feature.name: _as_input(_valid_values(feature, columns.get(feature.name, absent)))
            for feature in self._other_features
        }
        return numbers | others


class _NumberReader:
    """Validates all numeric and integer fields in one array: for few rows, numpy's cost is per call."""

    def __init__(self, features: Sequence[Numeric | Integer]) -> None:
        self._names = [feature.name for feature in features]
        self._bounds = np.array([_bounds(feature) for feature in features], dtype=np.float64).reshape(-1, 2, 1)
        self._integers = [index for index, feature in enumerate(features) if isinstance(feature, Integer)]
        self._not_nullable = [index for index, feature in enumerate(features) if not feature.nullable]

    def __call__(self, columns: Mapping[str, Column], absent: Column) -> dict[str, NDArray[Any]]:
        """Return the graph's columns of these fields, float64 [rows, 1], if all values are valid.

        A number must be finite, within the bounds if the contract rejects others, and whole for an integer field.
        """
        values = np.empty((len(self._names), len(absent.values)))
        for name, field_values in zip(self._names, values, strict=True):
            _fill(field_values, columns.get(name, absent), "number")
        if ((values < self._bounds[:, 0]) | (values > self._bounds[:, 1])).any():
            raise _NeedsRowCheck
        integers = values[self._integers]
        if (np.floor(integers) < integers).any() or np.isnan(values[self._not_nullable]).any():
            raise _NeedsRowCheck
        return dict(zip(self._names, values[:, :, None], strict=True))


def _bounds(feature: Numeric | Integer) -> tuple[float, float]:
    """Return the smallest and the largest number that is not rejected."""
    minimum: float = -sys.float_info.max
    maximum: float = sys.float_info.max
    if feature.out_of_range == "reject":
        minimum = minimum if feature.minimum is None else feature.minimum
        maximum = maximum if feature.maximum is None else feature.maximum
    if isinstance(feature, Integer):
        minimum, maximum = max(minimum, -MAX_EXACT_INTEGER), min(maximum, MAX_EXACT_INTEGER)
    return minimum, maximum


def _fill(values: NDArray[np.float64], column: Column, kind: str) -> None:
    """Write a column's numbers into ``values``, NaN for missing ones."""
    if column.kind not in (kind, "null"):
        raise _NeedsRowCheck
    values[:] = column.values
    if column.missing is not None:
        values[column.missing] = np.nan


def _as_input(values: NDArray[Any]) -> NDArray[Any]:
    return values[:, None] if values.ndim == 1 else values


def _valid_values(feature: Feature, column: Column) -> NDArray[Any]:
    """Return the values of a field that is not a number, as the graph takes them, if all of them are valid."""
    if isinstance(feature, Categorical | Text):
        return _valid_texts(feature, column)
    if isinstance(feature, NumberArray):
        return _valid_arrays(feature, column)
    if isinstance(feature, Image):
        return _valid_images(feature, column)
    values = _valid_times(feature, column) if isinstance(feature, Datetime) else _to_numbers(column, "boolean")
    if not feature.nullable and np.isnan(values).any():
        raise _NeedsRowCheck
    return values


def _valid_arrays(feature: NumberArray, column: Column) -> NDArray[np.float64]:
    """Return lists of numbers or tensors, float64 [rows, *shape], NaN for missing ones and after their ends."""
    rows = len(column.values)
    is_missing = np.zeros(rows, dtype=bool) if column.missing is None else column.missing
    if is_missing.any() and not feature.nullable:
        raise _NeedsRowCheck
    if column.kind == "null":
        return feature.column([None] * rows)
    if column.kind != "list":
        raise _NeedsRowCheck
    if column.values.dtype == object:
        return _padded(feature, column.values, is_missing)
    memory.reserve(8 * column.values.size)
    shape = column.values.shape[1:]
    if not feature.accepts_shape(shape) or not (feature.accepts(column.values) | is_missing).all():
        raise _NeedsRowCheck
    values = column.values.astype(np.float64)
    values[is_missing] = np.nan
    return values


def _padded(feature: NumberArray, values: NDArray[Any], is_missing: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return values of different shapes, each of them an array of numbers, as one array."""
    present = [None if is_missing[row] else value for row, value in enumerate(values)]
    arrays = [value for value in present if value is not None]
    if not all(isinstance(value, np.ndarray) and feature.accepts_shape(value.shape) for value in arrays):
        raise _NeedsRowCheck
    memory.reserve(8 * (sum(value.size for value in arrays) + padded_elements([value.shape for value in arrays])))
    numbers = np.concatenate([value.reshape(-1) for value in arrays] or [np.empty(0)])
    if not feature.accepts(numbers[:, None]).all():
        raise _NeedsRowCheck
    return feature.column(present)


def _valid_images(feature: Image, column: Column) -> NDArray[np.uint8]:
    """Return images, uint8 [rows, height, width, channels]."""
    is_pixels = column.kind == "list" and column.values.dtype == np.uint8 and column.values.shape[1:] == feature.shape
    if column.missing is not None or not (is_pixels or column.kind in ("bytes", "text")):
        raise _NeedsRowCheck
    if is_pixels:
        return column.values
    try:
        return image_column([check_image(feature, value) for value in column.values])
    except InvalidValue:
        raise _NeedsRowCheck from None


def _to_numbers(column: Column, kind: str) -> NDArray[np.float64]:
    values = np.empty(len(column.values))
    _fill(values, column, kind)
    return values


def _valid_times(feature: Datetime, column: Column) -> NDArray[np.float64]:
    """Return times as seconds since 1970."""
    if column.kind == "text":
        return _parse_times(feature, column)
    if column.kind == "time" and column.zoned != feature.zoned:
        raise _NeedsRowCheck
    seconds = _to_numbers(column, "time") / column.units
    if ((seconds < _MIN_SECONDS) | (seconds > _MAX_SECONDS)).any():
        raise _NeedsRowCheck
    return seconds


def _parse_times(feature: Datetime, column: Column) -> NDArray[np.float64]:
    """Parse times in text, as seconds since 1970."""
    texts = column.values.astype(object)
    if column.missing is not None:
        texts[column.missing] = None
    try:
        times = msgspec.convert(texts.tolist(), list[value_type(feature)])  # type: ignore[misc]
    except msgspec.ValidationError:
        raise _NeedsRowCheck from None
    (seconds,) = ColumnBuilder([feature]).columns([times]).values()
    return seconds


def _valid_texts(feature: Categorical | Text, column: Column) -> NDArray[Any]:
    if column.kind not in ("text", "null"):
        raise _NeedsRowCheck
    missing = column.missing
    if missing is not None and not feature.nullable:
        raise _NeedsRowCheck
    present = column.values if missing is None else column.values[~missing]
    texts = set(present.tolist())
    if isinstance(feature, Categorical) and "" in texts:
        raise _NeedsRowCheck
    if isinstance(feature, Categorical) and feature.unknown == "reject" and not texts <= set(feature.categories or ()):
        raise _NeedsRowCheck
    max_characters = feature.longest if isinstance(feature, Text) else MAX_CATEGORY_CHARACTERS
    if max(map(len, texts), default=0) > max_characters:
        raise _NeedsRowCheck
    return column.values if missing is None else np.where(missing, "", column.values.astype(object))


def _spelled(spelling: CategorySpelling, column: Column) -> Column:
    """Return a column of texts with the categories that they count as."""
    texts = column.values.tolist()
    categories = {text: spelling(text) for text in set(texts)}
    return replace(column, values=np.array([categories[text] for text in texts], dtype=object))


def _to_rows(columns: Mapping[str, Column]) -> list[dict[str, Any]]:
    """Return the table as the rows that a client could have sent as JSON."""
    values = [_to_json_values(column) for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def _to_json_values(column: Column) -> list[Any]:
    if column.kind == "list":
        values: list[Any] = list(column.values)
    elif column.kind == "boolean":
        values = column.values.astype(bool).tolist()
    elif column.kind == "time":
        values = [_format_time(count / column.units, column.zoned) for count in column.values.tolist()]
    else:
        values = column.values.tolist()
    has_nan = column.kind != "list" and column.values.dtype.kind == "f"
    missing = np.isnan(column.values) if has_nan else np.zeros(len(values), dtype=bool)
    if column.missing is not None:
        missing |= column.missing
    return [None if is_missing else value for value, is_missing in zip(values, missing.tolist(), strict=True)]


def _format_time(seconds: float, zoned: bool) -> str:
    """Return a time as text in JSON. A time beyond the range of datetime becomes a text that validation refuses."""
    try:
        return (_EPOCH + timedelta(seconds=seconds)).isoformat() + ("Z" if zoned else "")
    except OverflowError:
        return "beyond the range of datetime"
