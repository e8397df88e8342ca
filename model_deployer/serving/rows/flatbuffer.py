"""Reading of flatbuffers, in which Arrow writes its headers: https://flatbuffers.dev/internals/.

Nothing is believed: what points outside of the buffer raises struct.error.
"""

import struct
from collections.abc import Iterator


class Table:
    """A table: fields counted from 0 as the schema lists them; an absent one reads as 0, empty or None."""

    def __init__(self, buffer: bytes, place: int) -> None:
        self._buffer = buffer
        self._place = place
        self._fields = place - _read(buffer, "<i", place)
        self._size = _read(buffer, "<H", self._fields)

    @classmethod
    def root(cls, buffer: bytes) -> "Table":
        """The table that the buffer is about."""
        return cls(buffer, _read(buffer, "<I", 0))

    def has(self, field: int) -> bool:
        """Whether a field is there."""
        return bool(self._at(field))

    def number(self, field: int, form: str = "<q") -> int:
        """A number, in the notation of :mod:`struct`."""
        place = self._at(field)
        return _read(self._buffer, form, place) if place else 0

    def table(self, field: int) -> "Table | None":
        """A table."""
        place = self._at(field)
        return Table(self._buffer, place + _read(self._buffer, "<I", place)) if place else None

    def text(self, field: int) -> str:
        """A string."""
        place, size = self._vector(field)
        return self._buffer[place : place + size].decode()

    def tables(self, field: int, most: int) -> Iterator["Table"]:
        """A list of at most so many tables."""
        place, size = self._vector(field)
        for at in range(place, place + 4 * min(size, most), 4):
            yield Table(self._buffer, at + _read(self._buffer, "<I", at))

    def structs(self, field: int, form: str) -> list[tuple[int, ...]]:
        """A list of structs of numbers."""
        place, size = self._vector(field)
        end = place + size * struct.calcsize(form)
        if end > len(self._buffer):
            raise struct.error
        return list(struct.iter_unpack(form, self._buffer[place:end]))

    def _at(self, field: int) -> int:
        entry = 4 + 2 * field
        offset = _read(self._buffer, "<H", self._fields + entry) if entry < self._size else 0
        return self._place + offset if offset else 0

    def _vector(self, field: int) -> tuple[int, int]:
        """Where the items begin, and how many there are."""
        place = self._at(field)
        if not place:
            return 0, 0
        start = place + _read(self._buffer, "<I", place)
        return start + 4, _read(self._buffer, "<I", start)


def _read(buffer: bytes, form: str, place: int) -> int:
    if place < 0:
        raise struct.error
    return int(struct.unpack_from(form, buffer, place)[0])
