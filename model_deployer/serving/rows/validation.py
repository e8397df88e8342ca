"""Validate rows value by value and name every problem, for bodies that the compiled decoder cannot decode."""

import difflib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from model_deployer.contract import value_form
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import InvalidRows, MalformedBody, Problem, ProblemCode
from model_deployer.contract.features import (
    MAX_CATEGORY_CHARACTERS,
    MAX_EXACT_INTEGER,
    Boolean,
    Categorical,
    Datetime,
    Image,
    Integer,
    NumberList,
    Numeric,
    Tensor,
    Text,
)
from model_deployer.contract.value_form import BooleanForm, NumberForm, TimeForm
from model_deployer.serving.rows.columns import Values
from model_deployer.serving.rows.images import check_image
from model_deployer.serving.rows.invalid_value import InvalidValue
from model_deployer.serving.rows.row_id import MAX_ID, MAX_ID_CHARACTERS, MIN_ID, Field, RowId, with_id
from model_deployer.serving.rows.tensors import check_tensor
from model_deployer.serving.rows.vectors import check_vector

#: The maximum number of problems that a response lists; the others are counted. A million invalid values would
#: otherwise cause a response of 100 MB.
MAX_LISTED_PROBLEMS = 1_000

#: The maximum number of unknown fields for which a similar field is looked up.
_MAX_HINTS = 20

#: An integer with more digits does not fit in a float64; it is read as infinite and refused by its field.
_MAX_INTEGER_DIGITS = 400


class _Problems:
    """Counts all problems and keeps the first ones: one body can have millions."""

    def __init__(self) -> None:
        self.listed: list[Problem] = []
        self.total = 0
        self._hints = 0

    def add(self, row: int, field: str | None, code: ProblemCode, message: Callable[[], str]) -> None:
        self.total += 1
        if self.total <= MAX_LISTED_PROBLEMS:
            self.listed.append(Problem(row, field, code, message()))

    def may_hint(self) -> bool:
        """Return whether another similar name may be looked up, which takes a hundred times as long as a check."""
        self._hints += 1
        return self._hints <= _MAX_HINTS


class Validator:
    """Validates rows, one value at a time.

    Args:
        contract: The contract of the model.
        ignores_unknown: Whether fields that the model does not have are left out. A row without a field of the model is
            refused: it is probably not a row.
        row_id: The field with a caller's id; None if rows have no id.
    """

    def __init__(self, contract: Contract, ignores_unknown: bool = False, row_id: RowId | None = None) -> None:
        self._ignores_unknown = ignores_unknown
        self._names = frozenset(contract.names)
        self._fields: Mapping[str, Field] = {field.name: field for field in with_id(contract.features, row_id)}
        self._checks = {name: _value_check(field) for name, field in self._fields.items()}
        self._limits = contract.limits

    def rows(self, body: bytes) -> list[Values]:
        """Decode and validate a JSON body; returns and raises as :class:`serving.rows.decoding.Decoder`."""
        rows = self._unwrap(parse(body))
        self._limits.check_rows(len(rows))
        return self.check(rows)

    def check(self, rows: Sequence[Any]) -> list[Values]:
        """Validate rows that are decoded JSON objects.

        Returns:
            The values of each row in the contract's order, and the id last if rows have one; None for missing.

        Raises:
            InvalidRows: if rows break the contract.
        """
        problems = _Problems()
        values = [self._row(index, row, problems) for index, row in enumerate(rows)]
        if problems.total:
            raise InvalidRows(problems.listed, problems.total)
        return values

    def _unwrap(self, document: Any) -> list[Any]:
        if not isinstance(document, dict):
            raise MalformedBody('expected a JSON object: {"rows": [{...}, ...]} or one row {...}')
        if isinstance(document.get("columns"), dict):
            return _transpose(document)
        if "rows" not in document or ("rows" in self._fields and not isinstance(document["rows"], list)):
            return [document]
        if len(document) > 1:
            raise MalformedBody("expected no other key next to `rows`")
        if not isinstance(document["rows"], list):
            raise MalformedBody("expected `rows` to be a list of rows")
        if not document["rows"]:
            raise MalformedBody("`rows` is empty; send at least one row")
        return document["rows"]

    def _row(self, index: int, row: Any, problems: _Problems) -> Values:
        if not isinstance(row, dict):
            problems.add(index, None, "wrong_type", lambda: "expected an object with one key per feature")
            return ()
        ignores_unknown = self._ignores_unknown and not self._names.isdisjoint(row)
        for name in row:
            if not ignores_unknown and name not in self._fields:
                problems.add(
                    index, _printable(name), "unknown_field", partial(self._unknown_field_message, name, problems)
                )
        values = []
        for name, field in self._fields.items():
            try:
                values.append(self._value(row, field))
            except InvalidValue as invalid:
                problems.add(index, name, invalid.code, partial(_message, invalid, field))
        return tuple(values)

    def _value(self, row: dict[str, Any], field: Field) -> Any:
        value = row.get(field.name)
        if value is not None:
            return self._checks[field.name](value)
        if field.name not in row and field.required:
            raise InvalidValue("missing_field", f"the field is required: send {field.expected()}{_or_null(field)}")
        if not field.nullable:
            raise InvalidValue("not_nullable", f"null is not accepted: send {field.expected()}")
        return None

    def _unknown_field_message(self, name: str, problems: _Problems) -> str:
        matches = difflib.get_close_matches(name[:100], self._fields, n=1) if problems.may_hint() else []
        hint = f"did you mean '{matches[0]}'?" if matches else "leave it out; GET /model lists the fields"
        return f"the model has no such field: {hint}"


