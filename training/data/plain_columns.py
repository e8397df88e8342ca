"""What is clear about a column of text without a look at every value: plain numbers, and texts that are nothing else.

Most columns of a large table are one of them. The others are for :mod:`training.data.text_values`, which has the rules.
"""

import numpy as np
import polars as pl

from model_deployer.training.data.number_text import CURRENCY_FIRST, NUMBER, QUANTITY, number_forms
from model_deployer.training.data.text_questions import DATE, DURATION, ODD_EXPONENT, OTHER_DIGITS
from model_deployer.training.data.time_text import time_forms

#: The number of values that are looked at, and the smallest number that shows something.
_SAMPLE, _MIN_SAMPLE = 2_000, 1_000

#: A column is text if fewer of the sample than this are like numbers or dates.
_MAX_SHARE = 0.05

#: Digits that are an identifier and not a quantity: they have leading zeros, or too many digits for an integer.
CODE = r"^0\d+$|^-?\d{19,}$"

#: Numbers that may be something else, if all of a column are like that: dates, months, versions, codes of countries
#: before telephone numbers, and thousands with points.
_UNCLEAR = r"^(19|20)\d{6}$", r"^(19|20)\d{12}$", r"^\d\d?\.(19|20)\d\d$", r"^[1-9]\d{0,2}\.\d{1,2}$", r"^\+\d{7,15}$"
_GROUPS = r"^-?[1-9]\d{0,2}(\.\d{3})*$"


def sample_of(strings: pl.Series) -> pl.Series | None:
    """Return random values of a column, with repetition and without nulls; None if there are too few."""
    if len(strings) < 2 * _SAMPLE:
        return None
    rows = np.random.default_rng(0).integers(0, len(strings), _SAMPLE)
    sample = strings.gather(rows).drop_nulls()
    return sample if len(sample) >= _MIN_SAMPLE else None


def plain_numbers(strings: pl.Series, sample: pl.Series) -> pl.Series | None:
    """Return the numbers of a column in which every text is a plain number and nothing else, Int64 or Float64.

    Args:
        strings: The text, null for a missing value.
        sample: Some of it, from :func:`sample_of`.

    Returns:
        The numbers; None if the column may be something else, or has marks of missing values or blanks.
    """
    for dtype in (pl.Int64, pl.Float64):
        if sample.cast(dtype, strict=False).null_count():
            continue
        unclear = _UNCLEAR if dtype == pl.Int64 else (*_UNCLEAR, _GROUPS)
        if any(sample.str.contains(pattern).all() for pattern in unclear):
            return None
        numbers = strings.cast(dtype, strict=False)
        if numbers.null_count() > strings.null_count():
            continue
        return None if _has_codes(strings) or (dtype == pl.Float64 and _has_marks(strings, numbers)) else numbers
    return None


def is_plain_text(sample: pl.Series) -> bool:
    """Return whether a sample of a column, without marks of missing values, shows that it is text and nothing else."""
    levels = sample.unique()
    if len(sample) < _MIN_SAMPLE or levels.str.to_lowercase().n_unique() <= 2:
        return False
    is_regular = sample.str.contains(NUMBER) | sample.str.contains(QUANTITY) | sample.str.contains(DATE)
    if is_regular.sum() > _MAX_SHARE * len(sample) or levels.str.contains(OTHER_DIGITS).any():
        return False
    if levels.str.contains(DURATION).any() or number_forms(levels, CURRENCY_FIRST):
        return False
    return not time_forms(levels)


def _has_codes(strings: pl.Series) -> bool:
    zeros = strings.filter(strings.str.starts_with("0"))
    longest = strings.str.len_bytes().max()
    is_long = isinstance(longest, int) and longest > 18
    return bool(zeros.str.contains(CODE).any()) or is_long


def _has_marks(strings: pl.Series, numbers: pl.Series) -> bool:
    """Return whether some texts are NaN, infinite, or like an identifier with an e."""
    if not bool(numbers.is_finite().all()):
        return True
    exponents = [strings.filter(strings.str.contains(letter, literal=True)) for letter in "eE"]
    return any(bool(texts.str.contains(ODD_EXPONENT).any()) for texts in exponents)
