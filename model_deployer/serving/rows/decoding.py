"""Decode JSON bodies into validated rows, by a fast and a slow path.

The fast path decodes and validates in one pass over the bytes, with decoders compiled from the contract. If it fails,
the slow path reads the body a second time with :mod:`serving.rows.validation`, which finds every problem of every row.
The slow path also accepts two valid inputs that cannot be compiled: 3.0 as an integer, and features whose names JSON
must escape.
"""

import math
import re
from abc import ABCMeta
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from model_deployer.contract.category_spelling import CategorySpelling
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import MalformedBody
from model_deployer.contract.features import (
    MAX_CATEGORY_CHARACTERS,
    MAX_EXACT_INTEGER,
    Boolean,
    Categorical,
    Datetime,
    Feature,
    Image,
    Integer,
    NumberList,
    Tensor,
    Text,
)
from model_deployer.serving.rows import vectors
from model_deployer.serving.rows.columns import ColumnBuilder, Table, Values
from model_deployer.serving.rows.images import image_type
from model_deployer.serving.rows.row_id import MAX_ID, MAX_ID_CHARACTERS, MIN_ID, Field, RowId, present, with_id
from model_deployer.serving.rows.tensors import tensor_type
from model_deployer.serving.rows.validation import Validator

#: Validated rows: a list with the values of each row in the contract's order, or a table.
Rows = list[Values] | Table

#: A key of the service's own that an invalid body may have.
_ENVELOPE = re.compile(rb'"(rows|columns)"')

_COLUMNAR = re.compile(rb'\s*\{\s*"columns"\s*:\s*\{')


