"""Decision trees of any library as one TreeEnsemble (ai.onnx.ml 5), which compares and adds doubles."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from model_deployer.adoption.graph.frame import Block, note_thresholds
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.trees.category_columns import LEFT_RIGHT_THRESHOLD, category_columns
from model_deployer.adoption.graph.trees.tree import Numbers, Tree, leaf_only

#: How many numbers of a row are looked up at once in the tables of leaves.
_LOOKUP_NUMBERS = 2_000

_SUM, _NO_TRANSFORM = 1, 0


class Comparison(IntEnum):
    """Which rows go left; the numbers of the attribute ``nodes_modes``."""

    AT_MOST = 0
    BELOW = 1


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
        """Add a tree; a tree with one value per leaf adds it to this output."""
        self.trees.append(tree if len(tree.left) > 1 else leaf_only(tree.values[0]))
        self._targets.append(target)

    def note_thresholds(self, columns: Block, graph: GraphWriter) -> None:
        """Remember the thresholds of all trees as critical values of the raw fields."""
        thresholds: dict[int, set[float]] = defaultdict(set)
        for tree in self.trees:
            numeric = ~tree.is_leaf & np.isfinite(tree.threshold)
            numeric[list(tree.categories)] = False
            for column, threshold in zip(tree.column[numeric].tolist(), tree.threshold[numeric].tolist(), strict=True):
                thresholds[column].add(threshold)
        for number, values in thresholds.items():
            note_thresholds(columns.origins[number], sorted(values), graph)

    def sums(self, graph: GraphWriter, numbers: str, outputs: int = 1) -> str:
        """Add the values of the leaves, one value per leaf.

        Args:
            graph: The graph to write to.
            numbers: The columns, double [rows, columns].
            outputs: The number of outputs.

        Returns:
            Double [rows, outputs].
        """
        return self._write(graph, numbers, [tree.values[:, 0] for tree in self.trees], self._targets, outputs)

    def leaf_sums(self, graph: GraphWriter, numbers: str) -> str:
        """Add the values of the leaves, which have one value for each output.

        Returns:
            Double [rows, outputs].
        """
        leaves = self.leaves(graph, numbers)
        values = self.leaf_values()
        step = max(1, _LOOKUP_NUMBERS // len(self.trees))
        parts = [leaf_sum(graph, leaves, values[:, at : at + step]) for at in range(0, values.shape[1], step)]
        return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)

    def leaves(self, graph: GraphWriter, numbers: str) -> str:
        """Find the leaf of each tree, int64 [rows, trees], by its row in :meth:`leaf_values`."""
        starts = np.cumsum([0, *(int(tree.is_leaf.sum()) for tree in self.trees)])
        values = [np.cumsum(tree.is_leaf) - 1.0 + start for tree, start in zip(self.trees, starts, strict=False)]
        count = len(self.trees)
        return graph.add("Cast", self._write(graph, numbers, values, range(count), count), to=TensorProto.INT64)

    def leaf_values(self) -> Numbers:
        """Return the values of the leaves of all trees, double [leaves, outputs]."""
        return np.concatenate([tree.values[tree.is_leaf] for tree in self.trees])

    def _write(
        self, graph: GraphWriter, numbers: str, values: Sequence[Numbers], targets: Sequence[int], outputs: int
    ) -> str:
        graph.require_opset("ai.onnx.ml", 5)
        columns, trees = self._with_category_columns(graph, numbers)
        nodes = _node_attributes(trees, self.comparison) | _leaf_attributes(trees, values, targets)
        return graph.add(
            "TreeEnsemble",
            columns,
            domain="ai.onnx.ml",
            n_targets=outputs,
            aggregate_function=_SUM,
            post_transform=_NO_TRANSFORM,
            **nodes,
        )

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


def leaf_sum(graph: GraphWriter, leaves: str, values: Numbers) -> str:
    """Add the values of the leaf of each tree.

    Args:
        graph: The graph to write to.
        leaves: The leaves, int64 [rows, trees].
        values: The values of all leaves, double [leaves, outputs].

    Returns:
        Double [rows, outputs].
    """
    looked_up = graph.add("Gather", graph.constant(values), leaves, axis=0)
    return graph.add("ReduceSum", looked_up, graph.constant(np.array([1], np.int64)), keepdims=0)


def _splits_by_column(trees: Sequence[Tree]) -> dict[int, list[tuple[int, int]]]:
    """Return the splits by categories of each column, as indices of the tree and of the node."""
    splits: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number, tree in enumerate(trees):
        for node in tree.categories:
            splits[int(tree.column[node])].append((number, node))
    return splits


def _node_attributes(trees: Sequence[Tree], comparison: Comparison) -> dict[str, Any]:
    """Return the attributes of the splits. Splits and leaves have numbers of their own, over all trees."""
    splits = leaves = 0
    roots, parts = [], []
    for tree in trees:
        leaf = tree.is_leaf
        number = np.where(leaf, np.cumsum(leaf) + leaves, np.cumsum(~leaf) + splits) - 1
        split = [tree.column, tree.threshold, tree.missing_left]
        split += [number[tree.left], number[tree.right], leaf[tree.left], leaf[tree.right]]
        roots.append(splits)
        parts.append([values[~leaf] for values in split])
        splits += int(np.sum(~leaf))
        leaves += int(np.sum(leaf))
    column, threshold, missing_left, left, right, left_leaf, right_leaf = map(np.concatenate, zip(*parts, strict=True))
    return {
        "tree_roots": roots,
        "nodes_featureids": column.tolist(),
        "nodes_splits": numpy_helper.from_array(threshold),
        "nodes_modes": numpy_helper.from_array(np.full(len(column), comparison, np.uint8)),
        "nodes_missing_value_tracks_true": missing_left.astype(int).tolist(),
        "nodes_truenodeids": left.tolist(),
        "nodes_falsenodeids": right.tolist(),
        "nodes_trueleafs": left_leaf.astype(int).tolist(),
        "nodes_falseleafs": right_leaf.astype(int).tolist(),
    }


def _leaf_attributes(trees: Sequence[Tree], values: Sequence[Numbers], targets: Sequence[int]) -> dict[str, Any]:
    weights = [value[tree.is_leaf] for tree, value in zip(trees, values, strict=True)]
    return {
        "leaf_targetids": np.repeat(np.array(targets), [len(weight) for weight in weights]).tolist(),
        "leaf_weights": numpy_helper.from_array(np.concatenate(weights).astype(np.float64)),
    }
