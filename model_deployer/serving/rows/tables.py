"""A table's columns, read and checked against the contract: all values of a column at once where nothing is wrong.

Where anything is doubtful, the table is looked at row by row by :mod:`serving.rows.validation`, which knows every
problem: the same table gets the same answer, or the same problems, whether it comes as rows, as columns of JSON or
as Arrow.
"""

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import MalformedBody
from model_deployer.contract.features import (
    MAX_CATEGORY_CHARACTERS,
    MAX_EXACT_INTEGER,
    Categorical,
    Datetime,
    Feature,
    Integer,
    Numeric,
    Text,
)
from model_deployer.serving.rows import arrow
from model_deployer.serving.rows.arrow import Column, nothing
from model_deployer.serving.rows.columns import ColumnBuilder, Table
from model_deployer.serving.rows.decoding import value_type
from model_deployer.serving.rows.validation import Validator

#: The years that a datetime knows, 1 to 9999, in seconds from 1970.
_EARLIEST, _LATEST = -62_135_596_800, 253_402_300_799

_EPOCH = datetime(1970, 1, 1)

#: Columns beyond the model's fields that are still told apart, each with its problem.
_STRANGERS = 100


class _Doubt(Exception):
    """A column that has to be looked at value by value."""


class TableReader:
    """Turns an Arrow stream into the graph's columns."""

    def __init__(self, contract: Contract) -> None:
        self._features = {feature.name: feature for feature in contract.features}
        self._most_rows = contract.limits.rows
        self._validator = Validator(contract)
        self._stack = ColumnBuilder(contract.features)
        self._numbers = _Numbers([each for each in contract.features if isinstance(each, Numeric | Integer)])
        self._others = {each.name: each for each in contract.features if not isinstance(each, Numeric | Integer)}

    def __call__(self, stream: bytes) -> Table:
        """The rows of a request.

        In a column of floating-point numbers NaN means missing, as it does for the libraries that write such columns.

        Raises:
            MalformedBody: It is no stream, or there is no row, or a column that no feature can be.
            TooManyRows: It has more rows than the contract allows.
            InvalidRows: Values break the contract.
            Packed: Its buffers are compressed.
        """
        return self.table(arrow.read(stream, self._most_rows, len(self._features) + _STRANGERS))

    def table(self, columns: Mapping[str, Column]) -> Table:
        """Columns that were read already, all of the same length; raises as a call does."""
        rows = len(next(iter(columns.values())).values) if columns else 0
        if not rows:
            raise MalformedBody("the table has no rows; send at least one")
        try:
            return Table(self._fast(columns, rows))
        except _Doubt:
            return Table(self._stack(self._validator.check(_rows(columns))))

    def _fast(self, columns: Mapping[str, Column], rows: int) -> dict[str, NDArray[Any]]:
        if not columns.keys() <= self._features.keys():
            raise _Doubt
        if any(feature.required and name not in columns for name, feature in self._features.items()):
            raise _Doubt
        absent = nothing(rows)
        numbers = self._numbers(columns, absent)
        others = {
            name: _checked(feature, columns.get(name, absent)).reshape(-1, 1) for name, feature in self._others.items()
        }
        return numbers | others


class _Numbers:
    """All fields that are numbers, checked at once: numpy's cost is by the call, where there are few rows."""

    def __init__(self, features: Sequence[Numeric | Integer]) -> None:
        self._names = [feature.name for feature in features]
        self._bounds = np.array([_bounds(feature) for feature in features], dtype=np.float64).reshape(-1, 2, 1)
        self._whole = [place for place, feature in enumerate(features) if isinstance(feature, Integer)]
        self._present = [place for place, feature in enumerate(features) if not feature.nullable]

    def __call__(self, columns: Mapping[str, Column], absent: Column) -> dict[str, NDArray[Any]]:
        """Every present number is finite, within the bounds where these refuse, and whole where it has to be."""
        values = np.empty((len(self._names), len(absent.values)))
        for name, row in zip(self._names, values, strict=True):
            _fill(row, columns.get(name, absent), "number")
        if ((values < self._bounds[:, 0]) | (values > self._bounds[:, 1])).any():
            raise _Doubt
        whole = values[self._whole]
        if (np.floor(whole) < whole).any() or np.isnan(values[self._present]).any():
            raise _Doubt
        return dict(zip(self._names, values[:, :, None], strict=True))


