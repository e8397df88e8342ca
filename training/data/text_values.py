"""Read the text of a column as numbers, times or booleans, by one rule that explains every value.

A column that no rule explains stays text. A column that two rules explain differently, or that a rule explains except
for a few values, is a question: the reading is not guessed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import polars as pl

from model_deployer.contract import value_form
from model_deployer.contract.value_form import NumberForm, TimeForm
from model_deployer.training.data.columns import ISO_TIME, times
from model_deployer.training.data.number_text import CURRENCY_FIRST, QUANTITY, SAMPLE, clean, number_forms, read_numbers
from model_deployer.training.data.plain_columns import CODE, is_plain_text, plain_numbers, sample_of
from model_deployer.training.data.text_questions import (
    MIN_LEVELS,
    UNKNOWN_UNIT,
    ambiguity,
    code_question,
    exceptions,
    year_question,
)
from model_deployer.training.data.time_text import STAMP, date_order, read_times, time_forms
from model_deployer.training.reading.plain_types import are_numbers

#: Marks of a missing value in a column of numbers, times or booleans. In a column of text, they are text.
MISSING_MARKS = (
    "", "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "Null", "null",
    "None", "none", "NONE", "nil", "?", "-", "--", "\N{EM DASH}", "\N{EN DASH}", ".", "..", "...", "missing",
    "Missing", "MISSING", "(null)", "(blank)", "\\N", "#VALUE!", "#REF!", "#DIV/0!", "#NULL!",
    "0000-00-00", "0000-00-00 00:00:00",
)  # fmt: skip

#: Identifiers if all values are like that: telephone numbers with a plus, and addresses of the internet.
_CODES = r"^\+\d{7,15}$|^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)$"

#: Times that a request may have as they are (RFC 3339).
_FULL_ISO_TIME = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d"

#: Words for true and false in lower case.
_BOOLEANS = (
    "true/false", "yes/no", "y/n", "t/f", "on/off", "ja/nein", "wahr/falsch", "oui/non", "vrai/faux",
    "sí/no", "si/no", "verdadero/falso", "sim/não", "sim/nao", "vero/falso", "ja/nee", "ja/nej", "kyllä/ei",
    "tak/nie", "ano/ne", "да/нет", "evet/hay\N{LATIN SMALL LETTER DOTLESS I}r", "はい/いいえ", "是/否",
)  # fmt: skip

#: Texts are read once for all rows that have them, if the different ones are at most this share of the rows.
_MAX_LEVELS_SHARE = 0.1


@dataclass(frozen=True)
class Evidence:
    """What the unambiguous columns of a table say about the others: the same program wrote them.

    Attributes:
        decimals: The separators of decimals.
        orders: Which of day and month comes first.
        has_semicolons: Whether semicolons are between the values of the file, as where decimals have commas.
    """

    decimals: frozenset[str] = frozenset()
    orders: frozenset[str] = frozenset()
    has_semicolons: bool = False

    @property
    def may_have_commas(self) -> bool:
        """Whether decimals have commas, or nothing but semicolons says what they have."""
        return "," in self.decimals or (self.has_semicolons and not self.decimals)


NO_EVIDENCE = Evidence()


@dataclass(frozen=True)
class Reading:
    """How the text of a column is read.

    Attributes:
        values: The values: numbers, times, booleans, or the text unchanged.
        form: The rule, as in ``data.formats``; None for text, and for numbers and times in their usual form.
        marks: The marks of missing values that were found among others.
        question: What is not clear, with the answers that model.yaml may give; None if the reading is certain.
        answers: The forms that answer the question.
    """

    values: pl.Series
    form: str | None = None
    marks: tuple[str, ...] = ()
    question: str | None = None
    answers: tuple[str, ...] = ()


def read_text(strings: pl.Series, evidence: Evidence, marks: Sequence[str] = ()) -> Reading:
    """Find the rule that explains every value of a column of text, and read the column by it.

    Args:
        strings: The text.
        evidence: What other columns say.
        marks: Marks of missing values in addition to the usual ones.

    Returns:
        The reading. If it has a question, its values are the text.
    """
    if (plain := _plain(strings, marks)) is not None:
        return Reading(plain)
    texts = strings.drop_nulls().unique()
    cleaned = clean(texts)
    is_mark = cleaned.is_in([*MISSING_MARKS, *(mark.strip() for mark in marks)])
    present = strings if not is_mark.any() and cleaned.equals(texts) else without_marks(strings, marks)
    levels, used_marks = cleaned.filter(~is_mark).unique(), tuple(sorted(set(cleaned.filter(is_mark)) - {""}))
    if levels.is_empty() or are_codes(levels):
        return Reading(strings)
    usual = _usual(present, levels, evidence)
    if usual is not None and (question := code_question(usual, levels)):
        return Reading(strings, question=question, answers=(NumberForm().pattern,))
    if usual is not None:
        return _certain(strings, usual, None, used_marks)
    if forms := time_forms(levels) or number_forms(levels):
        return replace(_choose(strings, present, levels, forms, evidence), marks=used_marks)
    if (iso_times := _iso_times(present, levels)) is not None:
        return _certain(strings, iso_times, None, used_marks)
    if boolean := _boolean_form(levels):
        return Reading(read_as(present, boolean), boolean, used_marks)
    if len(levels) > MIN_LEVELS and (forms := number_forms(levels, QUANTITY) or number_forms(levels, CURRENCY_FIRST)):
        return Reading(strings, question=UNKNOWN_UNIT, answers=tuple(forms))
    if question := exceptions(present, levels):
        return Reading(strings, question=question)
    return Reading(strings)


def _plain(strings: pl.Series, marks: Sequence[str]) -> pl.Series | None:
    """Return the values of a column that is plain numbers or text without doubt; None for another one."""
    sample = sample_of(strings)
    if sample is None:
        return None
    numbers = None if are_numbers(marks) else plain_numbers(strings, sample)
    if numbers is not None:
        return numbers
    return strings if is_plain_text(without_marks(sample, marks).drop_nulls()) else None


def read_as(strings: pl.Series, form: str) -> pl.Series:
    """Read text by a rule.

    Args:
        strings: The text, null for a missing value.
        form: A rule, as in ``data.formats``.

    Returns:
        Float64 or Int64 numbers, times or booleans; null for a text that the rule does not explain.

    Raises:
        ValueError: if the rule is not one.
    """
    match value_form.parse(form):
        case NumberForm() as numbers:
            return read_numbers(strings, numbers)
        case TimeForm() as times:
            return read_times(strings, times)
        case booleans:
            words = {booleans.true: True, booleans.false: False}
            return clean(strings).str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Boolean)


def are_codes(levels: pl.Series) -> bool:
    """Return whether different values made of digits are identifiers, not numbers."""
    return levels.str.contains(CODE).any() or levels.str.contains(_CODES).all()


def evidence_of(forms: Iterable[str | None], has_points: bool, has_semicolons: bool = False) -> Evidence:
    """Return what the rules of columns say about other columns.

    Args:
        forms: The rules of the columns that have no question.
        has_points: Whether a column holds plain numbers with a decimal point.
        has_semicolons: Whether semicolons are between the values of the file.
    """
    decimals, orders = set("." if has_points else ""), set()
    for form in forms:
        parsed = value_form.parse(form) if form else None
        if isinstance(parsed, NumberForm):
            decimals.add(parsed.decimal)
        elif isinstance(parsed, TimeForm) and (order := date_order(parsed.directives)):
            orders.add(order)
    return Evidence(frozenset(decimals), frozenset(orders), has_semicolons)


def without_marks(strings: pl.Series, marks: Sequence[str]) -> pl.Series:
    """Return text without blanks around it, null for a mark of a missing value."""
    cleaned = clean(strings)
    return cleaned.set(cleaned.is_in([*MISSING_MARKS, *(mark.strip() for mark in marks)]), None)


def _usual(present: pl.Series, levels: pl.Series, evidence: Evidence) -> pl.Series | None:
    """Return the values of numbers, booleans and times in their usual form; None if one is not."""
    for dtype in (pl.Int64, pl.Float64):
        numbers = levels.cast(dtype, strict=False)
        if numbers.null_count():
            continue
        if _are_dates(levels) or (dtype == pl.Float64 and _may_be_thousands(levels, evidence)):
            return None
        return present.cast(dtype, strict=False)
    if levels.str.to_lowercase().is_in(["true", "false"]).all():
        return present.str.to_lowercase() == "true"
    return _iso_times(present, levels) if levels.str.contains(_FULL_ISO_TIME).all() else None


def _iso_times(present: pl.Series, levels: pl.Series) -> pl.Series | None:
    """Return times of ISO 8601, with or without the time of day; None if a text is none."""
    if not levels.str.contains(ISO_TIME).all():
        return None
    values = _by_level(present, levels, times)
    return values if values.null_count() == present.null_count() else None


def _by_level(present: pl.Series, levels: pl.Series, read: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Read the text of a column; each different text once if there are few."""
    if len(levels) > _MAX_LEVELS_SHARE * len(present):
        return read(present)
    return present.replace_strict(levels, read(levels)).rename(present.name)


