"""Bagging and AdaBoost of scikit-learn: of decision trees as one set of trees, of other models one after the other."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from onnx import TensorProto

from model_deployer.adoption.graph.answer import Answer
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor, write_predictor
from model_deployer.adoption.graph.trees.links import softmax, two_columns
from model_deployer.adoption.graph.trees.sklearn_trees import (
    TREE_CLASSIFIERS,
    TREE_REGRESSORS,
    column_block,
    estimators,
    label_shares,
    labels_of,
    shares_tree,
    sklearn_version,
    value_tree,
)
from model_deployer.adoption.graph.trees.tree import Integers, Numbers, Tree
from model_deployer.adoption.graph.trees.tree_ensemble import Ensemble
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject

#: The first version of AdaBoost in which a tree also votes against the labels that it does not predict.
_SYMMETRIC_VOTES = (1, 3, 1)

_ONE = np.array([1], np.int64)


@predictor("sklearn.BaggingClassifier")
def write_bagging_classifier(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the average of the probabilities of classifiers; each of them reads some of the columns."""
    labels, parts = labels_of(stored), estimators(stored)
    if _are_trees(parts, TREE_CLASSIFIERS):
        trees = [_spread(_select(shares_tree(part), columns), part, len(labels)) for part, columns in _pairs(stored)]
        ensemble, tensor = _ensemble(stored, trees, frame, graph)
        return Answer(label_shares(graph, ensemble, tensor), labels)
    answers = [write_predictor(part, frame.select(columns.tolist(), graph), graph) for part, columns in _pairs(stored)]
    if any(answer.labels is None or len(answer.labels) != len(labels) for answer in answers):
        raise UnsupportedModel(f"{stored.path}: a part of it knows only some of the labels")
    probabilities = _mean(graph, [answer.prediction for answer in answers])
    scores = [answer.scores for answer in answers if answer.scores is not None]
    return Answer(probabilities, labels, _mean(graph, scores) if len(scores) == len(answers) else None)


