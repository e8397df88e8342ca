"""What the bytes of a delimited text say about its rows, counted in one pass over all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

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
        empty_ends: The number of lines that end with a delimiter: their last value is there, and empty.
        has_inner_quotes: Whether a quote neither begins nor ends a value and is not doubled.
    """

    lines: int
    empty_ends: int
    has_inner_quotes: bool


def count_bytes(content: Content, separators: Separators) -> ByteCounts:
    """Count what :class:`ByteCounts` holds."""
    delimiter = ord(separators.delimiter)
    quote = ord(separators.quote) if separators.quote else None
    lines, empty_ends, has_inner_quotes = 0, 0, False
    rest = b"\n\n"
    for block in content.blocks(_BLOCK_BYTES):
        data = np.frombuffer(rest + block, np.uint8)  # the last byte of a block is looked at with the next one
        before, middle, after = data[:-2], data[1:-1], data[2:]
        ends = after == _NEWLINE
        lines += int(np.count_nonzero(ends))
        at_delimiter = middle == delimiter
        empty_ends += int(np.count_nonzero(ends & at_delimiter))
        empty_ends += int(np.count_nonzero(ends & (middle == _RETURN) & (before == delimiter)))
        if quote is not None and not has_inner_quotes and quote in block:
            has_inner_quotes = _has_inner_quotes(data, quote, delimiter)
        rest = (rest + block)[-2:]
    return ByteCounts(lines, empty_ends + (rest[-1] == delimiter), has_inner_quotes)


def _has_inner_quotes(data: Bytes, quote: int, delimiter: int) -> bool:
    inner = data[1:-1] == quote
    inner &= ~_is_any(data[:-2], [quote, _NEWLINE, delimiter])
    return bool(inner.any()) and bool((inner & ~_is_any(data[2:], [quote, _NEWLINE, _RETURN, delimiter])).any())


def _is_any(data: Bytes, values: Sequence[int]) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = data == values[0]
    for value in values[1:]:
        result |= data == value
    return result