def _transpose(document: dict[str, Any]) -> list[Any]:
    """Return the rows of ``{"columns": {"name": [...], ...}}``."""
    columns = document["columns"]
    if len(document) > 1:
        raise MalformedBody("expected no other key next to `columns`")
    if not all(isinstance(column, list) for column in columns.values()):
        raise MalformedBody("expected every column to be a list of values")
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise MalformedBody("expected all columns to have the same number of values")
    if lengths in (set(), {0}):
        raise MalformedBody("`columns` has no row; send at least one")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _printable(name: str) -> str:
    """Return the first 100 characters of a name, without surrogates, which UTF-8 cannot encode."""
    return name[:100].encode("utf-8", "replace").decode()


def _message(invalid: InvalidValue, field: Field) -> str:
    return invalid.message or f"expected {field.expected()}"


def _or_null(field: Field) -> str:
    return " or null" if field.nullable else ""


def parse(body: bytes) -> Any:
    """Parse JSON. NaN and Infinity are accepted, so that their fields can be named.

    Raises:
        MalformedBody: if the body is not JSON in UTF-8.
    """
    try:
        return msgspec.json.decode(body)  # in a tenth of the time of the standard library, which accepts more
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _parse_leniently(body)


def _parse_leniently(body: bytes) -> Any:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedBody(f"byte {error.start} is not UTF-8; send JSON in UTF-8") from None
    if text.startswith("\ufeff"):
        raise MalformedBody("the body begins with a byte order mark; send UTF-8 without one")
    if not text.strip():
        raise MalformedBody('the body is empty; send {"rows": [{...}, ...]} or one row {...}')
    try:
        return json.loads(text, parse_int=_parse_integer)
    except RecursionError:
        raise MalformedBody("the JSON is nested too deeply; a row is a flat object") from None
    except ValueError as error:
        location = f"line {error.lineno}, column {error.colno}: " if isinstance(error, json.JSONDecodeError) else ""
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "a number cannot be read"
        raise MalformedBody(f"the body is not JSON: {location}{reason}") from None


def _parse_integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_INTEGER_DIGITS else math.inf


def _value_check(field: Field) -> Callable[[Any], Any]:
    """Return a function that returns a valid value as the compiled decoder does, or raises :class:`InvalidValue`."""
    check = _usual_check(field)
    form = getattr(field, "format", None)
    if form is None:
        return check
    read = _form_reader(value_form.parse(form))
    return lambda value: check(read(value))