@predictor("sklearn.BaggingRegressor")
def write_bagging_regressor(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the average of the predictions of regressors; each of them reads some of the columns."""
    if _are_trees(estimators(stored), TREE_REGRESSORS):
        trees = [_select(value_tree(part), columns) for part, columns in _pairs(stored)]
        ensemble, tensor = _ensemble(stored, trees, frame, graph)
        return Answer(graph.add("Div", ensemble.sums(graph, tensor), graph.constant(float(len(trees)))))
    parts = _pairs(stored)
    tensors = [
        write_predictor(part, frame.select(columns.tolist(), graph), graph).prediction for part, columns in parts
    ]
    return Answer(_mean(graph, tensors))


@predictor("sklearn.AdaBoostClassifier")
def write_adaboost_classifier(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write AdaBoost that classifies: a weighted vote (SAMME), or a sum of logarithms of probabilities (SAMME.R)."""
    labels, parts = labels_of(stored), estimators(stored)
    if not _are_trees(parts, TREE_CLASSIFIERS):
        raise UnsupportedModel(f"{stored.path} of other models than decision trees has no graph writer")
    if any(len(part["classes_"]) != len(labels) for part in parts):
        raise UnsupportedModel(f"{stored.path}: a part of it knows only some of the labels")
    weights = np.asarray(stored["estimator_weights_"], np.float64)[: len(parts)]
    votes = _votes(stored, len(labels))
    shares = [shares_tree(part) for part in parts]
    trees = [replace(tree, values=votes(tree.values, weight)) for tree, weight in zip(shares, weights, strict=True)]
    ensemble, tensor = _ensemble(stored, trees, frame, graph)
    total = graph.constant(float(np.asarray(stored["estimator_weights_"], np.float64).sum()))
    decision = graph.add("Div", ensemble.leaf_sums(graph, tensor), total)
    if len(labels) > 2:
        return Answer(softmax(graph, graph.add("Div", decision, graph.constant(len(labels) - 1.0))), labels, decision)
    score = graph.add("ReduceSum", graph.add("Mul", decision, graph.constant([[-1.0, 1.0]])), graph.constant(_ONE))
    return Answer(two_columns(graph, graph.add("Sigmoid", score)), labels, score)


@predictor("sklearn.AdaBoostRegressor")
def write_adaboost_regressor(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write AdaBoost that predicts a number: the weighted median of its parts."""
    parts = estimators(stored)
    if _are_trees(parts, TREE_REGRESSORS):
        ensemble, tensor = _ensemble(stored, [value_tree(part) for part in parts], frame, graph)
        predictions = ensemble.tree_values(graph, tensor)
    else:
        tensors = [write_predictor(part, frame, graph).prediction for part in parts]
        predictions = graph.add("Concat", *tensors, axis=1)
    weights = np.asarray(stored["estimator_weights_"], np.float64)[: len(parts)]
    return Answer(_weighted_median(graph, predictions, weights))


def _weighted_median(graph: GraphWriter, predictions: str, weights: Numbers) -> str:
    """Return the first prediction, in ascending order, with at least half of all weights, double [rows, 1]."""
    count = graph.constant(np.array([len(weights)], np.int64))
    ascending, order = graph.add_many("TopK", predictions, count, outputs=2, axis=1, largest=0, sorted=1)
    cumulative = graph.add(
        "CumSum", graph.add("Gather", graph.constant(weights), order), graph.constant(np.array(1, np.int64))
    )
    last = graph.add("Gather", cumulative, graph.constant(np.array([len(weights) - 1], np.int64)), axis=1)
    reached = graph.add("GreaterOrEqual", cumulative, graph.add("Mul", last, graph.constant(0.5)))
    first = graph.add("ArgMax", graph.add("Cast", reached, to=TensorProto.INT32), axis=1, keepdims=1)
    return graph.add("GatherElements", ascending, first, axis=1)


def _votes(stored: StoredObject, labels: int) -> Callable[[Numbers, float], Numbers]:
    """Return what a leaf adds to the scores of the labels: from its shares and the weight of the tree."""
    if stored.get("algorithm") == "SAMME.R":
        return lambda shares, _: _log_votes(shares)
    against = -1 / (labels - 1) if sklearn_version(stored) >= _SYMMETRIC_VOTES else 0.0
    return lambda shares, weight: weight * np.where(_is_first_largest(shares), 1.0, against)


def _log_votes(shares: Numbers) -> Numbers:
    labels = shares.shape[1]
    logarithm = np.log(np.clip(shares, np.finfo(np.float64).eps, None))
    return np.asarray((labels - 1) * (logarithm - logarithm.sum(axis=1, keepdims=True) / labels))


def _is_first_largest(shares: Numbers) -> Numbers:
    return np.asarray(np.arange(shares.shape[1]) == shares.argmax(axis=1)[:, None])


def _pairs(stored: StoredObject) -> list[tuple[StoredObject, Integers]]:
    """Return each part of bagging with the columns that it reads."""
    columns = [np.asarray(features, np.int64) for features in stored["estimators_features_"]]
    return list(zip(estimators(stored), columns, strict=True))


def _are_trees(parts: Sequence[StoredObject], kinds: Sequence[str]) -> bool:
    return all(part.kind in kinds for part in parts)


def _select(tree: Tree, columns: Integers) -> Tree:
    """Return a tree that was trained with some of the columns as one that reads all of them."""
    return replace(tree, column=columns[np.where(tree.is_leaf, 0, tree.column)])


def _spread(tree: Tree, stored: StoredObject, labels: int) -> Tree:
    """Return a tree whose shares are of all labels; bagging passes the positions of labels as labels."""
    positions = np.asarray(stored["classes_"]).astype(np.int64)
    values = np.zeros((len(tree.values), labels))
    values[:, positions] = tree.values
    return replace(tree, values=values)


def _ensemble(stored: StoredObject, trees: Sequence[Tree], frame: Frame, graph: GraphWriter) -> tuple[Ensemble, str]:
    ensemble = Ensemble()
    for tree in trees:
        ensemble.add(tree)
    block = column_block(stored, frame, graph)
    ensemble.note_thresholds(block, graph)
    assert block.tensor is not None
    return ensemble, block.tensor


def _mean(graph: GraphWriter, tensors: Sequence[str]) -> str:
    return graph.add("Div", graph.add("Sum", *tensors), graph.constant(float(len(tensors))))
