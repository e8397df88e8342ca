"""Several labels from models of two labels."""

import numpy as np

from model_deployer.adoption.graph.answer import Answer, binary, decided
from model_deployer.adoption.graph.expression import Expression, concat
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor, write_predictor
from model_deployer.adoption.graph.sklearn.labels import labels_of
from model_deployer.adoption.graph.sklearn.version import version_of
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject


@predictor("sklearn.OneVsRestClassifier")
def write_one_versus_rest(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the probabilities of each label against the others, divided by their sum."""
    labels = labels_of(stored)
    if stored["label_binarizer_"].get("y_type_", "").startswith("multilabel"):
        raise UnsupportedModel("OneVsRestClassifier with several labels for a row has no graph writer")
    answers = [write_predictor(model, frame, graph) for model in stored["estimators_"]]
    scores = concat([_confidence(answer, graph) for answer in answers])
    last_wins = version_of(stored) < (1, 8)
    if any(answer.tensor is None for answer in answers):
        decision = scores.argmax(last_wins).tensor if len(answers) > 1 else None
        return Answer(None, labels, scores.tensor, threshold=0.0, decision=decision)
    positive = concat([_positive(answer, graph) for answer in answers])
    if len(answers) == 1:
        return Answer(binary(positive).tensor, labels, _scores(answers, scores))
    total = positive.sum()
    if version_of(stored) >= (1, 7):  # a row of zeros stays
        total = total.equals(0.0).choose(1.0, total)
    decision = scores.argmax(last_wins).tensor
    return Answer((positive / total).tensor, labels, _scores(answers, scores), decision=decision)


@predictor("sklearn.OneVsOneClassifier")
def write_one_versus_one(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the number of votes of each pair of labels, with the confidences to break ties."""
    labels = labels_of(stored)
    if stored.get("pairwise_indices_") is not None:
        raise UnsupportedModel("OneVsOneClassifier on a precomputed kernel has no graph writer")
    answers = [write_predictor(model, frame, graph) for model in stored["estimators_"]]
    votes = concat([decided(answer, graph).number() for answer in answers])
    confidences = concat([_confidence(answer, graph) for answer in answers])
    scores = pairwise_scores(votes, confidences, len(labels))
    if len(labels) == 2:
        return Answer(None, labels, scores.columns([1]).tensor, threshold=_two_label_threshold(answers[0]))
    return Answer(None, labels, scores.tensor)


def pairwise_scores(votes: Expression, confidences: Expression, count: int) -> Expression:
    """Return a score for each label: its votes, plus its summed confidences moved into -1/3 to 1/3.

    Args:
        votes: For each pair of labels, 1 for a vote for the second one, else 0, double [rows, pairs].
        confidences: For each pair, a number that is larger for the second one, double [rows, pairs].
        count: The number of labels.
    """
    pairs = [(first, second) for first in range(count) for second in range(first + 1, count)]
    signs = np.zeros((len(pairs), count))
    for number, (first, second) in enumerate(pairs):
        signs[number, first], signs[number, second] = -1.0, 1.0
    total_votes: Expression = votes @ signs + (signs < 0).sum(axis=0).astype(np.float64)
    confidence = confidences @ signs
    return total_votes + confidence / ((confidence.abs() + 1.0) * 3.0)


@predictor("sklearn._ConstantPredictor")
def write_constant(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the answer for a label that every row or no row of the training data had."""
    positive = float(np.ravel(stored["y_"])[0])
    column = frame.select([0], graph).numbers(graph)
    assert column.tensor is not None
    values = Expression(graph, column.tensor)
    constant = values.is_nan().choose(positive, positive)
    return Answer(binary(constant).tensor, [0, 1], constant.tensor)


def _positive(answer: Answer, graph: GraphWriter) -> Expression:
    return Expression(graph, answer.prediction).columns([1])


def _confidence(answer: Answer, graph: GraphWriter) -> Expression:
    """Return the score of the second label; without scores, its probability."""
    return Expression(graph, answer.scores) if answer.scores is not None else _positive(answer, graph)


def _scores(answers: list[Answer], scores: Expression) -> str | None:
    return scores.tensor if all(answer.scores is not None for answer in answers) else None


def _two_label_threshold(answer: Answer) -> float:
    return 0.0 if answer.scores is not None else 0.5
