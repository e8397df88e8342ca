"""The forms of numbers, times and booleans in text."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.contract import value_form
from model_deployer.contract.value_form import BooleanForm, NumberForm, TimeForm

PREFIXES, SUFFIXES = ["", "$", "€", "USD", "US$"], ["", "%", "€", "kg", "°C", "km/h"]
SEPARATORS = [("", "."), ("", ","), (",", "."), (".", ","), (" ", ","), ("'", ".")]
FORMS = st.builds(
    lambda prefix, separators, suffix: NumberForm(prefix, separators[0], separators[1], suffix),
    st.sampled_from(PREFIXES), st.sampled_from(SEPARATORS), st.sampled_from(SUFFIXES),
)  # fmt: skip
NUMBERS = st.integers(-(10**12), 10**12).map(lambda number: number / 100)


def written(number: float, form: NumberForm) -> str:
    """Return a number with two decimals in a form."""
    integer, _, decimals = f"{abs(number):,.2f}".partition(".")
    sign = "-" if number < 0 else ""
    return f"{sign}{form.prefix}{integer.replace(',', form.thousands)}{form.decimal}{decimals} {form.suffix}".strip()


@given(FORMS)
def test_a_form_of_numbers_is_its_pattern(form: NumberForm) -> None:
    assert value_form.parse(form.pattern) == form


@given(FORMS, NUMBERS)
def test_numbers_are_read_as_they_were_written(form: NumberForm, number: float) -> None:
    assert form.read(written(number, form)) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("$1,200", 1200.0), ("1200", 1200.0), (" 12 ", 12.0), ("(5.0)", -5.0), ("($5)", -5.0), ("-$5", -5.0),
        ("$-5", -5.0), ("5-", -5.0), ("+5", 5.0), ("1,200.50", 1200.5), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0),
        ("\u22125", -5.0), ("1,2", None), ("12,34", None), ("1.5.2", None), ("", None), ("$", None), ("-", None),
        ("--5", None), ("(5", None), ("-5-", None), ("five", None), ("5 €", None), ("NaN", None), ("1_000", None),
        ("1\u00a0200", None), ("12,34,567.5", 1234567.5), ("5.-", 5.0), ("$1,234.--", 1234.0),
        ("-5.\u2013", -5.0), (".-", None), ("5.-0", None), ("12,34,56", None), ("0,125", None), ("012,345", None),
    ],
)  # fmt: skip
def test_only_numbers_of_the_form_are_read(text: str, number: float | None) -> None:
    assert NumberForm.parse("$1,234.5").read(text) == number


@pytest.mark.parametrize(
    ("directives", "text", "time"),
    [
        ("%m/%d/%Y", "9/3/1990", datetime(1990, 9, 3)),
        ("%d/%m/%Y", "9/3/1990", datetime(1990, 3, 9)),
        ("%d/%m/%Y", "13/13/1990", None),
        ("%d.%m.%y %H:%M", "05.01.24 7:05", datetime(2024, 1, 5, 7, 5)),
        ("%b %d, %Y", "Jan 5, 2024", datetime(2024, 1, 5)),
        ("%Y-%m", "2024-02", datetime(2024, 2, 1)),
        ("%b-%y", "Jan-24", datetime(2024, 1, 1)),
        ("%H:%M", "10:05", datetime(1970, 1, 1, 10, 5)),
        ("%Y-%m-%d %H:%M:%S UTC", "2024-01-05 10:00:00 UTC", datetime(2024, 1, 5, 10, tzinfo=UTC)),
        ("%Y%m%d", "20240105", datetime(2024, 1, 5)),
    ],
)
def test_times_are_read_by_their_directives(directives: str, text: str, time: datetime | None) -> None:
    assert TimeForm(directives).read(text) == time


def test_booleans_have_two_words() -> None:
    form = BooleanForm.parse("Ja/Nein")
    assert [form.read(text) for text in ("ja", " NEIN ", "yes", "")] == [True, False, None, None]
    assert value_form.parse(form.pattern) == form


@pytest.mark.parametrize("form", ["", "12", "1,234,5", "yes", "yes/yes", "/no", "%q", "%", "a/b/c", "%M", "%H%M%S%f"])
def test_a_form_that_cannot_be_read_is_refused(form: str) -> None:
    with pytest.raises(ValueError, match=r"expected|not supported"):
        value_form.parse(form)
