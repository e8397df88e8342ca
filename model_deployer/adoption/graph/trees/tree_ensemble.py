"""Decision trees of any library as nodes of TreeEnsembleRegressor (ai.onnx.ml 3), which compare doubles.

The operator adds float32 numbers, so it only finds the leaf of each tree here; the values of the leaves are looked up
and added in double. Its successor, TreeEnsemble (ai.onnx.ml 5), adds doubles, but ONNX Runtime 1.20 lacks it, and 1.21
and 1.22 answer wrongly without an error.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from model_deployer.adoption.graph.frame import Block, note_thresholds
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.trees.category_columns import LEFT_RIGHT_THRESHOLD, category_columns
from model_deployer.adoption.graph.trees.tree import Numbers, Tree, leaf_only
from model_deployer.adoption.graph.unsupported import UnsupportedModel

#: How many numbers of a row are looked up at once in the tables of leaves.
_LOOKUP_NUMBERS = 2_000

#: The number of trees in a node, which limits the memory of large batches.
_GROUP = 250


class Comparison(Enum):
    """Which rows go left, as the mode of a node."""

    AT_MOST = "BRANCH_LEQ"
    BELOW = "BRANCH_LT"


@dataclass
class Ensemble:
    """A sum of trees, which are added one by one.

    Attributes:
        comparison: Whether rows at the threshold go left (``AT_MOST``) or right (``BELOW``).
    """

    comparison: Comparison = Comparison.AT_MOST
    trees: list[Tree] = field(default_factory=list)
    _targets: list[int] = field(default_factory=list)

    def add(self, tree: Tree, target: int = 0) -> None:
        """Add a tree; a tree with one value per leaf adds it to this output.

        Raises:
            UnsupportedModel: if a split has a child that does not exist.
        """
        if not tree.is_complete:
            raise UnsupportedModel("a tree of the model is damaged: it names a node that does not exist")
        self.trees.append(tree if len(tree.left) > 1 else leaf_only(tree.values[0]))
        self._targets.append(target)

    def note_thresholds(self, columns: Block, graph: GraphWriter) -> None:
        """Remember the thresholds of all trees as critical values of the raw fields.

        Raises:
            UnsupportedModel: if a split reads a column that does not exist.
        """
        thresholds: dict[int, set[float]] = defaultdict(set)
        for tree in self.trees:
            split = ~tree.is_leaf
            if np.any((tree.column[split] < 0) | (tree.column[split] >= columns.width)):
                raise UnsupportedModel("a tree of the model is damaged: it reads a column that does not exist")
            numeric = split & np.isfinite(tree.threshold)
            numeric[list(tree.categories)] = False
            for column, threshold in zip(tree.column[numeric].tolist(), tree.threshold[numeric].tolist(), strict=True):
                thresholds[column].add(threshold)
        for number, values in thresholds.items():
            note_thresholds(columns.origins[number], sorted(values), graph)

    def sums(self, graph: GraphWriter, numbers: str, outputs: int = 1) -> str:
        """Add the values of the leaves, one value per leaf, which goes to the output of its tree.

        Args:
            graph: The graph to write to.
            numbers: The columns, double [rows, columns].
            outputs: The number of outputs.

        Returns:
            Double [rows, outputs].
        """
        parts = []
        for start, trees, leaves in self._groups(graph, numbers):
            values = graph.add("Gather", graph.constant(_leaf_values(trees)[:, 0]), leaves, axis=0)
            targets = np.array(self._targets[start : start + len(trees)])
            parts.append(graph.add("MatMul", values, graph.constant(np.equal.outer(targets, range(outputs)) * 1.0)))
        return _sum(graph, parts)

    def leaf_sums(self, graph: GraphWriter, numbers: str) -> str:
        """Add the values of the leaves, which have one value for each output.

        Returns:
            Double [rows, outputs].
        """
        return _sum(graph, [_group_sums(graph, trees, leaves) for _, trees, leaves in self._groups(graph, numbers)])

    def tree_values(self, graph: GraphWriter, numbers: str) -> str:
        """Return the value of each tree, one value per leaf, double [rows, trees]."""
        values = graph.constant(_leaf_values(self.trees)[:, 0])
        return graph.add("Gather", values, self.leaves(graph, numbers), axis=0)

    def leaves(self, graph: GraphWriter, numbers: str) -> str:
        """Find the leaf of each tree, int64 [rows, trees]; leaves are numbered over all trees, in their order."""
        parts, first = [], 0
        for _, trees, leaves in self._groups(graph, numbers):
            parts.append(graph.add("Add", leaves, graph.constant(np.array(first, np.int64))))
            first += sum(int(tree.is_leaf.sum()) for tree in trees)
        return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)

    def _groups(self, graph: GraphWriter, numbers: str) -> Iterator[tuple[int, Sequence[Tree], str]]:
        """Write the trees in groups, and yield the first number, the trees and the leaves of each group.

        The leaves are int64 [rows, trees of the group], numbered over the trees of the group.
        """
        columns, trees = self._with_category_columns(graph, numbers)
        for start in range(0, len(trees), _GROUP):
            group = trees[start : start + _GROUP]
            leaf_numbers = graph.add(
                "TreeEnsembleRegressor",
                columns,
                domain="ai.onnx.ml",
                n_targets=len(group),
                **_node_attributes(group, self.comparison),
                **_leaf_attributes(group),
            )
            firsts = np.cumsum([0, *(int(tree.is_leaf.sum()) for tree in group[:-1])])
            integers = graph.add("Cast", leaf_numbers, to=TensorProto.INT64)
            yield start, group, graph.add("Add", integers, graph.constant(firsts))

    def _with_category_columns(self, graph: GraphWriter, numbers: str) -> tuple[str, Sequence[Tree]]:
        """Let each split by categories read a column of its own. These columns come before all others."""
        splits = _splits_by_column(self.trees)
        if not splits:
            return numbers, self.trees
        count = sum(map(len, splits.values()))
        trees = [replace(tree, column=tree.column + count, threshold=tree.threshold.copy()) for tree in self.trees]
        parts, start = [], 0
        for column, places in splits.items():
            sets = [
                (self.trees[tree].categories[node], bool(self.trees[tree].missing_left[node])) for tree, node in places
            ]
            parts.append(category_columns(graph, numbers, column, sets))
            for index, (tree, node) in enumerate(places, start):
                trees[tree].column[node] = index
                trees[tree].threshold[node] = LEFT_RIGHT_THRESHOLD
            start += len(places)
        return graph.add("Concat", *parts, numbers, axis=1), trees


def _group_sums(graph: GraphWriter, trees: Sequence[Tree], leaves: str) -> str:
    values, parts = _leaf_values(trees), []
    step = max(1, _LOOKUP_NUMBERS // len(trees))
    for start in range(0, values.shape[1], step):
        looked_up = graph.add("Gather", graph.constant(values[:, start : start + step]), leaves, axis=0)
        parts.append(graph.add("ReduceSum", looked_up, graph.constant(np.array([1], np.int64)), keepdims=0))
    return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)


def _sum(graph: GraphWriter, parts: Sequence[str]) -> str:
    if not parts:
        raise UnsupportedModel("the model has no trees")
    return parts[0] if len(parts) == 1 else graph.add("Sum", *parts)


def _leaf_values(trees: Sequence[Tree]) -> Numbers:
    """Return the values of the leaves of trees, double [leaves, outputs].

    Raises:
        UnsupportedModel: if there are none.
    """
    if not trees:
        raise UnsupportedModel("the model has no trees")
    return np.concatenate([tree.values[tree.is_leaf] for tree in trees])


def _splits_by_column(trees: Sequence[Tree]) -> dict[int, list[tuple[int, int]]]:
    """Return the splits by categories of each column, as indices of the tree and of the node."""
    splits: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number, tree in enumerate(trees):
        for node in tree.categories:
            splits[int(tree.column[node])].append((number, node))
    return splits


def _node_attributes(trees: Sequence[Tree], comparison: Comparison) -> dict[str, Any]:
    """Return the attributes of the nodes; a leaf has the mode "LEAF", and no children."""
    leaf = np.concatenate([tree.is_leaf for tree in trees])

    def of_splits(arrays: Iterable[NDArray[Any]]) -> NDArray[Any]:
        values = np.concatenate(list(arrays))
        return np.where(leaf, np.zeros(1, values.dtype), values)

    return {
        **_node_numbers(trees, "nodes", [np.ones(len(tree.left), bool) for tree in trees]),
        "nodes_modes": np.where(leaf, "LEAF", comparison.value).tolist(),
        "nodes_featureids": of_splits(tree.column for tree in trees).tolist(),
        "nodes_values_as_tensor": numpy_helper.from_array(of_splits(tree.threshold for tree in trees)),
        "nodes_missing_value_tracks_true": of_splits(tree.missing_left for tree in trees).astype(int).tolist(),
        "nodes_truenodeids": of_splits(tree.left for tree in trees).tolist(),
        "nodes_falsenodeids": of_splits(tree.right for tree in trees).tolist(),
    }


def _leaf_attributes(trees: Sequence[Tree]) -> dict[str, Any]:
    """Return the attributes of the leaves: a leaf adds its number within its tree to the output of its tree."""
    numbers = _node_numbers(trees, "target", [tree.is_leaf for tree in trees])
    weights = np.concatenate([np.arange(tree.is_leaf.sum(), dtype=np.float64) for tree in trees])
    return {
        **numbers,
        "target_ids": numbers["target_treeids"],
        "target_weights_as_tensor": numpy_helper.from_array(weights),
    }


def _node_numbers(trees: Sequence[Tree], prefix: str, chosen: Sequence[NDArray[np.bool_]]) -> dict[str, list[int]]:
    """Return the numbers of the trees and of the chosen nodes within them."""
    counts = [int(nodes.sum()) for nodes in chosen]
    return {
        f"{prefix}_treeids": np.repeat(np.arange(len(trees)), counts).tolist(),
        f"{prefix}_nodeids": np.concatenate([np.flatnonzero(nodes) for nodes in chosen]).tolist(),
    }
