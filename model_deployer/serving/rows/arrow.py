"""Read Arrow IPC streams into columns of numpy arrays.

https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc

Decoders for trusted data can crash on malicious data, and the server with them. Therefore this one reads only the types
that a feature can have (numbers, booleans, text, bytes, timestamps; dictionaries of them; lists of numbers, and of such
lists), checks
every length before it is used, and accepts neither compressed buffers nor a buffer that is used twice: the content of a
stream cannot be larger than the stream.
"""

import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.errors import MalformedBody, TooManyRows
from model_deployer.contract.features import MAX_AXES
from model_deployer.contract.nested_lists import Level, NestedLists
from model_deployer.serving import memory
from model_deployer.serving.rows.flatbuffer import Table

#: The message about a column of another type.
UNKNOWN_TYPE = "a column is of a type that no feature has; send numbers, booleans, text or timestamps"

#: The maximum number of bytes of all strings in string views: many views may refer to the same bytes.
_MAX_VIEWED_BYTES = 64 * 1024**2

#: The maximum number of entries of metadata of a column that are read.
_MAX_METADATA = 16

_SCHEMA, _DICTIONARY_BATCH, _RECORD_BATCH = 1, 2, 3
_NULL, _INT, _FLOAT, _UTF8, _BOOL, _TIMESTAMP, _LARGE_UTF8, _UTF8_VIEW = 1, 2, 3, 5, 6, 10, 20, 24
_LIST, _FIXED_SIZE_LIST, _LARGE_LIST = 12, 16, 21
_BINARY, _LARGE_BINARY, _BINARY_VIEW = 4, 19, 23
_LISTS = (_LIST, _FIXED_SIZE_LIST, _LARGE_LIST)
_TEXTS = (_UTF8, _LARGE_UTF8, _UTF8_VIEW)

Kind = Literal["number", "boolean", "text", "time", "null", "list", "bytes"]


class CompressedStream(Exception):
    """The buffers of a stream are compressed: :class:`serving.rows.formats.Unpacker` must decompress it first."""


@dataclass(frozen=True)
class Column:
    """The values of one column.

    Attributes:
        kind: The kind of the values.
        values: An array of [rows]: numbers of any dtype, booleans as bool or uint8, times as int64 counts of a unit
            since 1970, text as str objects, bytes as bytes objects. For lists of numbers, numbers of [rows, *shape],
            or if the shapes differ objects, each an array of numbers, or nested lists if they are not rectangular; a
            missing number in a list is NaN.
        missing: An array of [rows], bool: True for a missing value; None if no value is missing.
        units: For times, the number of units per second.
        zoned: For times, whether they are points in time (UTC) rather than local times.
    """

    kind: Kind
    values: NDArray[Any]
    missing: NDArray[np.bool_] | None = None
    units: int = 1
    zoned: bool = False


@dataclass(frozen=True)
class _Field:
    """A column in the schema."""

    name: str
    type: int
    details: Table | None
    dictionary: int | None = None
    index: "_Field | None" = None
    items: "_Field | None" = None
    shape: tuple[int, ...] = ()


@dataclass
class _ByteBudget:
    """The number of bytes that may still be used."""

    remaining: int

    def take(self, size: int) -> None:
        self.remaining -= size
        if size < 0 or self.remaining < 0:
            raise ValueError


@dataclass
class _Batch:
    """A record batch or dictionary batch, read from front to back."""

    body: memoryview
    rows: int
    view_budget: _ByteBudget
    nodes: Iterator[tuple[int, ...]]
    buffers: Iterator[tuple[int, ...]]
    view_buffer_counts: Iterator[tuple[int, ...]]
    dictionaries: Mapping[int, Column]
    budget: _ByteBudget = field(init=False)

    def __post_init__(self) -> None:
        self.budget = _ByteBudget(len(self.body))

    def buffer(self) -> memoryview:
        offset, length = next(self.buffers)
        self.budget.take(length)
        if offset < 0 or offset + length > len(self.body):
            raise ValueError
        return self.body[offset : offset + length]

    def array(self, dtype: str, count: int) -> NDArray[Any]:
        return np.frombuffer(self.buffer(), dtype=dtype, count=count)

    def missing(self) -> NDArray[np.bool_] | None:
        bits = self.buffer()
        if not len(bits):
            return None
        valid = self._bits(bits)
        return None if valid.all() else valid == 0

    def booleans(self) -> NDArray[np.uint8]:
        return self._bits(self.buffer())

    def of_items(self, rows: int) -> "_Batch":
        """Return the batch for the items of its lists: ``rows`` is the number of items."""
        items = copy(self)
        items.rows = rows
        return items

    def _bits(self, bits: memoryview) -> NDArray[np.uint8]:
        if 8 * len(bits) < self.rows:
            raise ValueError
        return np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=self.rows, bitorder="little")


