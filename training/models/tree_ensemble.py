"""Decision trees of any library as one TreeEnsembleRegressor (ai.onnx.ml).

The graph gives the very answers of the library: every number that a split compares is a float32, and so is every
threshold, rounded to the side on which it parts the float32 numbers as the exact one does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from onnx import NodeProto, helper

#: Beyond it a number is infinite in float32; so is the threshold of a split that parts only what is missing.
_LARGEST = float(np.finfo(np.float32).max)

_NODE_FIELDS = (
    "nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_modes", "nodes_values", "nodes_truenodeids",
    "nodes_falsenodeids", "nodes_missing_value_tracks_true",
)  # fmt: skip
_LEAF_FIELDS = ("target_treeids", "target_nodeids", "target_ids", "target_weights")

Comparison = Literal["BRANCH_LEQ", "BRANCH_LT"]


@dataclass(frozen=True)
class Split:
    """Where rows go left: those whose column is at most the threshold (or below it: the ensemble's ``comparison``).

    Attributes:
        column: Which number is compared.
        threshold: With what.
        missing_left: Whether a missing number goes left.
        left, right: The numbers of the nodes that follow.
    """

    column: int
    threshold: float
    missing_left: bool
    left: int
    right: int


#: A leaf is what it adds to each output.
Leaf = tuple[float, ...]


@dataclass
class Ensemble:
    """Trees, added one by one.

    Attributes:
        outputs: Numbers that the trees answer together.
        base: What each of them is before any tree.
        comparison: What ``threshold`` means.
    """

    outputs: int
    base: Sequence[float] | None = None
    comparison: Comparison = "BRANCH_LEQ"
    _nodes: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in _NODE_FIELDS})
    _leaves: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in _LEAF_FIELDS})
    _trees: int = 0

    def add(self, nodes: Sequence[Split | Leaf], output: int = 0) -> None:
        """Add a tree; its first node is the root, and its leaves speak of ``output`` and those after it."""
        for number, node in enumerate(nodes):
            if isinstance(node, Split):
                threshold = _below(node.threshold) if self.comparison == "BRANCH_LEQ" else node.threshold
                told = (self.comparison, threshold, node.left, node.right, int(node.missing_left))
                _add(self._nodes, _NODE_FIELDS, (self._trees, number, node.column, *told))
                continue
            _add(self._nodes, _NODE_FIELDS, (self._trees, number, 0, "LEAF", 0.0, 0, 0, 0))
            for place, value in enumerate(node, output):
                _add(self._leaves, _LEAF_FIELDS, (self._trees, number, place, value))
        self._trees += 1

    def node(self, source: str, result: str) -> NodeProto:
        """All of them: float32 [rows, columns] to float32 [rows, outputs]."""
        fields: dict[str, Any] = {"domain": "ai.onnx.ml", "n_targets": self.outputs, **self._nodes, **self._leaves}
        if self.base is not None:
            fields["base_values"] = [float(value) for value in self.base]
        return helper.make_node("TreeEnsembleRegressor", [source], [result], **fields)


def _add(lists: dict[str, list[Any]], names: Sequence[str], values: Sequence[Any]) -> None:
    for name, value in zip(names, values, strict=True):
        lists[name].append(value)


def _below(threshold: float) -> float:
    """The largest float32 that is no larger: it parts the float32 numbers exactly as the threshold does."""
    nearest = np.float32(min(threshold, _LARGEST))
    # As a float: numpy would else compare with the threshold rounded to float32.
    return float(np.nextafter(nearest, np.float32(-np.inf)) if float(nearest) > threshold else nearest)
