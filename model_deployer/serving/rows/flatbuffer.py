"""A reader of flatbuffers, the format of Arrow's headers: https://flatbuffers.dev/internals/.

The buffer is not trusted: an offset outside of it raises struct.error.
"""

import struct
from collections.abc import Iterator


class Table:
    """A table. Its fields are numbered from 0 in the order of the schema; an absent one reads as 0, empty or None.

    Args:
        buffer: The bytes of the flatbuffer.
        offset: The offset of the table in the buffer.
    """

    def __init__(self, buffer: bytes, offset: int) -> None:
        self._buffer = buffer
        self._offset = offset
        self._vtable = offset - _read(buffer, "<i", offset)
        self._vtable_size = _read(buffer, "<H", self._vtable)

    @classmethod
    def root(cls, buffer: bytes) -> "Table":
        """Return the root table of a buffer."""
        return cls(buffer, _read(buffer, "<I", 0))

    def has(self, field: int) -> bool:
        """Return whether a field is present."""
        return bool(self._field_offset(field))

    def number(self, field: int, form: str = "<q") -> int:
        """Return an integer of a format in the notation of :mod:`struct`."""
        offset = self._field_offset(field)
        return _read(self._buffer, form, offset) if offset else 0

    def table(self, field: int) -> "Table | None":
        """Return a table."""
        offset = self._field_offset(field)
        return Table(self._buffer, offset + _read(self._buffer, "<I", offset)) if offset else None

    def text(self, field: int) -> str:
        """Return a string."""
        offset, size = self._vector(field)
        return self._buffer[offset : offset + size].decode()

    def tables(self, field: int, max_tables: int) -> Iterator["Table"]:
        """Return the first tables of a list, at most ``max_tables``."""
        start, size = self._vector(field)
        for offset in range(start, start + 4 * min(size, max_tables), 4):
            yield Table(self._buffer, offset + _read(self._buffer, "<I", offset))

    def structs(self, field: int, form: str) -> list[tuple[int, ...]]:
        """Return a list of structs of integers, of a format in the notation of :mod:`struct`."""
        start, size = self._vector(field)
        end = start + size * struct.calcsize(form)
        if end > len(self._buffer):
            raise struct.error
        return list(struct.iter_unpack(form, self._buffer[start:end]))

    def _field_offset(self, field: int) -> int:
        """Return the offset of a field in the buffer; 0 if it is absent."""
        entry = 4 + 2 * field
        offset = _read(self._buffer, "<H", self._vtable + entry) if entry < self._vtable_size else 0
        return self._offset + offset if offset else 0

    def _vector(self, field: int) -> tuple[int, int]:
        """Return the offset of a list's first item, and the number of items."""
        offset = self._field_offset(field)
        if not offset:
            return 0, 0
        start = offset + _read(self._buffer, "<I", offset)
        return start + 4, _read(self._buffer, "<I", start)


def _read(buffer: bytes, form: str, offset: int) -> int:
    if offset < 0:
        raise struct.error
    return int(struct.unpack_from(form, buffer, offset)[0])
