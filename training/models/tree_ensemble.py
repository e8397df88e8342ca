"""Convert decision trees of any library to one TreeEnsembleRegressor (ai.onnx.ml).

The graph makes the same decisions as the library. Both compare float32 numbers, and each threshold is rounded to the
float32 that separates these numbers in the same way as the exact threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from onnx import NodeProto, helper

#: The largest float32. The threshold of a split that separates only missing values is infinite.
_MAX_FLOAT32 = float(np.finfo(np.float32).max)

_NODE_FIELDS = (
    "nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_modes", "nodes_values", "nodes_truenodeids",
    "nodes_falsenodeids", "nodes_missing_value_tracks_true",
)  # fmt: skip
_LEAF_FIELDS = ("target_treeids", "target_nodeids", "target_ids", "target_weights")

Comparison = Literal["BRANCH_LEQ", "BRANCH_LT"]


@dataclass(frozen=True)
class Split:
    """A split: rows go left if the column is at most the threshold (or below it, by ``comparison`` of the ensemble).

    Attributes:
        column: The index of the column.
        threshold: The threshold.
        missing_left: Whether a missing number goes left.
        left, right: The indices of the child nodes within the tree.
    """

    column: int
    threshold: float
    missing_left: bool
    left: int
    right: int


#: A leaf: the values that it adds to the outputs.
Leaf = tuple[float, ...]


@dataclass
class Ensemble:
    """A sum of trees, which are added one by one.

    Attributes:
        outputs: The number of outputs.
        base: The initial value of each output; None for 0.
        comparison: Whether rows at the threshold go left (``BRANCH_LEQ``) or right (``BRANCH_LT``).
    """

    outputs: int
    base: Sequence[float] | None = None
    comparison: Comparison = "BRANCH_LEQ"
    _nodes: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in _NODE_FIELDS})
    _leaves: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in _LEAF_FIELDS})
    _trees: int = 0

    def add(self, nodes: Sequence[Split | Leaf], output: int = 0) -> None:
        """Add a tree.

        Args:
            nodes: The nodes of the tree, the root first.
            output: The output that the first value of each leaf is added to; the other values go to the next outputs.
        """
        for number, node in enumerate(nodes):
            if isinstance(node, Split):
                threshold = _round_down(node.threshold) if self.comparison == "BRANCH_LEQ" else node.threshold
                split = (self.comparison, threshold, node.left, node.right, int(node.missing_left))
                _append(self._nodes, _NODE_FIELDS, (self._trees, number, node.column, *split))
                continue
            _append(self._nodes, _NODE_FIELDS, (self._trees, number, 0, "LEAF", 0.0, 0, 0, 0))
            for target, value in enumerate(node, output):
                _append(self._leaves, _LEAF_FIELDS, (self._trees, number, target, value))
        self._trees += 1

    def node(self, source: str, result: str) -> NodeProto:
        """Return the ONNX node of all trees, from float32 [rows, columns] to float32 [rows, outputs]."""
        attributes: dict[str, Any] = {"domain": "ai.onnx.ml", "n_targets": self.outputs, **self._nodes, **self._leaves}
        if self.base is not None:
            attributes["base_values"] = [float(value) for value in self.base]
        return helper.make_node("TreeEnsembleRegressor", [source], [result], **attributes)


def _append(lists: dict[str, list[Any]], names: Sequence[str], values: Sequence[Any]) -> None:
    for name, value in zip(names, values, strict=True):
        lists[name].append(value)


def _round_down(threshold: float) -> float:
    """Return the largest float32 that is not above the threshold; it separates float32 numbers in the same way."""
    nearest = np.float32(min(threshold, _MAX_FLOAT32))
    # The comparison is of Python floats, because numpy would round the threshold to float32 first.
    return float(np.nextafter(nearest, np.float32(-np.inf)) if float(nearest) > threshold else nearest)
