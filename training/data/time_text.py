"""Times in text: the forms that explain all values of a column, and their values."""

import re
from typing import Literal

import polars as pl

from model_deployer.contract.value_form import TimeForm
from model_deployer.training.data.number_text import SAMPLE


def read_times(strings: pl.Series, form: TimeForm) -> pl.Series:
    """Read times as :meth:`TimeForm.read` does.

    Returns:
        Datetime in microseconds, in UTC if the form is zoned; null for a text in another form.
    """
    before, _, after = form.complete("\0").partition("\0")
    texts = pl.select(pl.concat_str([pl.lit(before), strings.str.strip_chars(), pl.lit(after)])).to_series()
    texts = texts.set(~texts.str.contains(_time_expression(form.full_directives)), None)
    if texts.null_count() == len(texts):
        return pl.Series(strings.name, [None] * len(texts), pl.Datetime("us"))
    texts = texts.str.replace(r",(\d+[^,]*)$", ".$1") if ",%f" in form.directives else texts
    directives = re.sub("[.,]%f", "%.f", form.full_directives)  # to chrono, %f is a number of nanoseconds
    times = texts.str.to_datetime(directives, strict=False, time_unit="us")
    if form.is_zoned and getattr(times.dtype, "time_zone", None) is None:
        times = times.dt.replace_time_zone("UTC")
    return times.rename(strings.name)


#: The expression of each directive: the one of strptime reads years of one digit.
_DIRECTIVES = {
    "Y": r"\d{4}", "y": r"\d{2}", "m": r"\d{1,2}", "d": r"\d{1,2}", "j": r"\d{1,3}", "b": r"[^\W\d_]{3,4}\.?",
    "B": r"[^\W\d_]{3,}", "H": r"\d{1,2}", "I": r"\d{1,2}", "M": r"\d{2}", "S": r"\d{2}", "f": r"\d{1,6}",
    "p": r"[AaPp][Mm]", "z": r"[+-]\d{2}:?\d{2}", "%": "%",
}  # fmt: skip


def _time_expression(directives: str) -> str:
    """Return the regular expression of texts in a form."""
    parts = re.split("%(.)", directives)
    return "^" + "".join(_DIRECTIVES[part] if index % 2 else re.escape(part) for index, part in enumerate(parts)) + "$"


#: The forms of dates. With points, the day comes first: no country writes the month or a short year first so.
_DATES = (
    *(
        form.replace("-", separator)
        for separator in "/-. "
        for form in ("%d-%m-%Y", "%m-%d-%Y", "%d-%m-%y", "%m-%d-%y", "%y-%m-%d", "%Y-%m-%d", "%m-%Y", "%Y-%m")
        if not (separator == "." and form.startswith(("%m-%d", "%y")))
    ),
    *(
        form.replace("%b", month)
        for month in ("%b", "%B")
        for form in (
            "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%d %b, %Y", "%d. %b %Y", "%b %d, %Y", "%b %d %Y", "%b-%d-%Y",
            "%Y-%b-%d", "%Y %b %d", "%b %Y", "%b-%Y", "%b-%y",
        )
    ),
    "%Y\N{CJK UNIFIED IDEOGRAPH-5E74}%m\N{CJK UNIFIED IDEOGRAPH-6708}%d\N{CJK UNIFIED IDEOGRAPH-65E5}",
    "%Y\N{CJK UNIFIED IDEOGRAPH-5E74}%m\N{CJK UNIFIED IDEOGRAPH-6708}",
    "%Y\N{HANGUL SYLLABLE NYEON} %m\N{HANGUL SYLLABLE WEOL} %d\N{HANGUL SYLLABLE IL}",
    "%Y%m%d",
    "",
)  # fmt: skip

#: A date with a time of day in digits alone.
STAMP = "%Y%m%d%H%M%S"

#: A time of day at the end of a text, and what precedes it.
_CLOCK = re.compile(
    r"(?P<gap>(?:^|T|,? ))\d{1,2}:\d{2}(?P<seconds>:\d{2})?(?P<fraction>[.,]\d{1,6})?(?P<half>(?P<blank> ?)[AaPp][Mm])?"
    r"(?P<zone> ?UTC| ?GMT|Z| ?[+-]\d{2}:?\d{2})?$"
)


def time_forms(levels: pl.Series) -> list[str]:
    """Return the forms of times that explain all values, each with another result."""
    sample = levels.head(SAMPLE).to_list()
    clock = _clock_directives(sample[0])
    forms: dict[str, pl.Series] = {}
    for date in (*_DATES, *(() if clock else (STAMP,))):
        if not date + clock:
            continue
        expression = _time_expression(date + clock)
        if not all(re.match(expression, text) for text in sample):
            continue
        times = read_times(levels, TimeForm(date + clock))
        if not times.null_count() and not any(times.equals(other) for other in forms.values()):
            forms[date + clock] = times
    return list(forms)


def _clock_directives(text: str) -> str:
    """Return the directives of the time of day at the end of a text; empty if it has none."""
    match = _CLOCK.search(text)
    if not match:
        return ""
    hour = "%I" if match["half"] else "%H"
    fraction = f"{match['fraction'][0]}%f" if match["fraction"] else ""
    directives = f"{match['gap']}{hour}:%M{':%S' if match['seconds'] else ''}{fraction}"
    half = f"{match['blank']}%p" if match["half"] else ""
    zone = re.sub(r"[+-].*", "%z", match["zone"] or "")
    return directives + half + zone


def date_order(directives: str) -> Literal["day", "month"] | None:
    """Return which of day and month comes first in a numeric date with the year at the end; None for other forms."""
    if re.match(r"%d\W%m", directives):
        return "day"
    return "month" if re.match(r"%m\W%d", directives) else None
