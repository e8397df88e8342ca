"""Arrow's IPC streams as columns, in numpy.

https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc

Decoders that are made for one's own data can be brought down by a stranger's, and the server with them. So this one
reads only what a feature can be (numbers, booleans, text, timestamps; dictionaries of them), checks every length before
it is used, and takes no compressed buffers and none twice: a stream holds no more than it weighs.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.errors import MalformedBody, TooManyRows
from model_deployer.serving.rows.flatbuffer import Table

#: Bytes that all views may show together: many may look at the same text.
_MOST_VIEWED = 64 * 1024**2

_SCHEMA, _DICTIONARY_BATCH, _RECORD_BATCH = 1, 2, 3
_NULL, _INT, _FLOAT, _UTF8, _BOOL, _TIMESTAMP, _LARGE_UTF8, _UTF8_VIEW = 1, 2, 3, 5, 6, 10, 20, 24
_TEXTS = (_UTF8, _LARGE_UTF8, _UTF8_VIEW)

Kind = Literal["number", "boolean", "text", "time", "nothing"]


class CompressedStream(Exception):
    """A stream whose buffers are compressed: it has to be rewritten before it is read."""


@dataclass(frozen=True)
class Column:
    """The values of one column.

    Attributes:
        kind: What they are.
        values: Numbers, booleans or counts of a time unit as an array; text as an array of str.
        missing: Where there is no value; None where all are there.
        units: Of a time: units a second.
        zoned: Of a time: whether it is a point in time, not one on the wall.
    """

    kind: Kind
    values: NDArray[Any]
    missing: NDArray[np.bool_] | None = None
    units: int = 1
    zoned: bool = False


@dataclass(frozen=True)
class _Field:
    """A column as the schema announces it."""

    name: str
    type: int
    details: Table | None
    dictionary: int | None = None
    index: "_Field | None" = None


@dataclass
class _Allowance:
    """Bytes that may still be used."""

    left: int

    def take(self, size: int) -> None:
        self.left -= size
        if size < 0 or self.left < 0:
            raise ValueError


@dataclass
class _Batch:
    """What is left to be read of a batch."""

    body: memoryview
    rows: int
    viewed: _Allowance
    nodes: Iterator[tuple[int, ...]]
    buffers: Iterator[tuple[int, ...]]
    views: Iterator[tuple[int, ...]]
    dictionaries: Mapping[int, Column]
    unread: _Allowance = field(init=False)

    def __post_init__(self) -> None:
        self.unread = _Allowance(len(self.body))

    def buffer(self) -> memoryview:
        offset, length = next(self.buffers)
        self.unread.take(length)
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

    def _bits(self, bits: memoryview) -> NDArray[np.uint8]:
        if 8 * len(bits) < self.rows:
            raise ValueError
        return np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=self.rows, bitorder="little")


def read(body: bytes, most_rows: int, most_columns: int) -> dict[str, Column]:
    """The columns of a stream, by name.

    Raises:
        MalformedBody: It is no such stream, or has a column of another type, or more than ``most_columns``.
        TooManyRows: It has more than ``most_rows`` rows.
        Packed: Its buffers are compressed.
    """
    try:
        fields, batches = _batches(body, most_rows, most_columns)
    except (struct.error, ValueError, KeyError, IndexError, StopIteration, TypeError, OverflowError):
        raise MalformedBody("the body cannot be read as an Arrow stream") from None
    if len({each.name for each in fields}) < len(fields):
        raise MalformedBody("two columns of the table have the same name")
    columns = list(zip(*batches, strict=True))
    return {each.name: _join(parts) for each, parts in zip(fields, columns, strict=False)}


def _batches(body: bytes, most_rows: int, most_columns: int) -> tuple[list[_Field], list[list[Column]]]:
    """The schema, and the columns of every batch."""
    viewed = _Allowance(_MOST_VIEWED)
    fields: list[_Field] = []
    dictionaries: dict[int, Column] = {}
    batches: list[list[Column]] = []
    rows = 0
    for kind, header, content in _messages(body):
        if kind == _SCHEMA:
            fields = [_field(each) for each in header.tables(1, most_columns + 1)]
            if len(fields) > most_columns:
                raise MalformedBody("the table has far more columns than the model has fields; send only its fields")
        elif kind == _DICTIONARY_BATCH:
            batch = _batch(_there(header.table(1)), content, viewed, {})
            if batch.rows > 8 * len(content):
                raise ValueError
            owner = next(each for each in fields if each.dictionary == header.number(0))
            dictionaries[header.number(0)] = _column(_Field("", owner.type, owner.details), batch)
        elif kind == _RECORD_BATCH:
            batch = _batch(_there(header), content, viewed, dictionaries)
            rows += batch.rows
            if rows > most_rows:
                raise TooManyRows(f"more than {most_rows:,} rows; send at most {most_rows:,} in one request")
            batches.append([_column(each, batch) for each in fields])
    return fields, batches


def _messages(body: bytes) -> Iterator[tuple[int, Table, memoryview]]:
    """The kind, header and content of each message: Message.fbs."""
    place, view = 0, memoryview(body)
    while place + 8 <= len(body):
        mark, size = struct.unpack_from("<Ii", body, place)
        if mark != 0xFFFFFFFF or size < 0:
            raise ValueError
        if size == 0:
            return
        start = place + 8 + size
        message = Table.root(body[place + 8 : start])
        length = message.number(3)
        if length < 0 or start + length > len(body):
            raise ValueError
        yield message.number(1, "<B"), _there(message.table(2)), view[start : start + length]
        place = start + length
    if place == 0:
        raise ValueError


def _field(announced: Table) -> _Field:
    """A field of the schema: Schema.fbs. Of a dictionary, the type is that of its values."""
    details = announced.table(3)
    encoding = announced.table(4)
    name, kind = announced.text(0), announced.number(2, "<B")
    if encoding is None:
        return _Field(name, kind, details)
    return _Field(name, kind, details, encoding.number(0), _Field(name, _INT, encoding.table(1)))


def _batch(header: Table, content: memoryview, viewed: _Allowance, dictionaries: Mapping[int, Column]) -> _Batch:
    if header.has(3):
        raise CompressedStream
    rows = header.number(0)
    if rows < 0:
        raise ValueError
    return _Batch(
        content,
        rows,
        viewed,
        iter(header.structs(1, "<qq")),
        iter(header.structs(2, "<qq")),
        iter(header.structs(4, "<q")),
        dictionaries,
    )


def _column(announced: _Field, batch: _Batch) -> Column:
    length, _ = next(batch.nodes)
    if length != batch.rows:
        raise ValueError
    if announced.index is not None:
        return _looked_up(announced, batch)
    if announced.type == _NULL:
        return nothing(batch.rows)
    read = _READERS.get(announced.type)
    if read is None:
        raise MalformedBody("a column is of a type that no feature has; send numbers, booleans, text or timestamps")
    return read(announced.details, batch)


def nothing(rows: int) -> Column:
    """A column without a value, which takes no memory."""
    return Column("nothing", np.broadcast_to(np.zeros(1), rows), np.broadcast_to(np.ones(1, dtype=bool), rows))


def _looked_up(announced: _Field, batch: _Batch) -> Column:
    """A column of a dictionary's values; what is missing points anywhere."""
    known = batch.dictionaries[announced.dictionary or 0]
    places = _integers(_there(announced.index).details, batch)
    indices = places.values if places.missing is None else np.where(places.missing, 0, places.values)
    if not len(known.values) and places.missing is not None and places.missing.all():
        return Column(known.kind, np.full(batch.rows, "", dtype=object), places.missing, known.units, known.zoned)
    if (indices < 0).any():
        raise ValueError
    missing = places.missing
    if known.missing is not None:
        missing = known.missing[indices] | (False if missing is None else missing)
    return Column(known.kind, known.values[indices], missing, known.units, known.zoned)


