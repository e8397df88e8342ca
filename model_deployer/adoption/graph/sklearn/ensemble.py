"""Several models that vote, or that a last model combines."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from model_deployer.adoption.graph.answer import Answer, decided
from model_deployer.adoption.graph.expression import Expression
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor, write_predictor
from model_deployer.adoption.graph.sklearn.encoder import one_hot
from model_deployer.adoption.graph.sklearn.labels import labels_of
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject


@predictor("sklearn.VotingClassifier")
def write_voting_classifier(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the weighted mean of the probabilities, or, for a hard vote, the weighted number of votes as scores."""
    labels = labels_of(stored)
    answers = [write_predictor(model, frame, graph) for model in stored["estimators_"]]
    weights = _weights(stored, len(answers))
    if stored["voting"] == "soft":
        return Answer(_mean([_probabilities(answer, graph) for answer in answers], weights).tensor, labels)
    votes = [one_hot(decided(answer, graph).number(), len(labels)) for answer in answers]
    counts = reduce(Expression.__add__, [vote * float(weight) for vote, weight in zip(votes, weights, strict=True)])
    scores = counts.columns([1]) - counts.columns([0]) if len(labels) == 2 else counts
    return Answer(None, labels, scores.tensor, threshold=0.0)


@predictor("sklearn.VotingRegressor")
def write_voting_regressor(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the weighted mean of the values."""
    answers = [write_predictor(model, frame, graph) for model in stored["estimators_"]]
    return Answer(_mean([_value(answer, graph) for answer in answers], _weights(stored, len(answers))).tensor)


@predictor("sklearn.StackingClassifier")
def write_stacking_classifier(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the final model on the outputs of the others; its labels are positions among the classes."""
    labels = labels_of(stored)
    answer = write_predictor(stored["final_estimator_"], _stacked(stored, frame, graph), graph)
    assert answer.labels is not None
    return Answer(
        answer.tensor, [labels[int(label)] for label in answer.labels], answer.scores, answer.threshold, answer.decision
    )


@predictor("sklearn.StackingRegressor")
def write_stacking_regressor(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the final model on the values of the others."""
    return write_predictor(stored["final_estimator_"], _stacked(stored, frame, graph), graph)


def _stacked(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Return what the final model reads: the outputs of the models and, if asked for, the columns themselves."""
    methods = stored["stack_method_"]
    outputs = [
        _output(write_predictor(model, frame, graph), method, graph)
        for model, method in zip(stored["estimators_"], methods, strict=True)
    ]
    frames = [_numbered(output, number) for number, output in enumerate(outputs)]
    joined = reduce(Frame.__add__, frames)
    return joined + frame if stored.get("passthrough") else joined


def _numbered(output: tuple[Expression, int], number: int) -> Frame:
    expression, width = output
    return Frame.of_numbers(expression.tensor, [f"model_{number}_{column}" for column in range(width)])


def _output(answer: Answer, method: str, graph: GraphWriter) -> tuple[Expression, int]:
    """Return what a stacked model hands on, and its number of columns."""
    if answer.labels is None:
        return _value(answer, graph), 1
    count = len(answer.labels)
    if method == "predict_proba":
        probabilities = _probabilities(answer, graph)
        return (probabilities.columns([1]), 1) if count == 2 else (probabilities, count)
    if method == "decision_function" and answer.scores is not None:
        return Expression(graph, answer.scores), 1 if count == 2 else count
    if method == "predict" and all(isinstance(label, (int, float)) for label in answer.labels):
        table = Expression(graph, graph.constant(np.array(answer.labels, np.float64)))
        return table.apply("Gather", decided(answer, graph), axis=0), 1
    raise UnsupportedModel(f"a stacked model that hands on its {method} has no graph writer")


def _probabilities(answer: Answer, graph: GraphWriter) -> Expression:
    return Expression(graph, answer.prediction)


def _value(answer: Answer, graph: GraphWriter) -> Expression:
    if answer.labels is not None:
        raise UnsupportedModel("a part of a regression is not a regression")
    return Expression(graph, answer.prediction)


def _mean(parts: Sequence[Expression], weights: Sequence[float]) -> Expression:
    """Return the weighted mean, as ``numpy.average`` does."""
    total = reduce(Expression.__add__, [part * float(weight) for part, weight in zip(parts, weights, strict=True)])
    return total / float(np.sum(weights))


def _weights(stored: StoredObject, count: int) -> list[float]:
    weights: Any = stored.get("weights")
    if weights is None:
        return [1.0] * count
    kept = [
        float(weight)
        for weight, (_, model) in zip(weights, stored["estimators"], strict=True)
        if model is not None and not isinstance(model, str)
    ]
    if len(kept) != count:
        raise UnsupportedModel(f"the ensemble has {count} models, but {len(kept)} weights")
    return kept
