"""One decision tree of any library, as arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class CategorySplit:
    """A split of a column whose numbers are categories: whole numbers from 0.

    Attributes:
        members: The categories that are listed, int64.
        members_left: Whether the listed categories go left, and all other numbers right; or the other way round.
    """

    members: Integers
    members_left: bool = True


@dataclass(frozen=True)
class Tree:
    """The nodes of a tree as parallel arrays, the root first.

    Attributes:
        column: The column that a split reads, int64 [nodes].
        threshold: A row goes left if its number is at most this, or below this, as the ensemble compares, double
            [nodes].
        missing_left: Whether a missing number goes left, bool [nodes].
        left, right: The children of a split by their indices, and -1 for a leaf, int64 [nodes].
        values: What a leaf adds to the outputs, double [nodes, outputs].
        categories: The splits by categories, by their nodes.
    """

    column: Integers
    threshold: Numbers
    missing_left: NDArray[np.bool_]
    left: Integers
    right: Integers
    values: Numbers
    categories: Mapping[int, CategorySplit] = field(default_factory=dict)

    @property
    def is_leaf(self) -> NDArray[np.bool_]:
        """Whether a node is a leaf, bool [nodes]."""
        return self.left < 0

    @property
    def is_complete(self) -> bool:
        """Whether all arrays are of one length, and each split has two children among the nodes."""
        arrays = (self.column, self.threshold, self.missing_left, self.left, self.right, self.values)
        if not len(self.left) or len({len(array) for array in arrays}) > 1:
            return False
        children = np.concatenate([self.left[~self.is_leaf], self.right[~self.is_leaf]])
        return bool(np.all((children > 0) & (children < len(self.left))))


def leaf_only(values: Numbers) -> Tree:
    """Return a tree that gives the same values to every row; it has one split, because ONNX needs one.

    Args:
        values: The values, double [outputs].
    """
    left, right = np.array([1, -1, -1]), np.array([2, -1, -1])
    return Tree(np.zeros(3, np.int64), np.full(3, np.inf), np.zeros(3, bool), left, right, np.tile(values, (3, 1)))