def _integers(details: Table | None, batch: _Batch) -> Column:
    kind = _there(details)
    bits, sign = kind.number(0, "<i"), "i" if kind.number(1, "<B") else "u"
    missing = batch.missing()
    return Column("number", batch.array(f"<{sign}{bits // 8}", batch.rows), missing)


def _floats(details: Table | None, batch: _Batch) -> Column:
    missing = batch.missing()
    return Column("number", batch.array(("<f2", "<f4", "<f8")[_there(details).number(0, "<h")], batch.rows), missing)


def _booleans(details: Table | None, batch: _Batch) -> Column:
    missing = batch.missing()
    return Column("boolean", batch.booleans(), missing)


def _times(details: Table | None, batch: _Batch) -> Column:
    kind = _there(details)
    units = (1, 10**3, 10**6, 10**9)[kind.number(0, "<h")]
    missing = batch.missing()
    return Column("time", batch.array("<i8", batch.rows), missing, units, zoned=bool(kind.text(1)))


def _texts(offset: str) -> Callable[[Table | None, _Batch], Column]:
    def read(details: Table | None, batch: _Batch) -> Column:
        missing = batch.missing()
        ends = batch.array(offset, batch.rows + 1).tolist() if batch.rows else [0]
        data = bytes(batch.buffer())
        if ends[0] < 0 or ends[-1] > len(data) or any(end < start for start, end in pairwise(ends)):
            raise ValueError
        values = [data[start:end].decode() for start, end in pairwise(ends)]
        return Column("text", _objects(values), missing)

    return read


def _views(details: Table | None, batch: _Batch) -> Column:
    """Texts of up to 12 bytes stand in the view; of others it says in which buffer, and where."""
    missing = batch.missing()
    views = bytes(batch.buffer())
    (count,) = next(batch.views)
    buffers = [batch.buffer() for _ in range(count)]
    values = []
    for place in range(0, 16 * batch.rows, 16):
        size, _, number, start = struct.unpack_from("<iiii", views, place)
        batch.viewed.take(size)
        if size > 12 and (number < 0 or start < 0 or start + size > len(buffers[number])):
            raise ValueError
        text = views[place + 4 : place + 4 + size] if size <= 12 else bytes(buffers[number][start : start + size])
        values.append(text.decode())
    return Column("text", _objects(values), missing)


_READERS: dict[int, Callable[[Table | None, _Batch], Column]] = {
    _INT: _integers,
    _FLOAT: _floats,
    _BOOL: _booleans,
    _TIMESTAMP: _times,
    _UTF8: _texts("<i4"),
    _LARGE_UTF8: _texts("<i8"),
    _UTF8_VIEW: _views,
}


def _objects(values: list[str]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _join(parts: tuple[Column, ...]) -> Column:
    """A column from its parts in the batches."""
    first = parts[0]
    if len(parts) == 1:
        return first
    missing = None
    if any(part.missing is not None for part in parts):
        gaps = [np.zeros(len(part.values), dtype=bool) if part.missing is None else part.missing for part in parts]
        missing = np.concatenate(gaps)
    return Column(first.kind, np.concatenate([part.values for part in parts]), missing, first.units, first.zoned)


def _there(table: Any) -> Any:
    if table is None:
        raise ValueError
    return table
