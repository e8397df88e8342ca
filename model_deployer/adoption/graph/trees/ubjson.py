"""Read Universal Binary JSON (ubjson.org, draft 12), the binary format of XGBoost's models."""

import struct
from typing import Any

import numpy as np

_NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_CONSTANTS: dict[str, Any] = {"Z": None, "T": True, "F": False}
_DEEPEST = 100


def parse_ubjson(content: bytes) -> Any:
    """Return the value that a file holds; arrays of numbers of one type become lists of Python numbers.

    Raises:
        ValueError: if the file is truncated or is not UBJSON.
    """
    try:
        return _Reader(content).value()
    except (struct.error, IndexError, KeyError, UnicodeDecodeError) as error:
        raise ValueError("the file is not UBJSON, or is truncated") from error


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0
        self._depth = 0

    def value(self) -> Any:
        return self._value(self._marker())

    def _value(self, marker: str) -> Any:
        if marker in _NUMBERS:
            return self._numbers(marker, 1)[0]
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker in "SH":
            return self._text()
        if marker == "C":
            return self._bytes(1).decode("ascii")
        if marker not in "[{":
            raise ValueError("the file is not UBJSON")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError("the file is nested too deeply")
        container = self._array() if marker == "[" else self._object()
        self._depth -= 1
        return container

    def _array(self) -> list[Any]:
        kind, count = self._header()
        if kind in _NUMBERS:
            return self._numbers(kind, count)
        if count >= 0:
            return [self._value(kind or self._marker()) for _ in range(self._checked(count))]
        items = []
        while (marker := self._marker()) != "]":
            items.append(self._value(marker))
        return items

    def _object(self) -> dict[str, Any]:
        kind, count = self._header()
        pairs: dict[str, Any] = {}
        if count >= 0:
            for _ in range(self._checked(count)):
                name = self._text()
                pairs[name] = self._value(kind or self._marker())
            return pairs
        while (marker := self._marker()) != "}":
            name = self._text(marker)
            pairs[name] = self.value()
        return pairs

    def _header(self) -> tuple[str, int]:
        """Return the type of all elements, or "", and their number, or -1."""
        kind, count = "", -1
        if self._peek() == "$":
            self._at += 1
            kind = self._marker()
        if self._peek() == "#":
            self._at += 1
            count = self._length(self._marker())
        return kind, count

    def _text(self, marker: str = "") -> str:
        return self._bytes(self._length(marker or self._marker())).decode("utf-8")

    def _length(self, marker: str) -> int:
        return self._checked(int(self._numbers(marker, 1)[0]))

    def _checked(self, count: int) -> int:
        if not 0 <= count <= len(self._content):
            raise ValueError("the file is truncated")
        return count

    def _numbers(self, marker: str, count: int) -> list[Any]:
        kind = np.dtype(_NUMBERS[marker])
        return list(np.frombuffer(self._bytes(count * kind.itemsize), kind).tolist())

    def _bytes(self, count: int) -> bytes:
        part = self._content[self._at : self._at + count]
        if len(part) != count:
            raise ValueError("the file is truncated")
        self._at += count
        return part

    def _peek(self) -> str:
        return chr(self._content[self._at])

    def _marker(self) -> str:
        self._at += 1
        return chr(self._content[self._at - 1])
