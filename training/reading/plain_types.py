"""Columns of a delimited text that polars can read as numbers, with the result that reading them as text would have.

The first rows show which columns may be plain numbers, and the bytes and values of all rows that they are. Whatever is
not certain is text.
"""

from collections.abc import Collection, Mapping, Sequence

import polars as pl

from model_deployer.training.reading.byte_counts import ByteCounts
from model_deployer.training.spec import Spec

#: The number of first rows that are looked at, and the smallest number of rows of a file that is worth it.
SAMPLE_ROWS = 2_000

#: Digits are an identifier if the number is as large as this: they are 19 or more.
_MAX_NUMBER = 1e18

_WHOLE, _NUMBER = r"^-?(0|[1-9]\d*)$", r"^-?(0|[1-9]\d*)(\.\d+)?$"

#: A number whose point certainly begins decimals.
_DECIMALS = r"^-?(0|[1-9]\d*)\.(\d{1,2}|\d{4,})$|^-?0\.\d+$"

#: Numbers that may mean something else if all of a column are like that: dates, months, versions and prices.
_UNCLEAR = r"^(19|20)\d{6}$", r"^(19|20)\d{12}$", r"^\d\d?\.(19|20)\d\d$", r"^[1-9]\d{0,2}\.\d{1,2}$"

PlainTypes = Mapping[str, type[pl.Int64 | pl.Float64]]


def plain_types(sample: pl.DataFrame, exempt: Collection[str]) -> PlainTypes:
    """Return the types of the columns that are plain numbers in the first rows of a file, by the name of the column.

    Args:
        sample: The first rows as strings.
        exempt: Columns that are read by another rule.
    """
    types = {column.name: _plain_type(column.drop_nulls()) for column in sample if column.name not in exempt}
    return {name: dtype for name, dtype in types.items() if dtype is not None}


def are_numbers(marks: Sequence[str]) -> bool:
    """Return whether a mark of a missing value is a number, such as -999: then no number is plain."""
    return bool(pl.Series(marks, dtype=pl.String).str.strip_chars().cast(pl.Float64, strict=False).is_not_null().any())


def exempt_columns(spec: Spec) -> set[str]:
    """Return the columns that model.yaml gives another rule, by their names in the file."""
    names = {new: old for old, new in spec.data.rename.items()}
    ruled = {name for name, form in spec.data.formats.items() if form is not None}
    ruled |= {name for name, feature in spec.features.items() if feature.kind is not None or feature.normalize}
    ruled |= {spec.data.target} if spec.task == "classification" else set()
    return ruled | {names[name] for name in ruled if name in names}


def are_plain(frame: pl.DataFrame, counts: ByteCounts) -> bool:
    """Return whether the numbers of a frame, which was read with :func:`plain_types`, are those of a reading as text.

    Args:
        frame: The rows.
        counts: Counts of the bytes that they were read from.
    """
    numbers = [column for column in frame if column.dtype != pl.String]
    if numbers and (counts.has_leading_zeros or counts.has_exponents):
        return False
    return all(_is_in_range(column) for column in numbers)


def _plain_type(values: pl.Series) -> type[pl.Int64 | pl.Float64] | None:
    if len(values) < SAMPLE_ROWS // 2 or any(values.str.contains(pattern).all() for pattern in _UNCLEAR):
        return None
    if values.str.contains(_WHOLE).all():
        return pl.Int64
    has_decimals = values.str.contains(_NUMBER).all() and values.str.contains(_DECIMALS).any()
    return pl.Float64 if has_decimals else None


def _is_in_range(numbers: pl.Series) -> bool:
    if numbers.dtype == pl.Float64 and not numbers.is_finite().all():
        return False
    low, high = numbers.min(), numbers.max()
    return low is None or (float(low) > -_MAX_NUMBER and float(high) < _MAX_NUMBER)  # type: ignore[arg-type]
