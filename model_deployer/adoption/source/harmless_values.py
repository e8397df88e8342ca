"""The few classes of the standard library whose objects are made while a pickle is read: containers, dates, numbers."""

import datetime
import decimal
import fractions
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any

from model_deployer.adoption.source.unreadable_source import UnreadableSource

#: A key of a dict or a set has at most this many parts; hashing a nested tuple visits each of them.
_MAX_KEY_PARTS = 10_000


def checked_key(value: Any) -> Any:
    """Return a key of a dict or a set, after making sure that hashing it ends soon.

    Raises:
        UnreadableSource: if it is a tuple of too many parts, or cannot be hashed.
    """
    if isinstance(value, tuple | frozenset):
        parts = [value]
        for count, part in enumerate(parts):
            if count > _MAX_KEY_PARTS:
                raise UnreadableSource("the pickle has a key of a dict that is built to exhaust this machine")
            if isinstance(part, tuple | frozenset):
                parts.extend(part)
    return value


def is_harmless(path: tuple[str, str]) -> bool:
    """Return whether objects of a class, by its module and name, are made."""
    return path in _CONSTRUCTORS


def construct(path: tuple[str, str], arguments: tuple[Any, ...]) -> Any:
    """Return an object of a harmless class.

    Raises:
        TypeError, ValueError, ArithmeticError: if the class does not take these arguments.
    """
    return _CONSTRUCTORS[path](*arguments)


def _bytes(value: Any = b"", encoding: Any = None) -> bytes:
    if isinstance(value, str) and str(encoding).replace("-", "").lower() in ("latin1", "iso88591"):
        return value.encode("latin-1")
    if isinstance(value, bytes | bytearray) and encoding is None:
        return bytes(value)
    raise TypeError("only bytes")  # bytes(10**12) takes memory


def _items(value: Any) -> Any:
    """Return what a container is made from: a container, whose length is known."""
    if isinstance(value, list | tuple | set | frozenset | dict | deque):
        return value
    raise TypeError("only containers")


def _set(value: Any = ()) -> set[Any]:
    return {checked_key(item) for item in _items(value)}


def _dict(value: Any = ()) -> dict[Any, Any]:
    pairs = value.items() if isinstance(value, Mapping) else _items(value)
    return {checked_key(key): item for key, item in pairs}


def _deque(value: Any = (), length: Any = None) -> deque[Any]:
    return deque(_items(value), length)


def _number(kind: type) -> Callable[..., Any]:
    def convert(*values: Any) -> Any:
        if all(isinstance(value, int | float | str) for value in values):
            return kind(*values)
        raise TypeError("only numbers and texts")

    return convert


_CONSTRUCTORS: dict[tuple[str, str], Callable[..., Any]] = {
    ("_codecs", "encode"): _bytes,
    ("builtins", "bytearray"): lambda *values: bytearray(_bytes(*values)),
    ("builtins", "bytes"): _bytes,
    ("builtins", "complex"): complex,
    ("builtins", "dict"): _dict,
    ("builtins", "float"): _number(float),
    ("builtins", "frozenset"): lambda *values: frozenset(_set(*values)),
    ("builtins", "int"): _number(int),
    ("builtins", "list"): lambda value=(): list(_items(value)),
    ("builtins", "range"): range,
    ("builtins", "set"): _set,
    ("builtins", "slice"): slice,
    ("builtins", "tuple"): lambda value=(): tuple(_items(value)),
    ("collections", "Counter"): lambda value=(): Counter(_dict(value)),
    ("collections", "OrderedDict"): lambda value=(): OrderedDict(_dict(value)),
    ("collections", "defaultdict"): lambda factory=None, value=(): _dict(value),
    ("collections", "deque"): _deque,
    ("datetime", "date"): datetime.date,
    ("datetime", "datetime"): datetime.datetime,
    ("datetime", "time"): datetime.time,
    ("datetime", "timedelta"): datetime.timedelta,
    ("datetime", "timezone"): datetime.timezone,
    ("decimal", "Decimal"): _number(decimal.Decimal),
    ("fractions", "Fraction"): _number(fractions.Fraction),
}
