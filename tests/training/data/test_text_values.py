"""Text in tables: what a rule explains, what stays text, and what is asked."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.contract import value_form
from model_deployer.contract.value_form import NumberForm, TimeForm
from model_deployer.training.data.number_text import read_numbers
from model_deployer.training.data.text_values import Evidence, Reading, read_as, read_columns, read_text
from model_deployer.training.data.time_text import _CLOCK, _DATES, read_times
from tests.contract.test_value_form import FORMS, NUMBERS, written

MANY = [str(number) for number in range(400)]


def read(*texts: str | None) -> Reading:
    return read_text(pl.Series("x", texts, dtype=pl.String), Evidence())


@pytest.mark.parametrize(
    ("texts", "form", "first"),
    [
        (["1,234.50", "12.00", "1,000,000.25"], "1,234.5", 1234.5),
        (["1.234,50", "12,00", "1.000.000,25"], "1.234,5", 1234.5),
        (["1,5", "12,25", "100"], "1234,5", 1.5),
        (["1 234", "22 345", "999"], "1 234.5", 1234),
        (["1\u00a0234,5", "22\u202f345,1", "999"], "1 234,5", 1234.5),
        (["1'234.5", "22'345", "9"], "1'234.5", 1234.5),
        (["12%", "3.5%", "99%"], "1234.5%", 12),
        (["$1,200", "$950", "-$3.5"], "$1,234.5", 1200),
        (["1.234,50 €", "9 €", "0,5 €"], "1.234,5€", 1234.5),
        (["(5.0)", "6.2", "7"], "1234.5", -5),
        (["1.234,-", "5,-", "7,50"], "1.234,5", 1234),
        (["5,-- €", "12,\u2013 €"], "1234,5€", 5),
        (["Fr. 5.-", "Fr. 7.50"], "Fr.1234.5", 5),
        (["5-", "6", "7-"], "1234.5", -5),
        (["12 kg", "13.5 kg", "9 kg"], "1234.5 kg", 12),
        (["36 months", "60 months"], "1234.5 months", 36),
        ([*MANY, "1,234.5"], "1,234.5", 0),
        (["1e5", "1.2e-05", "3"], None, 1e5),
        (["1.80", "1.9", "1.05"], None, 1.8),
        (["1,23,456.7", "12,34,56,789", "1,234"], "1,234.5", 123456.7),
        (["0,125", "1,250", "12,500"], "1234,5", 0.125),
    ],
)
def test_numbers(texts: Sequence[str], form: str | None, first: float) -> None:
    reading = read(*texts)
    assert (reading.form, reading.question) == (form, None)
    assert reading.values[0] == first
    assert reading.values.dtype.is_numeric()
    assert not reading.values.null_count()


@pytest.mark.parametrize(
    ("texts", "form", "first"),
    [
        (["11/08/2023", "08/31/2022"], "%m/%d/%Y", datetime(2023, 11, 8)),
        (["31/12/2024", "01/02/2024"], "%d/%m/%Y", datetime(2024, 12, 31)),
        (["2024/01/05", "2024/12/31"], "%Y/%m/%d", datetime(2024, 1, 5)),
        (["05.01.2024", "06.02.2024"], "%d.%m.%Y", datetime(2024, 1, 5)),
        (["05/13/24", "01/02/24"], "%m/%d/%y", datetime(2024, 5, 13)),
        (["Jan 5, 2024", "Feb 12, 2024"], "%b %d, %Y", datetime(2024, 1, 5)),
        (["November 16 2018", "May 3 2018"], "%B %d %Y", datetime(2018, 11, 16)),
        (["9/30/1990 0:00:00", "12/1/1990 14:05:00"], "%m/%d/%Y %H:%M:%S", datetime(1990, 9, 30)),
        (["01/13/2024 3:07 PM", "01/14/2024 11:07 AM"], "%m/%d/%Y %I:%M %p", datetime(2024, 1, 13, 15, 7)),
        (["2024-01-05 10:00:00 UTC"], "%Y-%m-%d %H:%M:%S UTC", datetime(2024, 1, 5, 10, tzinfo=UTC)),
        (["2024-01", "2023-12"], "%Y-%m", datetime(2024, 1, 1)),
        (["01.2024", "12.2023"], "%m.%Y", datetime(2024, 1, 1)),
        (["10:05", "23:59"], "%H:%M", datetime(1970, 1, 1, 10, 5)),
        (["1.2.2024 0:05:00.25", "1.3.2024 9:00:00.5"], "%d.%m.%Y %H:%M:%S.%f", datetime(2024, 2, 1, 0, 5, 0, 250000)),
        (["2024-01-13 10:05:00,0", "2024-02-01 00:00:00,5"], "%Y-%m-%d %H:%M:%S,%f", datetime(2024, 1, 13, 10, 5)),
        (["20240105", "20231231"], "%Y%m%d", datetime(2024, 1, 5)),
        (["20240105100500", "20231231235959"], "%Y%m%d%H%M%S", datetime(2024, 1, 5, 10, 5)),
        (["2024\u5e741\u67085\u65e5", "2023\u5e7412\u670831\u65e5"], "%Y\u5e74%m\u6708%d\u65e5", datetime(2024, 1, 5)),
        (["2024-01-05", "2023-12-31"], "%Y-%m-%d", datetime(2024, 1, 5)),
        (["2024-01-05T10:00:00Z", "2024-01-06T10:00:00Z"], None, datetime(2024, 1, 5, 10, tzinfo=UTC)),
    ],
)
def test_times(texts: Sequence[str], form: str | None, first: datetime) -> None:
    reading = read(*texts)
    assert (reading.form, reading.question, reading.values[0]) == (form, None, first)


@pytest.mark.parametrize(
    ("texts", "answers"),
    [
        (["11/08/2023", "08/11/2022"], ("%d/%m/%Y", "%m/%d/%Y")),
        (["05/01/24", "01/02/24"], ("%d/%m/%y", "%m/%d/%y", "%y/%m/%d")),
        (["24-01-05", "24-01-06"], ("%d-%m-%y", "%y-%m-%d")),
        (["1,234", "12,345"], ("1234,5", "1,234.5")),
        (["$1.234", "$12.345"], ("$1234.5", "$1.234,5")),
        (["999", "1.234", "12.500"], ("1234.5", "1.234,5")),
        (["12e5", "1234", "77e1"], ("1234.5",)),
        (["1.8", "1.9", "1.10"], ("1234.5",)),
        (["05.01.41", "31.12.67"], ("%d.%m.%y",)),
        (["05.01.2024", "31.12.9999"], ("%d.%m.%Y",)),
        (["31/12/2567", "01/01/2566"], ("%d/%m/%Y",)),
        (["0001-01-01T00:00:00", "2024-01-01T00:00:00"], ()),
        (["1.500", "12.000"], ("1234.5", "1.234,5")),
    ],
)
def test_what_two_rules_explain_is_asked(texts: Sequence[str], answers: Sequence[str]) -> None:
    reading = read(*texts)
    assert reading.question
    assert set(reading.answers) == set(answers)
    assert reading.values.to_list() == texts


@pytest.mark.parametrize("text", ["abc", "<0.5", "12/2024/1", "12345-6789"])
def test_what_a_rule_does_not_explain_is_asked_with_its_row_and_without_its_text(text: str) -> None:
    reading = read(*MANY[:16], text, *MANY[16:])
    assert reading.question
    assert "row 17" in reading.question
    assert text not in reading.question
    assert not reading.answers


@pytest.mark.parametrize(
    ("even", "odd"),
    [(" kg", " g"), ("%", ""), (".5k", ".5M"), (".50 DR", ".50 CR"), (".5\u00b0N", ".5\u00b0S")],
)
def test_numbers_of_several_units_are_asked(even: str, odd: str) -> None:
    reading = read(*(f"{number}{odd if number % 2 else even}" for number in range(100)))
    assert reading.question
    assert "more than one form" in reading.question


@pytest.mark.parametrize(
    ("unit", "answers", "first"),
    [
        ("{}.50 TL", ("1234.5 TL",), 1.5),
        ("{},234\u70b9", ("1234,5 \u70b9", "1,234.5 \u70b9"), 1234),
        ("{} 234 Ft", ("1 234.5 Ft",), 1234),
        ("RM {}.50", ("RM1234.5",), 1.5),
    ],
)
def test_numbers_of_an_unknown_unit_are_asked(unit: str, answers: Sequence[str], first: float) -> None:
    texts = [unit.format(number) for number in range(1, 50)]
    reading = read(*texts)
    assert reading.question == "its numbers come with a text that is not a known unit or currency"
    assert reading.answers == answers
    assert read_as(pl.Series(texts), answers[-1])[0] == first


def test_a_percentage_of_zero_may_lack_its_unit() -> None:
    assert read("0", "1%", "50%").form == "1234.5%"


@pytest.mark.parametrize("form", ["{}:30", "{}:30:00", "{}:00.5"])
def test_durations_are_asked(form: str) -> None:
    assert "durations" in str(read(*(form.format(number) for number in range(50))).question)


def test_digits_of_other_scripts_are_asked() -> None:
    digits = str.maketrans("0123456789", "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669")
    reading = read(*(f"{number}\u066b5".translate(digits) for number in range(100)))
    assert reading.question == "its digits are not those from 0 to 9"


@pytest.mark.parametrize(
    "texts",
    [
        ["A12", "B13"], ["01234", "12345"], ["3+", "0", "1", "2"], ["10+ years", "< 1 year"], ["Dept 1", "Dept 2"],
        ["10.0.0.1", "10.0.0.2"], ["1.2.3", "1.10.0"], ["2024Q1", "2024Q2"], ["10-20", "20-30"], ["a", "-"], ["", None],
        ["12345678901234567890", "1"], ["555-1234", "555-9999"], ["n", "s"],
        [f"J{number}.1" for number in range(50)], ["100-45-1000", "101-45-1001"],
        ["192.168.100.200", "192.168.101.201"], ["+491510000001", "+491510000002"], ["030 100 200", "030 100 201"],
    ],
)  # fmt: skip
def test_other_text_stays_text(texts: Sequence[str | None]) -> None:
    reading = read(*texts)
    assert (reading.form, reading.question, reading.values.to_list()) == (None, None, texts)


@pytest.mark.parametrize("end", [" 10:00:00;5", " 10:00:00 EST", " 10:00:00 Europe/Berlin"])
def test_times_in_a_form_that_is_not_known_are_asked(end: str) -> None:
    days = [date(2024, 1, 1) + timedelta(days=day) for day in range(30)]
    assert read(*(f"{day}{end}" for day in days)).question


def test_marks_of_missing_values_are_reported() -> None:
    reading = read("1", "-", "#N/A", "3", " missing ", ".", "", None)
    assert reading.values.to_list() == [1, None, None, 3, None, None, None, None]
    assert reading.marks == ("#N/A", "-", ".", "missing")
    assert read("0000-00-00", "2024-01-05").values.to_list() == [None, datetime(2024, 1, 5)]


@pytest.mark.parametrize(
    ("texts", "form"), [(["Yes", "no", "NO"], "yes/no"), (["Ja", "Nein"], "ja/nein"), (["да", "нет"], "да/нет")]
)
def test_words_for_true_and_false(texts: Sequence[str], form: str) -> None:
    reading = read(*texts)
    assert (reading.form, reading.values.to_list()[:2]) == (form, [True, False])


@pytest.mark.parametrize(
    ("other", "form", "value"),
    [
        (["1,5", "2,25"], "1.234,5", 1234),
        (["1.5", "2.25"], None, 1.234),
    ],
)
def test_other_columns_say_which_separator_is_which(other: Sequence[str], form: str | None, value: float) -> None:
    frame = pl.DataFrame({"x": ["1.234", "12.345"], "other": other})
    reading = read_columns(frame, frame.columns, (), ())["x"]
    assert (reading.form, reading.values[0], reading.question) == (form, value, None)


@pytest.mark.parametrize(
    ("texts", "other", "form"),
    [
        (["1.234", "12.345"], ["1", "2"], None),
        (["1.234", "12.345"], ["1,5", "2"], "1.234,5"),
        (["1.234", "12.345"], ["1.5", "2"], "plain"),
        (["1.25", "12.345"], ["1", "2"], "plain"),
        (["0.125", "12.345"], ["1", "2"], "plain"),
    ],
)
def test_points_in_a_file_with_semicolons_are_asked(texts: list[str], other: list[str], form: str | None) -> None:
    frame = pl.DataFrame({"x": texts, "other": other})
    reading = read_columns(frame, frame.columns, (), (), Evidence(has_semicolons=True))["x"]
    assert bool(reading.question) is (form is None)
    assert reading.form == (None if form in (None, "plain") else form)


@pytest.mark.parametrize(("other", "form"), [("12/31/2024", "%m/%d/%Y"), ("31/12/2024", "%d/%m/%Y")])
def test_other_columns_say_whether_the_day_comes_first(other: str, form: str) -> None:
    frame = pl.DataFrame({"x": ["03/04/2024", "01/02/2023"], "other": [other, "01/02/2024"]})
    assert read_columns(frame, frame.columns, (), ())["x"].form == form


@given(FORMS, st.lists(NUMBERS, min_size=1, max_size=20), st.lists(st.text(max_size=8)))
def test_a_table_and_a_request_read_the_same_numbers(form: NumberForm, numbers: list[float], others: list[str]) -> None:
    texts = [*(written(number, form) for number in numbers), *others]
    assert read_numbers(pl.Series("x", texts), form).to_list() == [form.read(text) for text in texts]


@given(FORMS, st.lists(NUMBERS, min_size=1, max_size=20))
def test_no_number_is_read_wrongly(form: NumberForm, numbers: list[float]) -> None:
    """What is read is what was written; otherwise it is text or a question."""
    reading = read(*(written(number, form) for number in numbers))
    if reading.values.dtype.is_numeric():
        assert reading.values.to_list() == numbers


TIME_FORMS = st.builds(
    lambda day, clock: (day + clock).strip(),
    st.sampled_from([form for form in _DATES if form]),
    st.sampled_from(["", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %H:%M:%S,%f", " %I:%M %p", " %H:%M:%S UTC"]),
)
TIMES = st.datetimes(datetime(1971, 1, 1), datetime(2068, 1, 1))


@given(TIME_FORMS, st.lists(TIMES, min_size=1, max_size=20))
def test_no_time_is_read_wrongly(directives: str, times: list[datetime]) -> None:
    form = TimeForm(directives)
    texts = [time.strftime(directives) for time in times]
    expected = [form.read(text) for text in texts]
    assert read_times(pl.Series("x", texts), form).to_list() == expected
    reading = read(*texts)
    if reading.values.dtype.is_temporal():
        assert reading.values.to_list() == expected
    else:
        assert reading.question or reading.values.dtype.is_numeric()


def test_a_clock_is_at_the_end_of_a_text() -> None:
    assert _CLOCK.search("31/12/2024 10:05:00.25 PM +01:00")
    assert not _CLOCK.search("10:05 on 31/12/2024")


@given(st.lists(st.one_of(st.text(max_size=12), st.none()), max_size=30))
def test_whatever_comes_is_read_or_stays_text(texts: list[Any]) -> None:
    reading = read(*texts)
    assert len(reading.values) == len(texts)
    if reading.form:
        value_form.parse(reading.form)
        assert read_as(pl.Series("x", ["?"]), reading.form)[0] is None


def test_a_year_of_dates_is_read_or_asked_in_every_order() -> None:
    days = [date(2024, 1, 1) + timedelta(days=day) for day in range(366)]
    for form in ("%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%d", "%d-%m-%Y", "%m-%d-%Y", "%d %B %Y"):
        assert read(*(day.strftime(form) for day in days)).form == form