def _are_dates(levels: pl.Series) -> bool:
    """Return whether all numbers are dates.

    That is, dates such as 20240131 or 20240131235959, or months such as 01.2024 with a leading zero in some.
    """
    if levels.str.contains(r"^(0[1-9]|1[0-2])\.(19|20)\d\d$").all():
        return bool(levels.str.contains("^0").any())
    if len(levels) < 2:
        return False
    if levels.str.contains(r"^(19|20)\d{12}$").all():
        return not levels.str.to_datetime(STAMP, strict=False).null_count()
    return levels.str.contains(r"^(19|20)\d{6}$").all() and not levels.str.to_date("%Y%m%d", strict=False).null_count()


def _may_be_thousands(levels: pl.Series, evidence: Evidence) -> bool:
    """Return whether points may separate thousands: all groups have three digits, and something else speaks for it.

    Decimals have commas elsewhere in the table; or 1.500 is among whole numbers, which a program writes neither with a
    fixed number of decimals nor with as many as are needed; or all numbers end with two zeros.
    """
    groups = r"^-?[1-9]\d{0,2}(\.\d{3})*$"
    if not (levels.head(SAMPLE).str.contains(groups).all() and levels.str.contains(groups).all()):
        return False
    has_whole, has_zeros = levels.str.contains(r"^-?\d+$").any(), levels.str.contains(r"\.\d\d0$").any()
    is_round = len(levels) > 1 and levels.str.contains(r"\.\d00$").all()
    return evidence.may_have_commas or (has_whole and has_zeros) or is_round


