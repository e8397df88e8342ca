"""Calibrated classifiers: their scores become probabilities."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from model_deployer.adoption.graph.answer import Answer, binary
from model_deployer.adoption.graph.expression import Expression, concat
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor, write_predictor
from model_deployer.adoption.graph.sklearn.isotonic import isotonic_points, isotonic_values
from model_deployer.adoption.graph.sklearn.labels import labels_of
from model_deployer.adoption.graph.sklearn.linear import shares
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject

#: The largest change of a probability by the last digit of a score.
_LARGEST_STEP = 1e-5

#: What the library adds to probabilities before it takes their logarithm.
_LOGARITHM_OFFSET = 1e-12


@predictor("sklearn.CalibratedClassifierCV")
def write_calibrated(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the mean of the calibrated classifiers, one for each fold."""
    labels = labels_of(stored)
    members = stored["calibrated_classifiers_"]
    total = _member(members[0], labels, frame, graph)
    for member in members[1:]:
        total = total + _member(member, labels, frame, graph)
    return Answer((total / float(len(members))).tensor, labels)


def _member(member: StoredObject, labels: Sequence[Any], frame: Frame, graph: GraphWriter) -> Expression:
    model = member.get("estimator", member.get("base_estimator"))
    calibrators = member.get("calibrators", member.get("calibrators_"))
    answer = write_predictor(model, frame, graph)
    if member.get("method") == "temperature":
        return _temperature(float(calibrators[0]["beta_"]), answer, labels, graph)
    scores = _raw_scores(answer, graph)
    if len(labels) == 2:
        return binary(_limited(_calibrated(calibrators[0], scores)))
    columns: list[Expression] = [scores.columns([0]) * 0.0] * len(labels)
    if len(calibrators) == 1:  # the classifier of this fold has seen two of the labels
        columns[_position(answer.labels, labels, 0)] = _calibrated(calibrators[0], scores)
    else:
        for number, calibrator in enumerate(calibrators):
            columns[_position(answer.labels, labels, number)] = _calibrated(calibrator, scores.columns([number]))
    return _limited(shares(concat(columns)))


def _position(own: Sequence[Any] | None, labels: Sequence[Any], number: int) -> int:
    assert own is not None
    return list(labels).index(own[number])


def _raw_scores(answer: Answer, graph: GraphWriter) -> Expression:
    """Return the scores of a classifier, or its probabilities; of two labels, those of the second one."""
    if answer.scores is not None:
        return Expression(graph, answer.scores)
    assert answer.labels is not None
    probabilities = Expression(graph, answer.prediction)
    return probabilities.columns([1]) if len(answer.labels) == 2 else probabilities


def _calibrated(calibrator: StoredObject, scores: Expression) -> Expression:
    if calibrator.name == "IsotonicRegression":
        _refuse_steps(calibrator)
        return isotonic_values(calibrator, scores)
    slope, offset = float(calibrator["a_"]), float(calibrator["b_"])
    return (-(scores * slope + offset)).sigmoid()


def _refuse_steps(calibrator: StoredObject) -> None:
    """Refuse a function so steep that the last digit of a score, which may differ, changes the probability.

    Raises:
        UnsupportedModel: as with the scores of XGBoost, which are float32.
    """
    points, values = isotonic_points(calibrator)
    digit = 2 * np.finfo(points.dtype).eps * np.abs(points.astype(np.float64)).max()
    steepest = np.max(np.diff(values.astype(np.float64)) / np.diff(points.astype(np.float64)), initial=0.0)
    if steepest * digit > _LARGEST_STEP:
        raise UnsupportedModel(
            f"the isotonic calibration of {points.dtype} scores has steps that the last digit of a score decides"
        )


def _limited(probabilities: Expression) -> Expression:
    """Return probabilities that rounding moved above 1 as 1."""
    above = (probabilities > 1.0) & (probabilities <= 1.0 + 1e-5)
    return above.choose(1.0, probabilities)


def _temperature(factor: float, answer: Answer, labels: Sequence[Any], graph: GraphWriter) -> Expression:
    """Return the softmax of scores that are multiplied by a factor; of probabilities, the logarithms are the scores."""
    if answer.scores is None:
        logits = (Expression(graph, answer.prediction) + _LOGARITHM_OFFSET).log()
    else:
        scores = Expression(graph, answer.scores)
        logits = concat([-scores, scores]) if len(labels) == 2 else scores
    return _limited((logits * factor).softmax())
