"""The slow reading of a body that the compiled decoder refused: every problem of every row, in the contract's words."""

import difflib
import json
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import InvalidRows, MalformedBody, Problem, ProblemCode
from model_deployer.contract.features import (
    MAX_CATEGORY_CHARACTERS,
    MAX_EXACT_INTEGER,
    Boolean,
    Categorical,
    Datetime,
    Feature,
    Integer,
    Numeric,
    Text,
)
from model_deployer.serving.rows.columns import Values

#: Problems listed in one answer; the rest is counted: nobody wants 100 MB in answer to a million wrong values.
MAX_LISTED_PROBLEMS = 1_000

#: Digits beyond which no integer fits a float64; such a number is read as infinite and refused by its field.
_LONGEST_INTEGER = 400


class _Wrong(Exception):
    """A value that breaks the contract: the problem's code and, where the field's own words do not fit, its message."""

    def __init__(self, code: ProblemCode, message: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.message = message


class _Problems:
    """Counts every problem and keeps the first: one body can hold millions."""

    def __init__(self) -> None:
        self.listed: list[Problem] = []
        self.total = 0

    def add(self, row: int, field: str | None, code: ProblemCode, message: Callable[[], str]) -> None:
        self.total += 1
        if self.total <= MAX_LISTED_PROBLEMS:
            self.listed.append(Problem(row, field, code, message()))


class Validator:
    """Checks rows one value at a time."""

    def __init__(self, contract: Contract) -> None:
        self._features = {feature.name: feature for feature in contract.features}
        self._checks = {feature.name: _check(feature) for feature in contract.features}
        self._limits = contract.limits

    def rows(self, body: bytes) -> list[Values]:
        """The rows of a body that turns out to be right after all; raises as :class:`serving.rows.decoding.Decoder`."""
        rows = self._unwrap(parse(body))
        self._limits.check_rows(len(rows))
        return self.check(rows)

    def check(self, rows: Sequence[Any]) -> list[Values]:
        """The values of rows that were read already.

        Raises:
            InvalidRows: Rows break the contract.
        """
        problems = _Problems()
        values = [self._row(index, row, problems) for index, row in enumerate(rows)]
        if problems.total:
            raise InvalidRows(problems.listed, problems.total)
        return values

    def _unwrap(self, document: Any) -> list[Any]:
        if not isinstance(document, dict):
            raise MalformedBody('expected a JSON object: {"rows": [{...}, ...]} or one row {...}')
        if _is_columnar(document):
            return _rows(document)
        if "rows" not in document or ("rows" in self._features and not isinstance(document["rows"], list)):
            return [document]
        if len(document) > 1:
            raise MalformedBody("expected no other key beside `rows`")
        if not isinstance(document["rows"], list):
            raise MalformedBody("expected `rows` to be a list of rows")
        if not document["rows"]:
            raise MalformedBody("`rows` is empty; send at least one row")
        return document["rows"]

    def _row(self, index: int, row: Any, problems: _Problems) -> Values:
        if not isinstance(row, dict):
            problems.add(index, None, "wrong_type", lambda: "expected an object with one key per feature")
            return ()
        for name in row:
            if name not in self._features:
                problems.add(index, _shown(name), "unknown_field", partial(self._hint, name))
        values = []
        for name, feature in self._features.items():
            try:
                values.append(self._value(row, feature))
            except _Wrong as wrong:
                problems.add(index, name, wrong.code, partial(_message, wrong, feature))
        return tuple(values)

    def _value(self, row: dict[str, Any], feature: Feature) -> Any:
        value = row.get(feature.name)
        if value is not None:
            return self._checks[feature.name](value)
        if feature.name not in row and feature.required:
            raise _Wrong("missing_field", f"the field is required: send {feature.expected()}{_or_null(feature)}")
        if not feature.nullable:
            raise _Wrong("not_nullable", f"null is not accepted: send {feature.expected()}")
        return None

    def _hint(self, name: str) -> str:
        near = difflib.get_close_matches(name[:100], self._features, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "leave it out; GET /model lists the fields"
        return f"the model has no such field: {hint}"


def _is_columnar(document: dict[str, Any]) -> bool:
    return isinstance(document.get("columns"), dict)


def _rows(document: dict[str, Any]) -> list[Any]:
    """The rows of ``{"columns": {"name": [...], ...}}``."""
    columns = document["columns"]
    if len(document) > 1:
        raise MalformedBody("expected no other key beside `columns`")
    if not all(isinstance(column, list) for column in columns.values()):
        raise MalformedBody("expected every column to be a list of values")
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise MalformedBody("expected all columns to have the same number of values")
    if lengths in (set(), {0}):
        raise MalformedBody("`columns` holds no row; send at least one")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _shown(name: str) -> str:
    return name[:100].encode("utf-8", "replace").decode()


def _message(wrong: _Wrong, feature: Feature) -> str:
    return wrong.message or f"expected {feature.expected()}"


def _or_null(feature: Feature) -> str:
    return " or null" if feature.nullable else ""


def parse(body: bytes) -> Any:
    """JSON as the standard library reads it, which also reads NaN and Infinity, so that their fields can be named."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedBody(f"byte {error.start} is not UTF-8; send JSON in UTF-8") from None
    if text.startswith("\ufeff"):
        raise MalformedBody("the body begins with a byte order mark; send UTF-8 without one")
    if not text.strip():
        raise MalformedBody('the body is empty; send {"rows": [{...}, ...]} or one row {...}')
    try:
        return json.loads(text, parse_int=_integer)
    except RecursionError:
        raise MalformedBody("the JSON is nested too deeply; a row is a flat object") from None
    except ValueError as error:
        where = f"line {error.lineno}, column {error.colno}: " if isinstance(error, json.JSONDecodeError) else ""
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "a number cannot be read"
        raise MalformedBody(f"the body is not JSON: {where}{reason}") from None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else math.inf


def _check(feature: Feature) -> Callable[[Any], Any]:
    """The function that returns a value of ``feature`` as the compiled decoder would, or raises :class:`_Wrong`."""
    match feature:
        case Numeric() | Integer():
            return lambda value: _number(feature, value)
        case Boolean():
            return _boolean
        case Categorical():
            return lambda value: _category(feature, value)
        case Datetime():
            return lambda value: _time(feature, value)
        case Text():
            return lambda value: _string(value, 0, feature.longest)


def _number(feature: Numeric | Integer, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        hint = " without quotes" if isinstance(value, str) else ""
        raise _Wrong("wrong_type", f"expected {feature.expected()}, as a JSON number{hint}")
    if isinstance(value, float) and math.isnan(value):
        raise _Wrong("not_finite", f"NaN is no JSON: send {feature.expected()}{_or_null(feature)}")
    if isinstance(value, float) and math.isinf(value):
        raise _Wrong("not_finite", f"the number is too large or infinite: send {feature.expected()}")
    number = value if isinstance(feature, Integer) else _real(feature, value)
    if feature.out_of_range == "reject":
        too_low = feature.minimum is not None and number < feature.minimum
        if too_low or (feature.maximum is not None and number > feature.maximum):
            raise _Wrong("out_of_range")
    return _whole(number) if isinstance(feature, Integer) else number


def _whole(value: float) -> int:
    if value != int(value):
        raise _Wrong("not_an_integer")
    if abs(value) > MAX_EXACT_INTEGER:
        raise _Wrong("out_of_range", f"expected a whole number from -{MAX_EXACT_INTEGER:,} to {MAX_EXACT_INTEGER:,}")
    return int(value)


def _real(feature: Numeric, value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise _Wrong("not_finite", f"the number is too large: send {feature.expected()}") from None


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("wrong_type")
    return value


def _string(value: Any, shortest: int, longest: int) -> str:
    if not isinstance(value, str):
        raise _Wrong("wrong_type")
    if not shortest <= len(value) <= longest:
        raise _Wrong("wrong_length")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise _Wrong("invalid_text", "the text holds half a surrogate pair, which is no Unicode character") from None
    return value


def _category(feature: Categorical, value: Any) -> str:
    if feature.unknown == "accept":
        return _string(value, 1, MAX_CATEGORY_CHARACTERS)
    if not isinstance(value, str):
        raise _Wrong("wrong_type")
    if value not in (feature.categories or ()):
        raise _Wrong("unknown_category")
    return value


def _time(feature: Datetime, value: Any) -> datetime:
    if not isinstance(value, str):
        raise _Wrong("wrong_type")
    try:
        time = msgspec.convert(value, datetime)
    except (msgspec.ValidationError, UnicodeEncodeError):
        raise _Wrong("invalid_datetime") from None
    if (time.tzinfo is not None) != feature.zoned:
        raise _Wrong("invalid_datetime")
    return time
