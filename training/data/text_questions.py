"""Questions about a column of text that no rule explains with certainty.

A question is a phrase that continues "column 'x': ...". It never quotes a value.
"""

import re
from collections.abc import Sequence

import polars as pl

from model_deployer.contract import value_form
from model_deployer.contract.value_form import TimeForm
from model_deployer.training.data.number_text import NUMBER, QUANTITY, SAMPLE

#: A column is a question if at least this share of its values are numbers or times, with more distinct ones than this.
_MIN_SHARE, MIN_LEVELS = 0.5, 20

UNKNOWN_UNIT = "its numbers come with a text that is not a known unit or currency"

#: A date with numbers, and a duration or time of day.
DATE = r"^(\d{1,2}|\d{4})[-/.]\d{1,2}[-/.](\d{1,2}|\d{4})(\D|$)"
DURATION = r"^-?\d{1,4}:\d{2}(:\d{2})?([.,]\d+)?$"

#: Numbers whose digits are those of another script.
OTHER_DIGITS = r"^[\p{Nd}\p{P}\p{S}\s]*[\p{Nd}&&[^0-9]][\p{Nd}\p{P}\p{S}\s]*$"

#: Numbers with an exponent that no program writes so, and with one or two decimals that may be numbers of versions.
ODD_EXPONENT = r"^\d{2,}[eE]\d+$"
_VERSION = r"^[1-9]\d{0,2}\.\d{1,2}$"

#: The years that two digits may mean in place of those of the last century (POSIX reads 68 as 2068, and 69 as 1969).
_LATE_YEARS = (2040, 2068)

#: Years that are usual.
_YEARS = (1600, 2200)


def ambiguity(forms: Sequence[str]) -> str:
    """Return the question for a column that several forms explain with different values."""
    if isinstance(value_form.parse(forms[0]), TimeForm):
        texts = [f"`{form}`" for form in forms]
        return f"its dates can be read in more than one way, as {' or as '.join(texts)}"
    readings = [f"`{form}`" for form in forms]
    return (
        "the separators of its numbers are not clear: 1,234 may be one thousand two hundred and thirty-four, or a "
        f"number just above 1; the table writes 1234.5 as {' or '.join(readings)}"
    )


def code_question(numbers: pl.Series, levels: pl.Series) -> str | None:
    """Return a question if numbers may be identifiers that lose their text, such as 12e5, or 1.1 and 1.10."""
    if numbers.dtype != pl.Float64:
        return None
    if levels.str.contains(ODD_EXPONENT).any():
        return "some of its numbers look like identifiers with an e among digits"
    if not (levels.head(SAMPLE).str.contains(_VERSION).all() and levels.str.contains(_VERSION).all()):
        return None
    has_tenth, has_tens, has_hundredths = (
        levels.str.contains(expression).any() for expression in (r"\.\d$", r"\.[1-9]0$", r"\.0\d$")
    )
    is_version = has_tenth and has_tens and not has_hundredths
    return "its numbers may be versions: 1.1 and 1.10 would be the same number" if is_version else None


def year_question(values: pl.Series, form: str | None) -> str | None:
    """Return a question if years of two digits may be of the last century, or years may be of another calendar.

    Args:
        values: Times.
        form: The form that they were read by; None for ISO 8601.
    """
    years = values.dt.year()
    if form and "%y" in form and years.is_between(*_LATE_YEARS).any():
        return "its years have two digits, and 40 to 68 are read as 2040 to 2068, which may be the last century"
    if years.is_between(*_YEARS).all():
        return None
    return "some of its years are before 1600 or after 2200, as those of other calendars, or marks of missing values"


def exceptions(present: pl.Series, levels: pl.Series) -> str | None:
    """Return a question if most values are numbers or dates and a few are not, with a row and the shape of one."""
    if len(levels) > MIN_LEVELS and levels.str.contains(OTHER_DIGITS).all():
        return "its digits are not those from 0 to 9"
    if len(levels) > MIN_LEVELS and levels.str.contains(DURATION).all():
        return "its values are durations, or times beyond 24 hours; write durations as numbers, such as minutes"
    is_number = levels.str.contains(NUMBER) | levels.str.contains(QUANTITY)
    is_regular = is_number | levels.str.contains(DATE)
    if is_regular.sum() <= MIN_LEVELS:
        return None
    regular = present.is_in(levels.filter(is_regular).implode())
    share = regular.sum() / (len(present) - present.null_count())
    if share < _MIN_SHARE:
        return None
    others = (~regular & present.is_not_null()).arg_true()
    if others.is_empty() and not is_number.any():
        return "its dates have more than one form, or a form that is not known"
    if others.is_empty():
        return "its numbers have more than one form, such as several units or currencies, or several forms of dates"
    row = int(others[0])
    return (
        f"{share:.1%} of its values are numbers or dates, and {len(others):,} not; the first other one is in row "
        f"{row + 1}, a text of the form {_shape(present[row])}"
    )


def _shape(text: str) -> str:
    """Return the form of a text without its content: A and a for letters, 9 for digits."""
    shape = re.sub(r"[0-9]", "9", re.sub(r"[^\W\d_]", lambda match: "A" if match[0].isupper() else "a", text))
    return f"'{shape[:20]}'" + ("..." if len(shape) > 20 else "")