def read(body: bytes, max_rows: int, max_columns: int) -> dict[str, Column]:
    """Read the columns of a stream, by name.

    Args:
        body: The bytes of the stream.
        max_rows: The maximum number of rows.
        max_columns: The maximum number of columns.

    Raises:
        MalformedBody: if it is not an Arrow stream, or has columns of other types or more than ``max_columns``.
        TooManyRows: if it has more than ``max_rows`` rows.
        CompressedStream: if its buffers are compressed.
    """
    try:
        fields, batches = _batches(body, max_rows, max_columns)
    except (struct.error, ValueError, KeyError, IndexError, StopIteration, TypeError, OverflowError, RecursionError):
        raise MalformedBody("the body cannot be read as an Arrow stream") from None
    if len({field.name for field in fields}) < len(fields):
        raise MalformedBody("two columns of the table have the same name")
    columns = list(zip(*batches, strict=True))
    return {field.name: _concatenate(parts) for field, parts in zip(fields, columns, strict=False)}


def _batches(body: bytes, max_rows: int, max_columns: int) -> tuple[list[_Field], list[list[Column]]]:
    """Return the schema, and the columns of every record batch."""
    view_budget = _ByteBudget(_MAX_VIEWED_BYTES)
    fields: list[_Field] = []
    dictionaries: dict[int, Column] = {}
    batches: list[list[Column]] = []
    rows = 0
    for kind, header, content in _messages(body):
        if kind == _SCHEMA:
            fields = [_read_field(table) for table in header.tables(1, max_columns + 1)]
            if len(fields) > max_columns:
                raise MalformedBody("the table has far more columns than the model has fields; send only its fields")
        elif kind == _DICTIONARY_BATCH:
            batch = _batch(_require(header.table(1)), content, view_budget, {})
            if batch.rows > 8 * len(content):
                raise ValueError
            owner = next(field for field in fields if field.dictionary == header.number(0))
            dictionaries[header.number(0)] = _column(_Field("", owner.type, owner.details), batch)
        elif kind == _RECORD_BATCH:
            batch = _batch(_require(header), content, view_budget, dictionaries)
            rows += batch.rows
            if rows > max_rows:
                raise TooManyRows(f"more than {max_rows:,} rows; send at most {max_rows:,} in one request")
            batches.append([_column(field, batch) for field in fields])
    return fields, batches


def _messages(body: bytes) -> Iterator[tuple[int, Table, memoryview]]:
    """Return the kind, header and content of each message, as in Message.fbs."""
    offset, view = 0, memoryview(body)
    while offset + 8 <= len(body):
        marker, size = struct.unpack_from("<Ii", body, offset)
        if marker != 0xFFFFFFFF or size < 0:
            raise ValueError
        if size == 0:
            return
        start = offset + 8 + size
        message = Table.root(body[offset + 8 : start])
        length = message.number(3)
        if length < 0 or start + length > len(body):
            raise ValueError
        yield message.number(1, "<B"), _require(message.table(2)), view[start : start + length]
        offset = start + length
    if offset == 0:
        raise ValueError


def _read_field(table: Table, depth: int = MAX_AXES) -> _Field:
    """Read a field of the schema, as in Schema.fbs, with at most this number of lists in each other.

    For a dictionary, the type is that of its values.
    """
    details = table.table(3)
    encoding = table.table(4)
    name, kind = table.text(0), table.number(2, "<B")
    if kind in _LISTS:
        if encoding is not None or not depth:
            raise ValueError
        (items,) = table.tables(5, 2)
        return _Field(name, kind, details, items=_read_field(items, depth - 1), shape=_tensor_shape(table))
    if encoding is None:
        return _Field(name, kind, details)
    return _Field(name, kind, details, encoding.number(0), _Field(name, _INT, encoding.table(1)))


def _tensor_shape(table: Table) -> tuple[int, ...]:
    """Return the shape of a column of the extension type ``arrow.fixed_shape_tensor``; empty for another column."""
    metadata = {entry.text(0): entry.text(1) for entry in table.tables(6, _MAX_METADATA)}
    if metadata.get("ARROW:extension:name") != "arrow.fixed_shape_tensor":
        return ()
    description = json.loads(metadata["ARROW:extension:metadata"])
    shape = tuple(description["shape"])
    if len(shape) > MAX_AXES or description.get("permutation") not in (None, list(range(len(shape)))):
        raise MalformedBody("a column has tensors whose axes are permuted; send them in their own order")
    return shape


