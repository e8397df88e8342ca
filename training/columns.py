"""One column of a table: whether it has values, and its values as numbers or strings."""

import polars as pl

from contract.features import EXACT_INTEGER

_STRINGS = {"categorical", "text"}


def is_readable(column: pl.Series) -> bool:
    """Whether a column holds one number, string or time a row, and no lists, records, bytes or durations."""
    return not column.dtype.is_nested() and not isinstance(column.dtype, pl.Binary | pl.Duration | pl.Object)


def missing(column: pl.Series) -> pl.Series:
    """Which values are null, NaN, infinite or an empty string."""
    if column.dtype.is_float():
        return ~column.is_finite().fill_null(False)
    if isinstance(column.dtype, pl.String | pl.Categorical | pl.Enum):
        return column.cast(pl.String).fill_null("") == ""
    return column.is_null()


def is_constant(column: pl.Series) -> bool:
    """Whether all values are the same, or all are missing."""
    absent = missing(column)
    return is_readable(column) and column.filter(~absent).n_unique() + absent.any() < 2


def canonical(column: pl.Series, kind: str) -> pl.Series:
    """A column as Float64 or String, by kind; null where a value is missing or cannot be read as that kind."""
    if not is_readable(column):
        return pl.Series(column.name, [None] * len(column), pl.String if kind in _STRINGS else pl.Float64)
    if isinstance(column.dtype, pl.Categorical | pl.Enum):
        column = column.cast(pl.String)
    if kind in _STRINGS:
        return _strings(column).replace("", None)
    values = {"boolean": _truths, "datetime": _seconds}.get(kind, _numbers)(column)
    return values.fill_nan(None)


def times(column: pl.Series) -> pl.Series:
    """A column as Datetime in microseconds, with its zone if it has one."""
    if column.dtype == pl.String:
        try:
            return column.str.to_datetime(strict=False, time_unit="us")
        except pl.exceptions.ComputeError:  # no value looks like a time
            return pl.Series(column.name, [None] * len(column), pl.Datetime("us"))
    if not isinstance(column.dtype, pl.Date | pl.Datetime):
        return pl.Series(column.name, [None] * len(column), pl.Datetime("us"))
    return column.cast(pl.Datetime("us", getattr(column.dtype, "time_zone", None)))


def _strings(column: pl.Series) -> pl.Series:
    """Values as text; a whole number has no decimals, even where missing ones made the column a float."""
    if column.dtype.is_float():
        whole = column.fill_nan(None).drop_nulls()
        if whole.is_finite().all() and (whole == whole.round()).all() and (whole.abs() <= EXACT_INTEGER).all():
            column = column.fill_nan(None).cast(pl.Int64)
    return column.cast(pl.String)


def _numbers(column: pl.Series) -> pl.Series:
    if column.dtype.is_temporal():
        return pl.Series(column.name, [None] * len(column), pl.Float64)
    if column.dtype == pl.String:
        column = column.str.strip_chars()
    return column.cast(pl.Float64, strict=False)


def _truths(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        column = column.str.to_lowercase().replace_strict({"true": 1.0, "false": 0.0}, default=None)
    values = _numbers(column)
    return values.set(~values.is_in([0.0, 1.0]), None)


def _seconds(column: pl.Series) -> pl.Series:
    return times(column).dt.timestamp("us") / 1e6
