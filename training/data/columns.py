"""One column of a table: its missing values, what its strings look like, and its values as numbers or strings."""

import polars as pl

from model_deployer.contract.features import MAX_CATEGORY_CHARACTERS, MAX_EXACT_INTEGER

#: A word boundary: a space, or a character of a script that has no spaces.
_WORD_GAP = r"\s|[\x{3041}-\x{9FFF}]"

#: Strings with at least this many word boundaries on average have several words.
_MIN_MEAN_GAPS = 2

_STRINGS = {"categorical", "text"}

#: Times of ISO 8601.
ISO_TIME = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d|$)"


def is_readable(column: pl.Series) -> bool:
    """Return whether a column holds one number, string or time per row, not lists, records, bytes or durations."""
    return not column.dtype.is_nested() and not isinstance(column.dtype, pl.Binary | pl.Duration | pl.Object)


def holds_strings(column: pl.Series) -> bool:
    """Return whether the values of a column are strings, in any of their types."""
    return isinstance(column.dtype, pl.String | pl.Categorical | pl.Enum)


def missing(column: pl.Series) -> pl.Series:
    """Return a Boolean mask, one value per row: null, NaN, infinite or an empty string."""
    if column.dtype.is_float():
        return ~column.is_finite().fill_null(False)
    if holds_strings(column):
        return column.cast(pl.String).fill_null("") == ""
    return column.is_null()


def is_constant(column: pl.Series) -> bool:
    """Return whether all values are the same, or all are missing."""
    absent = missing(column)
    return is_readable(column) and column.filter(~absent).n_unique() + absent.any() < 2


def has_several_words(strings: pl.Series) -> bool:
    """Return whether the strings that are not missing have three or more words on average."""
    gaps = strings.filter(~missing(strings)).str.count_matches(_WORD_GAP).mean()
    return isinstance(gaps, float) and gaps >= _MIN_MEAN_GAPS


def is_text(strings: pl.Series) -> bool:
    """Return whether a String column is free text, not categories.

    Strings are free text if one is too long for a category, or if most differ and they have several words or many
    characters.
    """
    present = strings.filter(~missing(strings))
    lengths = present.str.len_chars()
    max_length, mean_length = lengths.max(), lengths.mean()
    if not isinstance(max_length, int) or not isinstance(mean_length, float):
        return False
    mostly_different = present.n_unique() > 0.5 * len(present)
    has_long_values = mean_length > 40 or has_several_words(present)
    return max_length > MAX_CATEGORY_CHARACTERS or (mostly_different and has_long_values)


def holds_integers(column: pl.Series) -> bool:
    """Return whether a column of floats holds whole numbers only, as pandas writes integers with gaps."""
    if not column.dtype.is_float():
        return False
    numbers = column.fill_nan(None).drop_nulls()
    return (numbers.is_finite() & (numbers == numbers.round()) & (numbers.abs() <= MAX_EXACT_INTEGER)).all()


def canonical(column: pl.Series, kind: str) -> pl.Series:
    """Return a column in the standard form of its kind, as Float64 or String.

    Args:
        column: A column of any type.
        kind: A kind of the contract, such as ``numeric`` or ``categorical``.

    Returns:
        A series of the same length: String for ``categorical`` and ``text``; Float64 for the other kinds, booleans
        being 1 and 0 and times seconds since 1970-01-01T00:00:00. A value is null if it is missing or cannot be read
        as the kind.
    """
    if not is_readable(column):
        return pl.Series(column.name, [None] * len(column), pl.String if kind in _STRINGS else pl.Float64)
    if isinstance(column.dtype, pl.Categorical | pl.Enum):
        column = column.cast(pl.String)
    if kind in _STRINGS:
        return _strings(column).replace("", None)
    values = {"boolean": _booleans, "datetime": _seconds}.get(kind, _numbers)(column)
    return values.fill_nan(None)


def times(column: pl.Series) -> pl.Series:
    """Return a column as Datetime in microseconds, with its time zone if it has one; null if a value is not a time."""
    if column.dtype == pl.String:
        return _iso_times(column.set(~column.str.contains(ISO_TIME), None))  # of other dates, polars guesses the order
    if not isinstance(column.dtype, pl.Date | pl.Datetime):
        return pl.Series(column.name, [None] * len(column), pl.Datetime("us"))
    return column.cast(pl.Datetime("us", getattr(column.dtype, "time_zone", None)))


def _iso_times(strings: pl.Series) -> pl.Series:
    try:
        return strings.str.to_datetime(strict=False, time_unit="us")
    except pl.exceptions.ComputeError:  # it knows the form of none of them
        return pl.Series(strings.name, [None] * len(strings), pl.Datetime("us"))


def _strings(column: pl.Series) -> pl.Series:
    """Return values as strings; a whole number has no decimals, even if missing values made the column a float."""
    if holds_integers(column):
        column = column.fill_nan(None).cast(pl.Int64)
    return column.cast(pl.String)


def _numbers(column: pl.Series) -> pl.Series:
    if column.dtype.is_temporal():
        return pl.Series(column.name, [None] * len(column), pl.Float64)
    if column.dtype == pl.String:
        column = column.str.strip_chars()
    return column.cast(pl.Float64, strict=False)


def _booleans(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        column = column.str.to_lowercase().replace_strict({"true": 1.0, "false": 0.0}, default=None)
    values = _numbers(column)
    return values.set(~values.is_in([0.0, 1.0]), None)


def _seconds(column: pl.Series) -> pl.Series:
    return times(column).dt.timestamp("us") / 1e6