def _form_reader(form: NumberForm | TimeForm | BooleanForm) -> Callable[[Any], Any]:
    """Return a function that returns the value of JSON for a text in a form, and any other value unchanged."""

    def read(value: Any) -> Any:
        is_text = isinstance(value, str)
        if not is_text and not (isinstance(form, TimeForm) and type(value) is int):  # such as 20240131
            return value
        result = form.read(str(value))
        if result is None:
            return value
        return result.isoformat() if isinstance(result, datetime) else result

    return read


def _usual_check(field: Field) -> Callable[[Any], Any]:
    match field:
        case Numeric() | Integer():
            return lambda value: _number(field, value)
        case Boolean():
            return _boolean
        case Categorical():
            return _category_check(field)
        case Datetime():
            return lambda value: _time(field, value)
        case Text():
            return lambda value: _string(value, 0, field.longest)
        case Image():
            return lambda value: check_image(field, value)
        case NumberList():
            return lambda value: check_vector(field, value)
        case Tensor():
            return lambda value: check_tensor(field, value)
        case RowId():
            return _id


def _number(feature: Numeric | Integer, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        hint = ", and not as text" if isinstance(value, str) else ""
        raise InvalidValue("wrong_type", f"expected {feature.expected()}{hint}")
    if isinstance(value, float) and math.isnan(value):
        raise InvalidValue("not_finite", f"NaN is not a number: send {feature.expected()}{_or_null(feature)}")
    if isinstance(value, float) and math.isinf(value):
        raise InvalidValue("not_finite", f"the number is too large or infinite: send {feature.expected()}")
    as_float = _float(feature, value)  # refuses what no float can hold, whichever parser has read it
    number = value if isinstance(feature, Integer) else as_float
    if feature.out_of_range == "reject":
        is_too_low = feature.minimum is not None and number < feature.minimum
        if is_too_low or (feature.maximum is not None and number > feature.maximum):
            raise InvalidValue("out_of_range")
    return _integer(number) if isinstance(feature, Integer) else number


def _integer(value: float) -> int:
    if value != int(value):
        raise InvalidValue("not_an_integer")
    if abs(value) > MAX_EXACT_INTEGER:
        raise InvalidValue(
            "out_of_range", f"expected a whole number from -{MAX_EXACT_INTEGER:,} to {MAX_EXACT_INTEGER:,}"
        )
    return int(value)


def _float(feature: Numeric | Integer, value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise InvalidValue("not_finite", f"the number is too large or infinite: send {feature.expected()}") from None


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidValue("wrong_type")
    return value


def _string(value: Any, min_characters: int, max_characters: int) -> str:
    if not isinstance(value, str):
        raise InvalidValue("wrong_type")
    if not min_characters <= len(value) <= max_characters:
        raise InvalidValue("wrong_length")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidValue(
            "invalid_text", "the text has half of a surrogate pair, which is not a Unicode character"
        ) from None
    return value


def _id(value: Any) -> str | int:
    if isinstance(value, str):
        return _string(value, 0, MAX_ID_CHARACTERS)
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    if type(number) is not int:
        raise InvalidValue("wrong_type")
    if not MIN_ID <= number <= MAX_ID:
        raise InvalidValue("out_of_range")
    return number


def _category_check(feature: Categorical) -> Callable[[Any], str]:
    spelling = feature.spelling()
    if spelling is None:
        return lambda value: _category(feature, value)
    return lambda value: _category(feature, spelling(value) if isinstance(value, str) else value)


def _category(feature: Categorical, value: Any) -> str:
    if feature.unknown == "accept":
        return _string(value, 1, MAX_CATEGORY_CHARACTERS)
    if not isinstance(value, str):
        raise InvalidValue("wrong_type")
    if value not in (feature.categories or ()):
        raise InvalidValue("unknown_category")
    return value


def _time(feature: Datetime, value: Any) -> datetime:
    if not isinstance(value, str):
        raise InvalidValue("wrong_type")
    try:
        time = msgspec.convert(value, datetime)
    except (msgspec.ValidationError, UnicodeEncodeError):
        raise InvalidValue("invalid_datetime") from None
    if (time.tzinfo is not None) != feature.zoned:
        raise InvalidValue("invalid_datetime")
    return time
