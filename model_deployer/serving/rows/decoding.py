"""The body of a request as validated rows.

The fast path decodes and validates in one pass over the bytes, with decoders compiled from the contract. Only where
that fails is the body read a second time, by :mod:`serving.rows.validation`, which finds every problem of every row.
That slow path also accepts the two things that are right but cannot be compiled: 3.0 as a whole number, and features
whose names JSON has to escape.
"""

import math
import re
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import MalformedBody
from model_deployer.contract.features import (
    MAX_CATEGORY_CHARACTERS,
    MAX_EXACT_INTEGER,
    Boolean,
    Categorical,
    Datetime,
    Feature,
    Integer,
    Text,
)
from model_deployer.serving.rows.columns import ColumnBuilder, Table, Values
from model_deployer.serving.rows.validation import Validator

#: Rows as a client sends them, or as columns: what the engine's batches are made of.
Rows = list[Values] | Table

_COLUMNAR = re.compile(rb'\s*\{\s*"columns"\s*:\s*\{')


class Decoder:
    """Reads ``{"rows": [{...}, ...]}``, one bare row ``{...}``, and ``{"columns": {"name": [...], ...}}``."""

    def __init__(self, contract: Contract) -> None:
        self._limits = contract.limits
        self._validator = Validator(contract)
        self._stack = ColumnBuilder(contract.features)
        self._decode_rows, self._decode_row, self._decode_columns, self._convert = _compile(contract)

    def __call__(self, body: bytes) -> Rows:
        """The rows of a JSON body, each in the contract's order with None for what is missing; columns as a table.

        Raises:
            MalformedBody: The body is no such JSON document, or holds no row.
            TooManyRows: It holds more rows than the contract allows.
            InvalidRows: Rows break the contract.
        """
        return self.fast(body) or self.slow(body)

    def objects(self, rows: Sequence[Any]) -> Rows:
        """Rows that were read already, as JSON has them; raises as a call does."""
        self._limits.check_rows(len(rows))
        if not rows:
            raise MalformedBody("there are no rows; send at least one")
        try:
            values: list[Values] = [msgspec.structs.astuple(row) for row in self._convert(rows)]
        except (msgspec.ValidationError, RecursionError):
            return self._validator.check(rows)
        return values if all(map(_is_finite, values)) else self._validator.check(rows)

    def fast(self, body: bytes) -> Rows:
        """The rows; none where :meth:`slow` has to look. It raises TooManyRows only."""
        if _COLUMNAR.match(body):
            return self._columns(body)
        rows = self._structs(body)
        self._limits.check_rows(len(rows))
        return [msgspec.structs.astuple(row) for row in rows]

    def slow(self, body: bytes) -> Rows:
        """The rows of a body that :meth:`fast` could not read; else raises as a call does. It may take a second."""
        rows = self._validator.rows(body)
        return Table(self._stack(rows)) if _COLUMNAR.match(body) else rows

    def _columns(self, body: bytes) -> Rows:
        try:
            columns = msgspec.structs.astuple(self._decode_columns(body).columns)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return []
        lengths = {len(column) for column in columns if column is not None}
        if len(lengths) != 1 or lengths == {0}:
            return []
        (length,) = lengths
        self._limits.check_rows(length)
        return Table(self._stack.columns([[None] * length if column is None else column for column in columns]))

    def _structs(self, body: bytes) -> list[msgspec.Struct]:
        try:
            rows: list[msgspec.Struct] = self._decode_rows(body).rows
            return rows
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        try:
            return [self._decode_row(body)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return []


def _compile(contract: Contract) -> tuple[Any, Any, Any, Any]:
    """Decoders of rows, of one bare row and of columns, as functions of bytes; and of rows that were read already."""
    fields = [_field(f"f{index}", feature) for index, feature in enumerate(contract.features)]
    names = {f"f{index}": feature.name for index, feature in enumerate(contract.features)}
    try:
        row = msgspec.defstruct("Row", fields, rename=names, kw_only=True, forbid_unknown_fields=True, gc=False)
    except ValueError:  # msgspec takes no field names that JSON has to escape
        return _refuse, _refuse, _refuse, _refuse_objects
    rows = msgspec.defstruct("Rows", [("rows", list[row])], forbid_unknown_fields=True)  # type: ignore[valid-type]
    lists = [(identifier, list.__class_getitem__(kind), *default) for identifier, kind, *default in fields]
    table = msgspec.defstruct("Table", lists, rename=names, kw_only=True, forbid_unknown_fields=True)
    columns = msgspec.defstruct("Columns", [("columns", table)], forbid_unknown_fields=True)
    read_rows, read_row, read_columns = (msgspec.json.Decoder(kind).decode for kind in (rows, row, columns))
    return read_rows, read_row, read_columns, partial(msgspec.convert, type=list[row])  # type: ignore[valid-type]


def _refuse(body: bytes) -> Any:
    raise msgspec.DecodeError


def _is_finite(values: Values) -> bool:
    """Whether no number is NaN or infinite: JSON has neither, but what was read from something else may hold them."""
    return all(math.isfinite(value) for value in values if type(value) is float)


def _refuse_objects(rows: Any) -> Any:
    raise msgspec.ValidationError


def _field(identifier: str, feature: Feature) -> tuple[Any, ...]:
    annotation = value_type(feature)
    return (identifier, annotation) if feature.required else (identifier, annotation, None)


def value_type(feature: Feature) -> Any:
    """What msgspec decodes a value of the feature as, its bounds and categories included."""
    return _type(feature) | None if feature.nullable else _type(feature)


def _type(feature: Feature) -> Any:
    match feature:
        case Boolean():
            return bool
        case Datetime():
            return Annotated[datetime, Meta(tz=feature.zoned)]
        case Text():
            return Annotated[str, Meta(max_length=feature.longest)]
        case Categorical() if feature.unknown == "reject":
            return Literal[feature.categories]
        case Categorical():
            return Annotated[str, Meta(min_length=1, max_length=MAX_CATEGORY_CHARACTERS)]
    rejects = feature.out_of_range == "reject"
    low = feature.minimum if rejects else None
    high = feature.maximum if rejects else None
    if isinstance(feature, Integer):
        exact_low = -MAX_EXACT_INTEGER if low is None else max(int(low), -MAX_EXACT_INTEGER)
        exact_high = MAX_EXACT_INTEGER if high is None else min(int(high), MAX_EXACT_INTEGER)
        return Annotated[int, Meta(ge=exact_low, le=exact_high)]
    return Annotated[float, Meta(ge=low, le=high)]
