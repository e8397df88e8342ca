"""Lists of lists of numbers, as Arrow has them: offsets for each level, and all numbers in one array."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Level(NamedTuple):
    """The lists of one level.

    Attributes:
        offsets: The items of list i of this level are those from ``offsets[i]`` to ``offsets[i + 1]`` of the next one,
            int64 [lists + 1], ascending.
        missing: Which lists are null, bool [lists]; None if no list is.
    """

    offsets: NDArray[np.int64]
    missing: NDArray[np.bool_] | None = None


class NestedLists:
    """The values of one column.

    Args:
        levels: The levels, from the rows inwards. A missing row counts as any other.
        numbers: All numbers, NaN for a missing one.
    """

    def __init__(self, levels: Sequence[Level], numbers: NDArray[Any]) -> None:
        self._levels = levels
        self._numbers = numbers

    def values(self) -> NDArray[Any]:
        """Return the value of each row.

        Returns:
            Numbers of [rows, *shape] if all rows have the same shape. Otherwise objects, each an array of numbers, or
            nested lists if a row has lists of different lengths, or a null in place of one.
        """
        rows = len(self._levels[0].offsets) - 1
        together = self._array(0, rows) if rows else None
        if together is not None:
            return together
        values = np.empty(rows, dtype=object)
        if len(self._levels) == 1:
            for row, (start, end) in enumerate(pairwise(self._levels[0].offsets.tolist())):
                values[row] = self._numbers[start:end]
            return values
        for row in range(rows):
            array = self._array(row, row + 1)
            values[row] = self._lists(0, row) if array is None else array[0]
        return values

    def _array(self, start: int, end: int) -> NDArray[Any] | None:
        """Return some rows as numbers of [rows, *shape]; None if lists of one level differ in their lengths."""
        shape = [end - start]
        for depth, level in enumerate(self._levels):
            lengths = np.diff(level.offsets[start : end + 1])
            has_null = depth and level.missing is not None and level.missing[start:end].any()
            if has_null or not len(lengths) or (lengths != lengths[0]).any():
                return None
            shape.append(int(lengths[0]))
            start, end = int(level.offsets[start]), int(level.offsets[end])
        return self._numbers[start:end].reshape(shape)

    def _lists(self, depth: int, index: int) -> Any:
        """Return one list of a level as nested lists, with None for null."""
        if depth == len(self._levels):
            return self._numbers[index].item()
        level = self._levels[depth]
        if depth and level.missing is not None and level.missing[index]:
            return None
        return [self._lists(depth + 1, item) for item in range(level.offsets[index], level.offsets[index + 1])]