def _bounds(feature: Numeric | Integer) -> tuple[float, float]:
    """The least and the greatest number that is not refused."""
    low: float = -sys.float_info.max
    high: float = sys.float_info.max
    if feature.out_of_range == "reject":
        low = low if feature.minimum is None else feature.minimum
        high = high if feature.maximum is None else feature.maximum
    if isinstance(feature, Integer):
        low, high = max(low, -MAX_EXACT_INTEGER), min(high, MAX_EXACT_INTEGER)
    return low, high


def _fill(row: NDArray[np.float64], column: Column, kind: str) -> None:
    """Write a column's numbers into ``row``, NaN for what is missing."""
    if column.kind not in (kind, "nothing"):
        raise _Doubt
    row[:] = column.values
    if column.missing is not None:
        row[column.missing] = np.nan


def _checked(feature: Feature, column: Column) -> NDArray[Any]:
    """The values of a field that is no number as the graph takes them, where all of them are right."""
    if isinstance(feature, Categorical | Text):
        return _texts(feature, column)
    values = _times(feature, column) if isinstance(feature, Datetime) else _read_numbers(column, "boolean")
    if not feature.nullable and np.isnan(values).any():
        raise _Doubt
    return values


def _read_numbers(column: Column, kind: str) -> NDArray[np.float64]:
    values = np.empty(len(column.values))
    _fill(values, column, kind)
    return values


def _times(feature: Datetime, column: Column) -> NDArray[np.float64]:
    if column.kind == "text":
        return _read_times(feature, column)
    if column.kind == "time" and column.zoned != feature.zoned:
        raise _Doubt
    seconds = _read_numbers(column, "time") / column.units
    if ((seconds < _EARLIEST) | (seconds > _LATEST)).any():
        raise _Doubt
    return seconds


def _read_times(feature: Datetime, column: Column) -> NDArray[np.float64]:
    """Times as text, one after the other."""
    texts = column.values.astype(object)
    if column.missing is not None:
        texts[column.missing] = None
    try:
        times = msgspec.convert(texts.tolist(), list[value_type(feature)])  # type: ignore[misc]
    except msgspec.ValidationError:
        raise _Doubt from None
    (seconds,) = ColumnBuilder([feature]).columns([times]).values()
    return seconds


def _texts(feature: Categorical | Text, column: Column) -> NDArray[Any]:
    if column.kind not in ("text", "nothing"):
        raise _Doubt
    missing = column.missing
    if missing is not None and not feature.nullable:
        raise _Doubt
    present = column.values if missing is None else column.values[~missing]
    known = set(present.tolist())
    if isinstance(feature, Categorical) and "" in known:
        raise _Doubt
    if isinstance(feature, Categorical) and feature.unknown == "reject" and not known <= set(feature.categories or ()):
        raise _Doubt
    longest = feature.longest if isinstance(feature, Text) else MAX_CATEGORY_CHARACTERS
    if max(map(len, known), default=0) > longest:
        raise _Doubt
    return column.values if missing is None else np.where(missing, "", column.values.astype(object))


def _rows(columns: Mapping[str, Column]) -> list[dict[str, Any]]:
    """The table as the rows that a client could have sent as JSON."""
    values = [_values(column) for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def _values(column: Column) -> list[Any]:
    if column.kind == "boolean":
        values: list[Any] = column.values.astype(bool).tolist()
    elif column.kind == "time":
        values = [_time(count / column.units, column.zoned) for count in column.values.tolist()]
    else:
        values = column.values.tolist()
    missing = np.isnan(column.values) if column.values.dtype.kind == "f" else np.zeros(len(values), dtype=bool)
    if column.missing is not None:
        missing |= column.missing
    return [None if gap else value for value, gap in zip(values, missing.tolist(), strict=True)]


def _time(seconds: float, zoned: bool) -> str:
    """As JSON says it; what no calendar knows becomes a text that is no time."""
    try:
        return (_EPOCH + timedelta(seconds=seconds)).isoformat() + ("Z" if zoned else "")
    except OverflowError:
        return "beyond the calendar"
