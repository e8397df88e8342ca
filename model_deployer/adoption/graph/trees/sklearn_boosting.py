"""Gradient boosting of scikit-learn: ``GradientBoostingClassifier`` and ``GradientBoostingRegressor``.

The attributes have changed their names: the loss is ``loss_``, or ``_loss`` since version 1.1, and before version 0.21
the start of boosting was an object of its own instead of a ``DummyClassifier``.
"""

from typing import Any

import numpy as np

from model_deployer.adoption.graph.answer import Answer
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor, write_predictor
from model_deployer.adoption.graph.trees.links import sigmoid, softmax, two_columns
from model_deployer.adoption.graph.trees.sklearn_trees import column_block, labels_of, sklearn_version, value_tree
from model_deployer.adoption.graph.trees.tree_ensemble import Ensemble
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject

#: Probabilities are at least this far from 0 and 1: before version 1.8, and since then.
_OLD_EPSILON, _EPSILON = float(np.finfo(np.float32).eps), float(np.finfo(np.float64).eps)

#: The start of boosting before version 0.21: by class, the attribute that holds the scores.
_OLD_STARTS = {
    "LogOddsEstimator": "prior",
    "ScaledLogOddsEstimator": "prior",
    "PriorProbabilityEstimator": "priors",
    "MeanEstimator": "mean",
    "QuantileEstimator": "quantile",
}

#: The losses whose score is half of the log-odds.
_EXPONENTIAL = {"ExponentialLoss"}

#: The losses whose scores of a row are not centered.
_UNCENTERED = {"MultinomialDeviance"}

#: Versions from 1.4 on decide for the second label at a score of exactly 0, and exponential loss does always. Outputs
#: are float32, so the threshold is the number before one half in float32.
_OLD_BINARY_LOSSES = {"BinomialDeviance"}
_BELOW_HALF = float(np.nextafter(np.float32(0.5), np.float32(0)))


@predictor("sklearn.GradientBoostingRegressor")
def write_boosting_regressor(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write gradient boosting that predicts a number: the sum of the start and all trees."""
    return Answer(_scores(stored, frame, graph))


@predictor("sklearn.GradientBoostingClassifier")
def write_boosting_classifier(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write gradient boosting that classifies."""
    labels = labels_of(stored)
    scores = _scores(stored, frame, graph)
    if len(labels) > 2:
        return Answer(softmax(graph, scores), labels, scores)
    loss = _loss(stored)
    probability = sigmoid(graph, scores, 2.0 if loss in _EXPONENTIAL else 1.0)
    threshold = 0.5 if loss in _OLD_BINARY_LOSSES else _BELOW_HALF
    return Answer(two_columns(graph, probability), labels, scores, threshold)


def _scores(stored: StoredObject, frame: Frame, graph: GraphWriter) -> str:
    """Return the sum of the start and all trees, double [rows, outputs]."""
    stages = stored.get("estimators_")
    if stages is None:
        raise UnsupportedModel(f"{stored.path} is not fitted: it has no estimators_")
    block = column_block(stored, frame, graph)
    assert block.tensor is not None
    rate, ensemble = float(stored["learning_rate"]), Ensemble()
    for stage in stages:
        for output, tree in enumerate(stage):
            ensemble.add(value_tree(tree, rate), output)
    ensemble.note_thresholds(block, graph)
    sums = ensemble.sums(graph, block.tensor, stages.shape[1])
    start = _start(stored, Frame((block,)), graph)
    return sums if start is None else graph.add("Add", sums, start)


def _start(stored: StoredObject, frame: Frame, graph: GraphWriter) -> str | None:
    """Return the scores before the first tree, double [1 or rows, outputs]; None for 0."""
    start = stored.get("init_")
    if isinstance(start, str) or (isinstance(start, StoredObject) and start.name == "ZeroEstimator"):
        return None
    if not isinstance(start, StoredObject):
        raise UnsupportedModel(f"{stored.path} has no init_; train it again with scikit-learn 0.18 or later")
    if start.name in _OLD_STARTS:
        return _constant_row(graph, start[_OLD_STARTS[start.name]])
    if start.name == "DummyRegressor":
        return _constant_row(graph, start["constant_"])
    if start.name == "DummyClassifier" and start.get("strategy") == "prior":
        return _link(stored, _constant_row(graph, start["class_prior_"]), graph)
    answer = write_predictor(start, frame, graph)
    return answer.prediction if answer.labels is None else _link(stored, answer.prediction, graph)


def _constant_row(graph: GraphWriter, values: Any) -> str:
    return graph.constant(np.reshape(np.asarray(values, np.float64), (1, -1)))


def _link(stored: StoredObject, probabilities: str, graph: GraphWriter) -> str:
    """Return the scores that belong to probabilities."""
    epsilon = _EPSILON if sklearn_version(stored) >= (1, 8) else _OLD_EPSILON
    limited = graph.add("Clip", probabilities, graph.constant(epsilon), graph.constant(1 - epsilon))
    if len(labels_of(stored)) == 2:
        both = graph.add("Log", limited)
        log_odds = graph.add("Sub", _column(graph, both, 1), graph.add("Log", _complement(graph, limited)))
        return graph.add("Mul", log_odds, graph.constant(0.5)) if _loss(stored) in _EXPONENTIAL else log_odds
    logarithm = graph.add("Log", limited)
    if _loss(stored) in _UNCENTERED:
        return logarithm
    mean = graph.add("ReduceMean", logarithm, graph.constant(np.array([1], np.int64)), keepdims=1)
    return graph.add("Sub", logarithm, mean)


def _complement(graph: GraphWriter, probabilities: str) -> str:
    return graph.add("Sub", graph.constant(1.0), _column(graph, probabilities, 1))


def _column(graph: GraphWriter, tensor: str, number: int) -> str:
    return graph.add("Gather", tensor, graph.constant(np.array([number], np.int64)), axis=1)


def _loss(stored: StoredObject) -> str:
    loss = stored.get("_loss", stored.get("loss_"))
    return loss.name if isinstance(loss, StoredObject) else ""
