"""Linear trees of LightGBM (Shi et al., 2019, "Gradient boosting with piece-wise linear regression trees")."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from model_deployer.adoption.graph.frame import Block
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.trees.lightgbm_text import LightgbmTree, LinearLeaf
from model_deployer.adoption.graph.trees.tree import Numbers


def linear_leaf_values(graph: GraphWriter, block: Block, leaves: str, trees: Sequence[LightgbmTree]) -> str:
    """Return what the linear functions of the leaves that the rows reach predict, double [rows, trees].

    Args:
        graph: The graph to write to.
        block: The columns.
        leaves: The leaves that the rows reach, int64 [rows, trees], numbered over all trees.
        trees: The trees.
    """
    functions = [function for part in trees for function in _functions(part)]
    coefficients, used = np.zeros((len(functions), block.width)), np.zeros((len(functions), block.width), bool)
    for row, function in enumerate(functions):
        used[row, function.columns] = True
        np.add.at(coefficients[row], function.columns, function.coefficients)
    last = graph.constant(np.array([2], np.int64))

    def of_leaves(table: Any) -> str:
        return graph.add("Gather", graph.constant(table), leaves, axis=0)

    assert block.tensor is not None
    rows = graph.add("Unsqueeze", block.tensor, graph.constant(np.array([1], np.int64)))
    reads = of_leaves(used)
    products = graph.add("Mul", graph.add("Where", reads, rows, graph.constant(0.0)), of_leaves(coefficients))
    constants = of_leaves(np.array([function.constant for function in functions]))
    linear = graph.add("Add", graph.add("ReduceSum", products, last, keepdims=0), constants)
    missing = graph.number(graph.add("And", reads, graph.add("IsNaN", rows)))
    has_missing = graph.add("Greater", graph.add("ReduceMax", missing, last, keepdims=0), graph.constant(0.0))
    return graph.add("Where", has_missing, of_leaves(_leaf_values(trees)), linear)


def _functions(part: LightgbmTree) -> Sequence[LinearLeaf]:
    if part.leaves is not None:
        return part.leaves
    nothing = np.zeros(0, np.int64), np.zeros(0)
    return [LinearLeaf(value, *nothing) for value in part.tree.values[part.tree.is_leaf, 0].tolist()]


def _leaf_values(trees: Sequence[LightgbmTree]) -> Numbers:
    """Return what the leaves predict for a row with a missing number, double [leaves]."""
    return np.concatenate([part.tree.values[part.tree.is_leaf, 0] for part in trees])
