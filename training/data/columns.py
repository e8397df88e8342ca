"""One column of a table: whether it has values, and its values as numbers or strings."""

import polars as pl

from model_deployer.contract.features import MAX_CATEGORY_CHARACTERS, MAX_EXACT_INTEGER

#: What has a word on either side: a space, or a character of a script that has no spaces.
_GAP = r"\s|[\x{3041}-\x{9FFF}]"

#: Gaps between words that free text has on average at the least.
_GAPS = 2

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


def is_worded(strings: pl.Series) -> bool:
    """Whether strings that are there have three words or more on average."""
    gaps = strings.filter(~missing(strings)).str.count_matches(_GAP).mean()
    return isinstance(gaps, float) and gaps >= _GAPS


def is_text(strings: pl.Series) -> bool:
    """Whether strings are too long for categories, or mostly different and of several words or many characters."""
    present = strings.filter(~missing(strings))
    lengths = present.str.len_chars()
    longest, mean = lengths.max(), lengths.mean()
    if not isinstance(longest, int) or not isinstance(mean, float):
        return False
    differ = present.n_unique() > 0.5 * len(present)
    return longest > MAX_CATEGORY_CHARACTERS or (differ and (mean > 40 or is_worded(present)))


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
        if whole.is_finite().all() and (whole == whole.round()).all() and (whole.abs() <= MAX_EXACT_INTEGER).all():
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