def _batch(header: Table, content: memoryview, view_budget: _ByteBudget, dictionaries: Mapping[int, Column]) -> _Batch:
    if header.has(3):
        raise CompressedStream
    rows = header.number(0)
    if rows < 0:
        raise ValueError
    return _Batch(
        content,
        rows,
        view_budget,
        iter(header.structs(1, "<qq")),
        iter(header.structs(2, "<qq")),
        iter(header.structs(4, "<q")),
        dictionaries,
    )


def _column(field: _Field, batch: _Batch) -> Column:
    length, _ = next(batch.nodes)
    if length != batch.rows:
        raise ValueError
    if field.index is not None:
        return _dictionary_column(field, batch)
    if field.type == _NULL:
        return null_column(batch.rows)
    if field.items is not None:
        return _list_column(field, batch)
    read = _READERS.get(field.type)
    if read is None:
        raise MalformedBody(UNKNOWN_TYPE)
    return read(field.details, batch)


def null_column(rows: int) -> Column:
    """Return a column of missing values only; it takes no memory per row."""
    return Column("null", np.broadcast_to(np.zeros(1), rows), np.broadcast_to(np.ones(1, dtype=bool), rows))


def _dictionary_column(field: _Field, batch: _Batch) -> Column:
    """Look the values of a column up in its dictionary. The index of a missing value may be invalid."""
    dictionary = batch.dictionaries[field.dictionary or 0]
    index = _integers(_require(field.index).details, batch)
    indices = index.values if index.missing is None else np.where(index.missing, 0, index.values)
    if not len(dictionary.values) and index.missing is not None and index.missing.all():
        empty = np.full(batch.rows, "", dtype=object)
        return Column(dictionary.kind, empty, index.missing, dictionary.units, dictionary.zoned)
    if (indices < 0).any():
        raise ValueError
    missing = index.missing
    if dictionary.missing is not None:
        missing = dictionary.missing[indices] | (False if missing is None else missing)
    return Column(dictionary.kind, dictionary.values[indices], missing, dictionary.units, dictionary.zoned)


def _list_column(field: _Field, batch: _Batch) -> Column:
    """Read lists of numbers, or of such lists: an array of [rows, *shape] if all of them have the same shape."""
    missing = batch.missing()
    levels, rows = [Level(_offsets(field, batch))], batch.rows
    items = _require(field.items)
    while items.items is not None:
        batch = _items(levels[-1], batch, batch.body)
        levels.append(Level(missing=batch.missing(), offsets=_offsets(items, batch)))
        items = items.items
    if items.type not in (_INT, _FLOAT):
        raise MalformedBody("a column has lists of a type that no feature has; send lists of numbers")
    numbers = _numbers_of_lists(items, _items(levels[-1], batch, batch.body))
    values = NestedLists(levels, numbers).values()
    if field.shape and values.dtype != object:
        values = values.reshape(rows, *field.shape)
    return Column("list", values, missing)


def _offsets(field: _Field, batch: _Batch) -> NDArray[np.int64]:
    """Return where the lists of a level begin and end among their items, int64 [lists + 1]. They are reserved."""
    memory.reserve(16 * batch.rows)
    if field.type == _FIXED_SIZE_LIST:
        size = int(_require(field.details).number(0, "<i"))
        if size < 0:
            raise ValueError
        return np.arange(batch.rows + 1) * size
    dtype = "<i4" if field.type == _LIST else "<i8"
    offsets = batch.array(dtype, batch.rows + 1).astype(np.int64) if batch.rows else np.zeros(1, np.int64)
    if offsets[0] < 0 or (np.diff(offsets) < 0).any():
        raise ValueError
    return offsets


def _items(level: Level, batch: _Batch, body: memoryview) -> _Batch:
    """Return the batch of the items of lists. A list without a number would take no byte, but no value has one."""
    length, _ = next(batch.nodes)
    if not level.offsets[-1] <= length <= len(body):
        raise ValueError
    return batch.of_items(length)


def _numbers_of_lists(items: _Field, batch: _Batch) -> NDArray[Any]:
    """Return the numbers of all lists of a column, NaN for missing ones."""
    column = _READERS[items.type](items.details, batch)
    return column.values if column.missing is None else np.where(column.missing, np.nan, column.values)


