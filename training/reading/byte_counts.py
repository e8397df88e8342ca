"""What the bytes of a delimited text say about its rows, counted in passes over all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_deployer.training.reading.content import Content
from model_deployer.training.reading.dialect import Separators

_NEWLINE, _RETURN = ord("\n"), ord("\r")

#: Bytes that are looked at together: few enough for the cache of a core.
_BLOCK_BYTES = 1 << 18

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class ByteCounts:
    """Counts of a text.

    Attributes:
        lines: The number of ends of lines.
        has_inner_quotes: Whether a quote neither begins nor ends a value and is not doubled.
    """

    lines: int
    has_inner_quotes: bool


def count_bytes(content: Content, separators: Separators) -> ByteCounts:
    """Count what :class:`ByteCounts` holds."""
    quote = ord(separators.quote) if separators.quote else None
    lines, has_inner_quotes = 0, False
    for data in _blocks(content):
        lines += int(np.count_nonzero(data[2:] == _NEWLINE))
        if quote is not None and not has_inner_quotes:
            has_inner_quotes = _has_inner_quotes(data, quote, ord(separators.delimiter))
    return ByteCounts(lines, has_inner_quotes)


def count_empty_ends(content: Content, delimiter: str) -> int:
    """Return how many lines end with a delimiter: the last value of their row is there, and empty."""
    count, end = 0, False
    for data in _blocks(content):
        ends = data[2:] == _NEWLINE
        count += int(np.count_nonzero(ends & (data[1:-1] == ord(delimiter))))
        count += int(np.count_nonzero(ends & (data[1:-1] == _RETURN) & (data[:-2] == ord(delimiter))))
        end = bool(data[-1] == ord(delimiter))
    return count + end


def _blocks(content: Content) -> Iterator[Bytes]:
    """Yield the bytes in blocks that begin with the last two bytes of the one before; the first one with newlines."""
    is_file = isinstance(content.source, Path)
    data = np.asarray(np.memmap(content.source, np.uint8, "r")) if is_file else np.frombuffer(content.bytes(), np.uint8)
    yield np.concatenate([np.array([_NEWLINE, _NEWLINE], np.uint8), data[:_BLOCK_BYTES]])
    for start in range(_BLOCK_BYTES, len(data), _BLOCK_BYTES):
        yield data[start - 2 : start + _BLOCK_BYTES]


def _has_inner_quotes(data: Bytes, quote: int, delimiter: int) -> bool:
    inner = data[1:-1] == quote
    if not inner.any():
        return False
    inner &= ~_is_any(data[:-2], [quote, _NEWLINE, delimiter])
    return bool(inner.any()) and bool((inner & ~_is_any(data[2:], [quote, _NEWLINE, _RETURN, delimiter])).any())


def _is_any(data: Bytes, values: Sequence[int]) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = data == values[0]
    for value in values[1:]:
        result |= data == value
    return result
