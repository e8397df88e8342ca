"""What the bytes of a delimited text say about its rows, counted in passes over all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_deployer.training.reading.content import Content
from model_deployer.training.reading.dialect import Separators

_NEWLINE, _RETURN = ord("\n"), ord("\r")
_ZERO, _SMALL_E, _CASE = np.uint8(ord("0")), ord("e"), np.uint8(ord("a") - ord("A"))
_BLANKS = list(b" \t")

#: Bytes that are looked at together: few enough for the cache of a core.
_BLOCK_BYTES = 1 << 18

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class ByteCounts:
    """Counts of a text.

    Attributes:
        lines: The number of ends of lines.
        has_inner_quotes: Whether a quote neither begins nor ends a value and is not doubled.
        has_leading_zeros: Whether a value, without blanks before it, begins with 0 and another digit.
        has_exponents: Whether an e is between digits, without a sign after it.
    """

    lines: int
    has_inner_quotes: bool
    has_leading_zeros: bool
    has_exponents: bool


def count_bytes(content: Content, separators: Separators) -> ByteCounts:
    """Count what :class:`ByteCounts` holds."""
    quote, delimiter = ord(separators.quote) if separators.quote else None, ord(separators.delimiter)
    lines, has_inner_quotes, has_leading_zeros, has_exponents = 0, False, False, False
    for data in _blocks(content):
        lines += int(np.count_nonzero(data[2:] == _NEWLINE))
        if quote is not None and not has_inner_quotes:
            has_inner_quotes = _has_inner_quotes(data, quote, delimiter)
        has_leading_zeros = has_leading_zeros or _has_leading_zeros(data, quote, delimiter)
        has_exponents = has_exponents or _has_exponents(data)
    return ByteCounts(lines, has_inner_quotes, has_leading_zeros, has_exponents)


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


def _has_leading_zeros(data: Bytes, quote: int | None, delimiter: int) -> bool:
    starts = [delimiter, _NEWLINE, *([] if quote is None else [quote])]
    is_zero = (data[1:-1] == _ZERO) & _is_digit(data[2:])
    if (is_zero & _is_any(data[:-2], starts)).any():
        return True
    after_blanks = np.flatnonzero(is_zero & _is_any(data[:-2], _BLANKS))
    return bool(_is_any(data[np.maximum(after_blanks - 1, 0)], [*starts, *_BLANKS]).any())


def _has_exponents(data: Bytes) -> bool:
    is_exponent = (data[1:-1] | _CASE == _SMALL_E) & _is_digit(data[:-2])
    after = data[np.flatnonzero(is_exponent) + 2]
    return bool(_is_digit(after).any())


def _is_digit(data: Bytes) -> NDArray[np.bool_]:
    digits: NDArray[np.bool_] = data - _ZERO < 10
    return digits


def _is_any(data: Bytes, values: Sequence[int]) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = data == values[0]
    for value in values[1:]:
        result |= data == value
    return result