def _integers(details: Table | None, batch: _Batch) -> Column:
    integer = _require(details)
    bits, sign = integer.number(0, "<i"), "i" if integer.number(1, "<B") else "u"
    missing = batch.missing()
    return Column("number", batch.array(f"<{sign}{bits // 8}", batch.rows), missing)


def _floats(details: Table | None, batch: _Batch) -> Column:
    missing = batch.missing()
    dtype = ("<f2", "<f4", "<f8")[_require(details).number(0, "<h")]
    return Column("number", batch.array(dtype, batch.rows), missing)


def _booleans(details: Table | None, batch: _Batch) -> Column:
    missing = batch.missing()
    return Column("boolean", batch.booleans(), missing)


def _times(details: Table | None, batch: _Batch) -> Column:
    timestamp = _require(details)
    units = (1, 10**3, 10**6, 10**9)[timestamp.number(0, "<h")]
    missing = batch.missing()
    return Column("time", batch.array("<i8", batch.rows), missing, units, zoned=bool(timestamp.text(1)))


def _texts(offset_dtype: str, kind: Kind = "text") -> Callable[[Table | None, _Batch], Column]:
    """Return the reader of a column of texts, or of bytes."""
    decode: Callable[[bytes], Any] = bytes.decode if kind == "text" else bytes

    def read(details: Table | None, batch: _Batch) -> Column:
        missing = batch.missing()
        offsets = batch.array(offset_dtype, batch.rows + 1).tolist() if batch.rows else [0]
        data = bytes(batch.buffer())
        if offsets[0] < 0 or offsets[-1] > len(data) or any(end < start for start, end in pairwise(offsets)):
            raise ValueError
        values = [decode(data[start:end]) for start, end in pairwise(offsets)]
        return Column(kind, _object_array(values), missing)

    return read


def _text_views(details: Table | None, batch: _Batch) -> Column:
    missing, values = _views(batch)
    return Column("text", _object_array([value.decode() for value in values]), missing)


def _binary_views(details: Table | None, batch: _Batch) -> Column:
    missing, values = _views(batch)
    return Column("bytes", _object_array(values), missing)


def _views(batch: _Batch) -> tuple[NDArray[np.bool_] | None, list[bytes]]:
    """Read views: a value of up to 12 bytes is in the view; for others, the view has a buffer and an offset."""
    missing = batch.missing()
    views = bytes(batch.buffer())
    (buffer_count,) = next(batch.view_buffer_counts)
    buffers = [batch.buffer() for _ in range(buffer_count)]
    values = []
    for offset in range(0, 16 * batch.rows, 16):
        size, _, number, start = struct.unpack_from("<iiii", views, offset)
        batch.view_budget.take(size)
        if size > 12 and (number < 0 or start < 0 or start + size > len(buffers[number])):
            raise ValueError
        text = views[offset + 4 : offset + 4 + size] if size <= 12 else bytes(buffers[number][start : start + size])
        values.append(text)
    return missing, values


_READERS: dict[int, Callable[[Table | None, _Batch], Column]] = {
    _INT: _integers,
    _FLOAT: _floats,
    _BOOL: _booleans,
    _TIMESTAMP: _times,
    _UTF8: _texts("<i4"),
    _LARGE_UTF8: _texts("<i8"),
    _UTF8_VIEW: _text_views,
    _BINARY: _texts("<i4", "bytes"),
    _LARGE_BINARY: _texts("<i8", "bytes"),
    _BINARY_VIEW: _binary_views,
}


def _object_array(values: Sequence[str | bytes]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _ragged(lists: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return arrays as the objects of one array, even if all of them have the same length."""
    array = np.empty(len(lists), dtype=object)
    for index, numbers in enumerate(lists):
        array[index] = numbers
    return array


def _concatenate(parts: tuple[Column, ...]) -> Column:
    """Return a column from its parts in the record batches."""
    first = parts[0]
    if len(parts) == 1:
        return first
    missing = None
    if any(part.missing is not None for part in parts):
        masks = [np.zeros(len(part.values), dtype=bool) if part.missing is None else part.missing for part in parts]
        missing = np.concatenate(masks)
    values = [part.values for part in parts]
    if len({array.shape[1:] for array in values}) > 1:  # lists of different lengths
        values = [_ragged(list(array)) for array in values]
    return Column(first.kind, np.concatenate(values), missing, first.units, first.zoned)


def _require(value: Any) -> Any:
    if value is None:
        raise ValueError
    return value
