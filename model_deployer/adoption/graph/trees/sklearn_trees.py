"""Decision trees and forests of scikit-learn, and bagging and AdaBoost of them.

scikit-learn rounds the columns to float32 and compares them with double thresholds. The arrays of a tree are read as
they are stored since version 0.18: the shares of the labels in a leaf were numbers of rows before version 1.3.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.graph.answer import Answer
from model_deployer.adoption.graph.frame import Block, Frame, refuse_missing
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor
from model_deployer.adoption.graph.trees.links import two_columns
from model_deployer.adoption.graph.trees.raw_columns import read_numbers, round_to_float32
from model_deployer.adoption.graph.trees.tree import Numbers, Tree
from model_deployer.adoption.graph.trees.tree_ensemble import Ensemble
from model_deployer.adoption.graph.unsupported import SeveralDecisions, UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject

#: The classes of one tree.
TREE_CLASSIFIERS = ("sklearn.DecisionTreeClassifier", "sklearn.ExtraTreeClassifier")
TREE_REGRESSORS = ("sklearn.DecisionTreeRegressor", "sklearn.ExtraTreeRegressor")

#: The first version that reads missing numbers, by the beginning of the name of the class.
_MISSING_SINCE = {"DecisionTree": (1, 3), "RandomForest": (1, 4), "ExtraTree": (1, 6)}


@predictor(*TREE_CLASSIFIERS)
def write_tree_classifier(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write one tree that classifies: the shares of the labels in the leaf."""
    return _average_shares(stored, [shares_tree(stored)], frame, graph)


