"""Read the columns of a table as the fields of a contract: as training reads them, and in the forms that it states.

Every value is read on its own, so that the batches of a table are read like the whole table.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.adoption.tensor_column import axes_of, tensor_type, tensor_values
from model_deployer.contract import value_form
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import DataError
from model_deployer.contract.features import (
    MAX_EXACT_INTEGER,
    Categorical,
    Datetime,
    Feature,
    Image,
    Integer,
    NumberArray,
    Text,
)
from model_deployer.contract.value_form import TimeForm
from model_deployer.contract.yaml_source import suggestion
from model_deployer.serving.engines.offline import Part
from model_deployer.serving.rows.arrow import Column
from model_deployer.training.data.columns import canonical, is_readable, missing, times
from model_deployer.training.data.request_rows import legal
from model_deployer.training.data.text_values import read_as, without_marks

_MICROSECONDS = 10**6


class _Field(NamedTuple):
    """The values of a field.

    Attributes:
        values: The values: Float64, Boolean, Datetime, String, Binary or Lists of Float64; null for a missing one.
        column: The values as the table has them.
        is_unread: Which values are left as text, because they cannot be read as the field, bool; None for none.
    """

    values: pl.Series
    column: pl.Series
    is_unread: pl.Series | None


class FieldReader:
    """Reads the columns of a table as the fields of a contract.

    Args:
        contract: The contract.
        schema: The columns of the table.
        marks: Texts that mark a missing number, time or boolean, in addition to the usual ones.

    Attributes:
        absent: The fields that may be absent, and are.

    Raises:
        DataError: if the table lacks a field that the contract requires, or the type of a column cannot hold the values
            of its field.
    """

    def __init__(self, contract: Contract, schema: Mapping[str, pl.DataType], marks: Sequence[str] = ()) -> None:
        if errors := [error for feature in contract.features for error in _errors(feature, schema)]:
            raise DataError("\n".join(errors))
        self._features = [feature for feature in contract.features if feature.name in schema]
        self._marks = marks
        self.absent = [feature.name for feature in contract.features if feature.name not in schema]

    def parts(self, frame: pl.DataFrame) -> list[Part]:
        """Return the rows of a frame, in one part for each way to read them.

        The first part has the rows that very likely keep the contract. A text that cannot be read as its field stays a
        text, so that the validation names it; the rows with such texts in the same fields are in one part.
        """
        fields = {feature.name: self._read(feature, frame[feature.name]) for feature in self._features}
        unread = pl.DataFrame({name: field.is_unread for name, field in fields.items() if field.is_unread is not None})
        is_likely = self._is_legal(fields)
        if not unread.width and is_likely.all():
            return [Part(np.arange(frame.height), {name: _column(field.values) for name, field in fields.items()})]
        is_unread = unread.select(pl.any_horizontal(pl.all())).to_series() if unread.width else is_likely & False
        rows = (~is_unread & is_likely, ~is_unread & ~is_likely)
        parts = [_part(fields, mask.arg_true(), ()) for mask in rows if mask.any()]
        if unread.width:
            for pattern in unread.with_row_index("").filter(is_unread).partition_by(unread.columns):
                parts.append(_part(fields, pattern[""], [name for name in unread.columns if pattern[name][0]]))
        return parts

    def _read(self, feature: Feature, column: pl.Series) -> _Field:
        if isinstance(feature, Categorical | Text):
            texts = _texts(feature, column)
            return _Field(texts, texts, None)
        if isinstance(feature, Image):
            return _Field(column, column, None)
        if isinstance(feature, NumberArray):
            return _field(_arrays(feature, column), column, column.is_not_null())
        if column.dtype != pl.String and not _has_numeric_times(feature, column.dtype):
            values = times(column) if isinstance(feature, Datetime) else _usual(feature, column)
            return _field(values, column, ~missing(column))
        present = without_marks(column.cast(pl.String), self._marks)
        form = getattr(feature, "format", None)
        values = read_as(present, form) if form else _usual(feature, present)
        return _field(_as_number(feature, values), column, present.is_not_null())

    def _is_legal(self, fields: Mapping[str, _Field]) -> pl.Series:
        """Return which rows very likely keep the contract; the validation decides."""
        features = [feature for feature in self._features if not _is_validated(feature, fields[feature.name].values)]
        if not features:
            return pl.repeat(True, len(next(iter(fields.values())).values), eager=True)
        return legal(features, pl.DataFrame({item.name: _conformed(fields[item.name].values) for item in features}))


def _field(values: pl.Series, column: pl.Series, is_present: pl.Series) -> _Field:
    is_unread = values.is_null() & is_present if values.null_count() else None
    return _Field(values, column, is_unread if is_unread is not None and is_unread.any() else None)


def _part(fields: Mapping[str, _Field], numbers: pl.Series, unread: Sequence[str]) -> Part:
    """Return some rows; the values of the fields in ``unread`` as text."""
    columns = {
        name: _column(field.column.gather(numbers).cast(pl.String) if name in unread else field.values.gather(numbers))
        for name, field in fields.items()
    }
    return Part(numbers.to_numpy().astype(np.int64), columns)


def _errors(feature: Feature, schema: Mapping[str, pl.DataType]) -> list[str]:
    """Return why a table cannot be used for a field; empty if it can."""
    if feature.name not in schema:
        if not feature.required:
            return []
        return [f"the table has no column '{feature.name}'{suggestion(feature.name, schema)}"]
    dtype = schema[feature.name]
    if _can_hold(feature, dtype):
        return []
    return [f"column '{feature.name}' holds values of type {dtype}; expected {feature.expected()}"]


def _can_hold(feature: Feature, dtype: pl.DataType) -> bool:
    if isinstance(feature, Image):
        return dtype in (pl.Binary, pl.String, pl.Null)
    if isinstance(feature, NumberArray):
        return dtype in (pl.Null, pl.String) or axes_of(dtype) == len(feature.sizes)
    if isinstance(feature, Categorical | Text) or dtype in (pl.String, pl.Null):
        return is_readable(pl.Series(dtype=dtype))
    if isinstance(feature, Datetime):
        is_zoned = getattr(dtype, "time_zone", None) is not None
        return (dtype in (pl.Date, pl.Datetime) and is_zoned == feature.zoned) or _has_numeric_times(feature, dtype)
    return dtype.is_numeric() or dtype == pl.Boolean


def _has_numeric_times(feature: Feature, dtype: pl.DataType) -> bool:
    """Return whether whole numbers are times in the form of a field, such as 20240131."""
    form = feature.format if isinstance(feature, Datetime) else None
    return form is not None and dtype.is_integer() and isinstance(value_form.parse(form), TimeForm)


def _usual(feature: Feature, column: pl.Series) -> pl.Series:
    """Read a column without a form; the text of a time stays text."""
    if isinstance(feature, Datetime):
        return column
    values = canonical(column, feature.kind)
    if feature.kind == "boolean":
        return values.cast(pl.Boolean)
    if isinstance(feature, Integer) and (column.dtype == pl.String or column.dtype.is_integer()):
        # Float64 would round the next larger integers to the largest legal one.
        is_inexact = column.cast(pl.Int64, strict=False).abs() > MAX_EXACT_INTEGER
        return values.set(is_inexact.fill_null(False), 2.0 * MAX_EXACT_INTEGER)
    return values


def _as_number(feature: Feature, values: pl.Series) -> pl.Series:
    return values.cast(pl.Float64) if feature.kind in ("numeric", "integer") else values


def _texts(feature: Categorical | Text, column: pl.Series) -> pl.Series:
    """Read a column as text; a whole number has no decimals, unless the categories have them."""
    texts = column.cast(pl.String)
    categories = feature.categories or () if isinstance(feature, Categorical) else ()
    if column.dtype.is_float():
        present = column.fill_nan(None)
        texts = texts.set(present.is_null(), None)
        if not any(category.endswith(".0") for category in categories):
            texts = texts.str.strip_suffix(".0")
    return texts.set(texts == "", None)


def _is_validated(feature: Feature, values: pl.Series) -> bool:
    """Return whether only the validation knows which values keep the contract: lists, images, times in text."""
    return isinstance(feature, NumberArray | Image) or (isinstance(feature, Datetime) and values.dtype == pl.String)


def _conformed(values: pl.Series) -> pl.Series:
    """Return values as a conformed frame holds them."""
    if values.dtype == pl.String:
        return values.fill_null("")
    if isinstance(values.dtype, pl.Datetime):
        values = values.dt.timestamp("us") / _MICROSECONDS
    return values.cast(pl.Float64).fill_null(float("nan"))


def _column(values: pl.Series) -> Column:
    """Return values as the validation reads them from a table."""
    is_missing = values.is_null().to_numpy() if values.null_count() else None
    if values.dtype == pl.Binary:
        return Column("bytes", values.fill_null(b"").to_numpy(), is_missing)
    if isinstance(values.dtype, pl.List):
        return Column("list", _objects(tensor_values(values)), is_missing)
    if values.dtype == pl.String:
        return Column("text", values.fill_null("").to_numpy(), is_missing)
    if values.dtype == pl.Boolean:
        return Column("boolean", values.fill_null(False).to_numpy(), is_missing)
    if isinstance(values.dtype, pl.Datetime):
        counts = values.to_physical().fill_null(0).to_numpy()
        return Column("time", counts, is_missing, _MICROSECONDS, zoned=values.dtype.time_zone is not None)
    return Column("number", values.fill_null(float("nan")).to_numpy())


def _arrays(feature: NumberArray, column: pl.Series) -> pl.Series:
    """Return a column of lists, or of their text in JSON, as nested lists; null for a text that is not such a list."""
    dtype = tensor_type(len(feature.sizes))
    if column.dtype != pl.String:
        return column.cast(dtype)
    try:
        return column.str.json_decode(dtype)
    except pl.exceptions.ComputeError:
        return pl.Series(column.name, [_list_of_json(text, dtype) for text in column], dtype=dtype)


def _list_of_json(text: str | None, dtype: pl.DataType) -> list[Any] | None:
    try:
        values: list[list[Any] | None] = pl.Series([text], dtype=pl.String).str.json_decode(dtype).to_list()
        return values[0]
    except pl.exceptions.ComputeError:
        return None


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    """Return the values of lists as the validation reads them: arrays; an absent one is empty."""
    objects = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        objects[row] = np.empty(0) if value is None else value
    return objects