class Decoder:
    """Decodes ``{"rows": [{...}, ...]}``, one bare row ``{...}``, and ``{"columns": {"name": [...], ...}}``.

    Args:
        contract: The contract of the model.
        ignores_unknown: Whether fields that the model does not have are left out.
        row_id: The field with a caller's id, which may be in rows and columns; None if rows have no id.
    """

    def __init__(self, contract: Contract, ignores_unknown: bool = False, row_id: RowId | None = None) -> None:
        self._limits = contract.limits
        self._ignores_unknown = ignores_unknown
        self._row_id = row_id
        self._features = len(contract.features)
        self._is_json = _is_json_with_vectors if vectors.has_vectors(contract.features) else _is_json
        self._validator = Validator(contract, ignores_unknown, row_id)
        self._build_columns = ColumnBuilder(contract.features)
        self._decode_rows, self._decode_row, self._decode_columns, self._convert_objects = _compile(
            with_id(contract.features, row_id), ignores_unknown
        )

    def __call__(self, body: bytes) -> Rows:
        """Decode and validate a JSON body.

        Returns:
            For rows, the values of each row in the contract's order, and the id last if rows have one, None for
            missing; for columns, a table.

        Raises:
            MalformedBody: if the body is not such a JSON document, or has no row.
            TooManyRows: if it has more rows than the contract allows.
            InvalidRows: if rows break the contract.
        """
        return self._fast(body) or self._slow(body)

    def objects(self, rows: Sequence[Any]) -> Rows:
        """Validate rows that are decoded JSON objects already; returns and raises as a call does."""
        self._limits.check_rows(len(rows))
        if not rows:
            raise MalformedBody("the list of rows is empty; send at least one row")
        try:
            values: list[Values] = [msgspec.structs.astuple(row) for row in self._convert_objects(rows)]
        except (msgspec.ValidationError, RecursionError, UnicodeEncodeError):
            return self._validator.check(rows)
        is_valid = all(map(self._is_json, values)) and not self._may_lack_fields(values)
        return values if is_valid else self._validator.check(rows)

    def is_columnar(self, body: bytes) -> bool:
        """Return whether a body is ``{"columns": ...}``."""
        return _COLUMNAR.match(body) is not None

    def _fast(self, body: bytes) -> Rows:
        """Decode a body on the fast path; an empty list if the slow one must decode it."""
        if self.is_columnar(body):
            return self._columns(body)
        structs = self._structs(body)
        self._limits.check_rows(len(structs))
        rows: list[Values] = [msgspec.structs.astuple(row) for row in structs]
        return [] if self._may_lack_fields(rows) else rows

    def _slow(self, body: bytes) -> Rows:
        """Decode a body that the fast path could not decode."""
        rows = self._validator.rows(body)
        return self.table(rows) if self.is_columnar(body) else rows

    def table(self, rows: Sequence[Values]) -> Table:
        """Return validated rows as columns."""
        ids = present([row[-1] for row in rows]) if self._row_id else None
        columns = list(zip(*rows, strict=True))
        self._build_columns.reserve(columns)
        return Table(self._build_columns.columns(columns), ids)

    def _columns(self, body: bytes) -> Rows:
        try:
            columns: Values = msgspec.structs.astuple(self._decode_columns(body).columns)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return []
        if self._row_id and all(column is None for column in columns[:-1]):
            return []
        lengths = {len(column) for column in columns if column is not None}
        if len(lengths) != 1 or lengths == {0}:
            return []
        (length,) = lengths
        self._limits.check_rows(length)
        values = [[None] * length if column is None else column for column in columns]
        self._build_columns.reserve(values)
        table = self._build_columns.columns(values)
        ids = present(columns[-1]) if self._row_id and columns[-1] is not None else None
        return Table(table, ids)

    def _may_lack_fields(self, rows: Sequence[Values]) -> bool:
        """Return whether a row may have unknown fields only: the validator, which knows all names, has to decide."""
        return self._ignores_unknown and any(all(value is None for value in row[: self._features]) for row in rows)

    def _structs(self, body: bytes) -> list[msgspec.Struct]:
        try:
            rows: list[msgspec.Struct] = self._decode_rows(body).rows
            return rows
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        if self._ignores_unknown and _ENVELOPE.search(body):
            return []  # as a bare row, it would be one without known fields
        try:
            return [self._decode_row(body)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return []


def _compile(row_fields: Sequence[Field], ignores_unknown: bool) -> tuple[Any, Any, Any, Any]:
    """Return functions that decode the bytes of rows, of one bare row and of columns, and one that converts objects."""
    fields = [_field(f"f{index}", field) for index, field in enumerate(row_fields)]
    names = {f"f{index}": field.name for index, field in enumerate(row_fields)}
    try:
        row = msgspec.defstruct(
            "Row", fields, rename=names, kw_only=True, forbid_unknown_fields=not ignores_unknown, gc=False
        )
    except ValueError:  # msgspec does not support field names that JSON must escape
        return _fail_to_decode, _fail_to_decode, _fail_to_decode, _fail_to_convert
    rows = msgspec.defstruct("Rows", [("rows", list[row])], forbid_unknown_fields=True)  # type: ignore[valid-type]
    lists = [(identifier, list.__class_getitem__(kind), *default) for identifier, kind, *default in fields]
    table = msgspec.defstruct("Table", lists, rename=names, kw_only=True, forbid_unknown_fields=not ignores_unknown)
    columns = msgspec.defstruct("Columns", [("columns", table)], forbid_unknown_fields=True)
    decode_rows, decode_row, decode_columns = (json_decoder(kind) for kind in (rows, row, columns))
    convert = partial(msgspec.convert, type=list[row], dec_hook=_decode_custom)  # type: ignore[valid-type]
    return decode_rows, decode_row, decode_columns, convert


def json_decoder(kind: Any) -> Callable[[bytes], Any]:
    """Return the function that decodes JSON as a type whose fields have types of :func:`value_type`."""
    return msgspec.json.Decoder(kind, dec_hook=_decode_custom).decode


def _fail_to_decode(body: bytes) -> Any:
    raise msgspec.DecodeError


def _fail_to_convert(rows: Any) -> Any:
    raise msgspec.ValidationError


def _is_json(values: Values) -> bool:
    """Return whether a JSON body could hold these values: no NaN, no infinity, and no half of a surrogate pair.

    Objects from other sources may hold them, and Python's json module accepts them.
    """
    return all(
        math.isfinite(value) if type(value) is float else type(value) is not str or _is_unicode(value)
        for value in values
    )


def _is_json_with_vectors(values: Values) -> bool:
    return _is_json(values) and all(vectors.is_finite(value) for value in values if type(value) is list)


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _field(identifier: str, field: Field) -> tuple[Any, ...]:
    annotation = value_type(field)
    return (identifier, annotation) if field.required else (identifier, annotation, None)


def value_type(field: Field) -> Any:
    """Return the type as which msgspec decodes a value of the field, with its bounds and categories."""
    if isinstance(field, RowId):
        number = Annotated[int, Meta(ge=MIN_ID, le=MAX_ID)]
        return number | Annotated[str, Meta(max_length=MAX_ID_CHARACTERS)] | None
    return _required_type(field) | None if field.nullable else _required_type(field)


def _spelling_type(feature: Categorical, spelling: CategorySpelling) -> Any:
    """Return the type of a text that is decoded as the category that it counts as.

    msgspec does not know the type, so it calls :func:`_decode_custom`. It requires an instance of the type as the
    result, so str is registered as a subclass.
    """
    categories, accepts_unknown = frozenset(feature.categories or ()), feature.unknown == "accept"

    def read(text: Any) -> str:
        if type(text) is not str:
            raise ValueError
        category = spelling(text)
        if category in categories or (accepts_unknown and 1 <= len(category) <= MAX_CATEGORY_CHARACTERS):
            return category
        raise ValueError

    kind = ABCMeta("Spelling", (), {"read": staticmethod(read)})
    kind.register(str)
    return kind


def _decode_custom(kind: Any, value: Any) -> Any:
    """Decode a value of a type that msgspec does not know; a ValueError makes it raise a ValidationError."""
    return kind.read(value)


def _required_type(feature: Feature) -> Any:
    match feature:
        case Categorical() if spelling := feature.spelling():
            return _spelling_type(feature, spelling)
        case Boolean():
            return bool
        case Datetime():
            return Annotated[datetime, Meta(tz=feature.zoned)]
        case Text():
            return Annotated[str, Meta(max_length=feature.longest)]
        case Image():
            return image_type(feature)
        case NumberList():
            return vectors.vector_type(feature)
        case Tensor():
            return tensor_type(feature)
        case Categorical() if feature.unknown == "reject":
            return Literal[feature.categories]
        case Categorical():
            return Annotated[str, Meta(min_length=1, max_length=MAX_CATEGORY_CHARACTERS)]
    has_bounds = feature.out_of_range == "reject"
    minimum = feature.minimum if has_bounds else None
    maximum = feature.maximum if has_bounds else None
    if isinstance(feature, Integer):
        exact_minimum = -MAX_EXACT_INTEGER if minimum is None else max(int(minimum), -MAX_EXACT_INTEGER)
        exact_maximum = MAX_EXACT_INTEGER if maximum is None else min(int(maximum), MAX_EXACT_INTEGER)
        return Annotated[int, Meta(ge=exact_minimum, le=exact_maximum)]
    return Annotated[float, Meta(ge=minimum, le=maximum)]