@predictor("sklearn.RandomForestClassifier", "sklearn.ExtraTreesClassifier")
def write_forest_classifier(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write a forest that classifies: the average of the shares of its trees."""
    return _average_shares(stored, [shares_tree(tree) for tree in estimators(stored)], frame, graph)


@predictor(*TREE_REGRESSORS)
def write_tree_regressor(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write one tree that predicts a number, or one for each of several targets."""
    return _average(stored, [values_tree(stored)], frame, graph)


@predictor("sklearn.RandomForestRegressor", "sklearn.ExtraTreesRegressor")
def write_forest_regressor(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write a forest that predicts a number, or one for each of several targets: the average of its trees."""
    return _average(stored, [values_tree(tree) for tree in estimators(stored)], frame, graph)


def estimators(stored: StoredObject) -> list[StoredObject]:
    """Return the fitted parts of an ensemble.

    Raises:
        UnsupportedModel: if the ensemble is not fitted.
    """
    parts = stored.get("estimators_")
    if parts is None or not len(parts):
        raise UnsupportedModel(f"{stored.path} is not fitted: it has no estimators_")
    return list(parts)


def labels_of(stored: StoredObject) -> list[Any]:
    """Return the labels of a classifier, in the order of its probabilities.

    Raises:
        SeveralDecisions: if the classifier has several outputs.
    """
    classes = stored.get("classes_")
    if not isinstance(classes, np.ndarray) or classes.ndim != 1:
        raise SeveralDecisions(stored.name)
    return list(classes.tolist())


def sklearn_version(stored: StoredObject) -> tuple[int, ...]:
    """Return the version of scikit-learn that stored the model; a model that states none is older than 0.18."""
    parts = str(stored.get("_sklearn_version", "0")).split(".")[:3]
    return tuple(int("".join(filter(str.isdigit, part)) or 0) for part in parts)


def value_tree(stored: StoredObject, factor: float = 1.0) -> Tree:
    """Return a tree that predicts a number, with its values multiplied by a factor.

    Raises:
        UnsupportedModel: if it has several targets.
    """
    tree = values_tree(stored)
    if tree.values.shape[1] != 1:
        raise UnsupportedModel(f"{stored.name} has several targets, but the ensemble reads one value")
    return replace(tree, values=factor * tree.values)


def values_tree(stored: StoredObject) -> Tree:
    """Return a tree that predicts one number for each target."""
    return _tree(stored, lambda values: values[:, :, 0])


def shares_tree(stored: StoredObject) -> Tree:
    """Return a tree that classifies, with the shares of the labels as its values.

    Raises:
        SeveralDecisions: if it classifies several targets.
    """
    tree = _tree(stored, lambda values: _shares(values[:, 0, :]))
    if np.asarray(stored["tree_"]["values"]).shape[1] != 1:
        raise SeveralDecisions(stored.name)
    return tree


def column_block(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Block:
    """Return the columns of a tree or an ensemble, rounded to float32."""
    width = stored.get("n_features_in_", stored.get("n_features_"))
    block = read_numbers(frame, graph, None if width is None else int(width))
    assert block.tensor is not None
    if not _accepts_missing(stored):
        refuse_missing(block.origins, graph)
    return replace(block, tensor=round_to_float32(graph, block.tensor))


def _accepts_missing(stored: StoredObject) -> bool:
    """Return whether the version that stored a model reads missing numbers; boosting of trees never does."""
    reader = estimators(stored)[0] if stored.name.startswith("Bagging") else stored
    first = next((version for name, version in _MISSING_SINCE.items() if reader.name.startswith(name)), None)
    return first is not None and sklearn_version(reader) >= first


def label_shares(graph: GraphWriter, ensemble: Ensemble, tensor: str) -> str:
    """Return the average of the shares of the labels, double [rows, labels]."""
    count = graph.constant(float(len(ensemble.trees)))
    if ensemble.trees[0].values.shape[1] != 2:
        return graph.add("Div", ensemble.leaf_sums(graph, tensor), count)
    second = Ensemble()
    for tree in ensemble.trees:
        second.add(replace(tree, values=tree.values[:, 1:]))
    return two_columns(graph, graph.add("Div", second.sums(graph, tensor), count))


def _average_shares(stored: StoredObject, trees: Sequence[Tree], frame: Frame, graph: GraphWriter) -> Answer:
    labels = labels_of(stored)
    ensemble, tensor = _ensemble(stored, trees, frame, graph)
    return Answer(label_shares(graph, ensemble, tensor), labels)


def _average(stored: StoredObject, trees: Sequence[Tree], frame: Frame, graph: GraphWriter) -> Answer:
    ensemble, tensor = _ensemble(stored, trees, frame, graph)
    targets = trees[0].values.shape[1]
    sums = ensemble.sums(graph, tensor) if targets == 1 else ensemble.leaf_sums(graph, tensor)
    return Answer(graph.add("Div", sums, graph.constant(float(len(trees)))), targets=targets)


def _ensemble(stored: StoredObject, trees: Sequence[Tree], frame: Frame, graph: GraphWriter) -> tuple[Ensemble, str]:
    ensemble = Ensemble()
    for tree in trees:
        ensemble.add(tree)
    block = column_block(stored, frame, graph)
    ensemble.note_thresholds(block, graph)
    assert block.tensor is not None
    return ensemble, block.tensor


def _tree(stored: StoredObject, leaf_values: Callable[[Numbers], Numbers]) -> Tree:
    arrays = stored.get("tree_")
    if not isinstance(arrays, StoredObject) or "nodes" not in arrays:
        raise UnsupportedModel(f"{stored.path} is not fitted: it has no tree_")
    nodes, values = arrays["nodes"], np.asarray(arrays["values"], np.float64)
    return Tree(
        column=nodes["feature"].astype(np.int64),
        threshold=nodes["threshold"].astype(np.float64),
        missing_left=_missing_left(nodes),
        left=nodes["left_child"].astype(np.int64),
        right=nodes["right_child"].astype(np.int64),
        values=leaf_values(values),
    )


def _missing_left(nodes: NDArray[Any]) -> NDArray[np.bool_]:
    """Before version 1.3, trees refuse missing values."""
    names = nodes.dtype.names or ()
    return nodes["missing_go_to_left"].astype(bool) if "missing_go_to_left" in names else np.zeros(len(nodes), bool)


def _shares(values: Numbers) -> Numbers:
    """Return shares of the labels; numbers of rows are divided by their sum."""
    total = values.sum(axis=1, keepdims=True)
    counted = np.abs(total - 1) > 1e-9
    return np.where(counted, values / np.where(total == 0, 1, total), values)
