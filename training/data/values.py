"""Turn the text of a table into numbers, times and booleans, column by column, or ask what is not clear."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from model_deployer.contract.errors import DataError
from model_deployer.training.data.shaping import lag_sources
from model_deployer.training.data.target import MAX_INTEGER_CLASSES
from model_deployer.training.data.text_values import Evidence, Reading, read_as, read_columns, without_marks
from model_deployer.training.spec import Spec

_TEXT_KINDS = ("categorical", "text")


@dataclass(frozen=True)
class Question:
    """What a data scientist must say about a column.

    Attributes:
        column: The name of the column.
        text: What is not clear.
        answers: The forms among which ``data.formats`` may choose; empty if none of them explains all values.
    """

    column: str
    text: str
    answers: tuple[str, ...]

    def message(self) -> str:
        """Return the question with its answers."""
        if self.answers:
            answers = " or ".join(f'`{self.column}: "{answer}"`' for answer in self.answers)
            if len(self.answers) > 1:
                return f"column '{self.column}': {self.text}; say which under `data.formats`: {answers}"
            return (
                f"column '{self.column}': {self.text}; confirm it under `data.formats`: {answers}, list values that "
                f"mean nothing under `data.missing`, or set `kind: categorical` for the column under `features`"
            )
        return (
            f"column '{self.column}': {self.text}; correct the values, list those that mean nothing under "
            f"`data.missing`, or set `kind: categorical` for the column under `features`"
        )


@dataclass(frozen=True)
class Values:
    """The values of a table.

    Attributes:
        frame: The table.
        formats: The form of each column that was read by one, as in ``data.formats``.
        marks: The marks of missing values of each column that has some.
        questions: What is not clear; these columns are still text.
    """

    frame: pl.DataFrame
    formats: dict[str, str]
    marks: dict[str, tuple[str, ...]]
    questions: tuple[Question, ...]


def read_values(frame: pl.DataFrame, spec: Spec, is_untyped: bool, has_semicolons: bool = False) -> Values:
    """Read the columns of text.

    Columns that model.yaml declares as categorical or text, the group, and the labels of a classification stay text.

    Args:
        frame: The table.
        spec: The model.yaml.
        is_untyped: Whether the file has no types, so that plain numbers and booleans are text, as in CSV.
        has_semicolons: Whether semicolons are between the values of the file.

    Raises:
        DataError: if a value does not have the form that ``data.formats`` states.
    """
    stated = {name: form for name, form in spec.data.formats.items() if form is not None}
    columns = [name for name in frame.columns if _is_readable(frame[name], spec)]
    undecided = [name for name in columns if name not in stated]
    has_points = is_untyped and pl.Float64 in frame.dtypes  # numbers of a text that have no comma
    known = Evidence(frozenset("." if has_points else ""), has_semicolons=has_semicolons)
    readings = read_columns(frame, undecided, stated.values(), spec.data.missing, known)
    readings = {
        name: reading for name, reading in readings.items() if _is_used(reading, name, frame[name], spec, is_untyped)
    }
    values = {name: reading.values for name, reading in readings.items()}
    values |= {name: apply_format(frame[name], stated[name], spec, 0) for name in columns if name in stated}
    formats = {name: reading.form for name, reading in readings.items() if reading.form}
    return Values(
        frame.with_columns(column.alias(name) for name, column in values.items()),
        stated | formats,
        {name: reading.marks for name, reading in readings.items() if reading.marks and not reading.question},
        tuple(
            Question(name, reading.question, reading.answers) for name, reading in readings.items() if reading.question
        ),
    )


def apply_formats(frame: pl.DataFrame, spec: Spec, offset: int) -> pl.DataFrame:
    """Read the columns of text by the forms of ``data.formats``.

    Args:
        frame: Rows of the table.
        spec: The model.yaml, with all forms.
        offset: The number of rows of the table that come before these, for the row numbers in errors.

    Raises:
        DataError: if a value does not have the form of its column.
    """
    columns = {name: form for name, form in spec.data.formats.items() if form and name in frame.columns}
    return frame.with_columns(
        apply_format(frame[name], form, spec, offset).alias(name)
        for name, form in columns.items()
        if frame[name].dtype == pl.String
    )


def apply_format(strings: pl.Series, form: str, spec: Spec, offset: int) -> pl.Series:
    """Read a column of text by a form; arguments and errors are those of :func:`apply_formats`."""
    present = without_marks(strings, spec.data.missing)
    values = read_as(present, form)
    unreadable = values.is_null() & present.is_not_null()
    if (row := unreadable.arg_max()) is not None and unreadable[row]:
        raise DataError(
            f"{spec.location('data', 'formats', strings.name)}: '{strings.name}', row {offset + row + 1}: the value "
            f"does not have the form `{form}`; correct the value or the form, or list the value under `data.missing`"
        )
    return values


def describe(values: Values) -> list[str]:
    """Return what was read in another form than the usual one, a line for each column."""
    lines = [f"{name}: read as `{form}`" for name, form in values.formats.items()]
    return lines + [
        f"{name}: {', '.join(f'`{mark}`' for mark in marks)} count{'s' * (len(marks) == 1)} as missing"
        for name, marks in values.marks.items()
    ]


def raise_questions(questions: Sequence[Question]) -> None:
    """Raise a DataError with all questions, if there are any."""
    if questions:
        raise DataError("\n".join(question.message() for question in questions))


def _is_readable(column: pl.Series, spec: Spec) -> bool:
    override = spec.features.get(column.name)
    is_text = override is not None and (override.kind in _TEXT_KINDS or (override.kind is None and override.normalize))
    is_label = column.name == spec.data.target and spec.task == "classification"
    is_left_out = column.name in spec.data.ignore and column.name not in {*spec.slices, *lag_sources(spec)}
    return column.dtype == pl.String and not (is_text or is_label or is_left_out)


def _is_used(reading: Reading, name: str, strings: pl.Series, spec: Spec, is_untyped: bool) -> bool:
    """Return whether a reading replaces the text of a column."""
    dtype = reading.values.dtype
    if reading.question:
        return name != spec.data.group
    if dtype == pl.String:
        return False
    if reading.form is None:
        return is_untyped or dtype.is_temporal()
    if name == spec.data.group:
        return False
    if name != spec.data.target:
        return True
    # A target such as yes/no, or 36 months and 60 months, is a label in its own words.
    return dtype != pl.Boolean and (spec.task != "auto" or strings.n_unique() > MAX_INTEGER_CLASSES)