def _boolean_form(levels: pl.Series) -> str | None:
    words = set(levels.str.to_lowercase())
    if len(words) != 2:
        return None
    return next((form for form in _BOOLEANS if set(form.split("/")) == words), None)


def _choose(strings: pl.Series, present: pl.Series, levels: pl.Series, forms: list[str], evidence: Evidence) -> Reading:
    """Read a column by the only form that explains it, or by the one that other columns confirm; else ask."""
    confirmed = [form for form in forms if _is_confirmed(form, evidence)] if len(forms) > 1 else forms
    if len(confirmed) == 1:
        values = _by_level(present, levels, lambda texts: read_as(texts, confirmed[0]))
        return _certain(strings, values, confirmed[0], ())
    return Reading(strings, question=ambiguity(forms), answers=tuple(forms))


def _certain(strings: pl.Series, values: pl.Series, form: str | None, marks: tuple[str, ...]) -> Reading:
    """Return the only reading of a column; a question if it has odd years."""
    if values.dtype == pl.Datetime and (question := year_question(values, form)):
        return Reading(strings, question=question, answers=(form,) if form else ())
    return Reading(values, form, marks)


def _is_confirmed(form: str, evidence: Evidence) -> bool:
    parsed = value_form.parse(form)
    if isinstance(parsed, NumberForm):
        return evidence.decimals == {parsed.decimal}
    return isinstance(parsed, TimeForm) and evidence.orders == {date_order(parsed.directives)}


def read_columns(
    frame: pl.DataFrame,
    columns: Sequence[str],
    stated: Iterable[str],
    marks: Sequence[str],
    known: Evidence = NO_EVIDENCE,
) -> dict[str, Reading]:
    """Read columns of text; what some of them leave open, others may decide.

    Args:
        frame: The table.
        columns: The names of the columns.
        stated: The forms of other columns.
        marks: Marks of missing values in addition to the usual ones.
        known: What is known besides.

    Returns:
        The reading of each column, by name.
    """
    readings = {name: read_text(frame[name], NO_EVIDENCE, marks) for name in columns}
    forms = [*stated, *(reading.form for reading in readings.values())]
    has_points = any(_has_decimal_point(frame[name]) for name, reading in readings.items() if _is_plain(reading))
    evidence = evidence_of(forms, has_points or "." in known.decimals, known.has_semicolons)
    return {
        name: read_text(frame[name], evidence, marks)
        if reading.question or (evidence.may_have_commas and _is_plain(reading))
        else reading
        for name, reading in readings.items()
    }


def _is_plain(reading: Reading) -> bool:
    return reading.values.dtype == pl.Float64 and reading.form is None


def _has_decimal_point(strings: pl.Series) -> bool:
    """Return whether a column has a number with a point that cannot separate thousands."""
    return bool(strings.str.contains(r"\.\d{1,2}$|\.\d{4,}|^-?0\.").any())
