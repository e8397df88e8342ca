"""Columns that tell, for each split by categories, whether a row goes left or right.

ONNX has a comparison with a set (``BRANCH_MEMBER``), but ONNX Runtime 1.21 and 1.22 answer wrongly with it, and with
chains of ``BRANCH_EQ``, without an error. A lookup in a table is right in every version.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.trees.tree import CategorySplit

#: A split compares its column with this: 0 goes left, and 1 goes right.
LEFT_RIGHT_THRESHOLD = 0.5


def category_columns(
    graph: GraphWriter, numbers: str, column: int, splits: Sequence[tuple[CategorySplit, bool]]
) -> str:
    """Return a column for each split by the categories of one column: 0 if the row goes left, 1 if it goes right.

    Args:
        graph: The graph to write to.
        numbers: All columns, double [rows, columns]. Categories are whole numbers; a fraction is cut off downwards.
        column: The index of the column that the splits read.
        splits: The splits, and whether a missing number goes left.

    Returns:
        Double [rows, splits].
    """
    classes, goes_right = _merge_equal_rows(_table(splits))
    unknown, missing = len(classes) - 2, len(classes) - 1
    category = graph.add("Gather", numbers, graph.constant(np.array(column, np.int64)), axis=1)
    limited = graph.add("Clip", graph.add("Floor", category), graph.constant(-1.0), graph.constant(float(unknown)))
    negative = graph.add("Less", limited, graph.constant(0.0))
    number = graph.add("Where", negative, graph.constant(float(unknown)), limited)
    number = graph.add("Where", graph.add("IsNaN", category), graph.constant(float(missing)), number)
    row = graph.add("Gather", graph.constant(classes), graph.add("Cast", number, to=TensorProto.INT64), axis=0)
    return graph.number(graph.add("Gather", graph.constant(goes_right), row, axis=0))


def _table(splits: Sequence[tuple[CategorySplit, bool]]) -> NDArray[np.bool_]:
    """Return whether a category goes right; the last two rows are for an unknown category and for a missing one."""
    size = max(int(split.members.max(initial=-1)) for split, _ in splits) + 1
    table = np.empty((size + 2, len(splits)), bool)
    for number, (split, missing_left) in enumerate(splits):
        table[:, number] = split.members_left
        table[split.members, number] = not split.members_left
        table[-1, number] = not missing_left
    return table


def _merge_equal_rows(table: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the class of each row, int64 [rows], and one row of each class; equal categories share one."""
    rows, classes = np.unique(table, axis=0, return_inverse=True)
    return classes.reshape(-1).astype(np.int64), rows
