"""Naive Bayes classifiers: the softmax of the joint logarithms of each label."""

import numpy as np

from model_deployer.adoption.graph.answer import Answer
from model_deployer.adoption.graph.expression import Expression, concat
from model_deployer.adoption.graph.frame import Frame, refuse_outside
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor
from model_deployer.adoption.graph.sklearn.labels import labels_of
from model_deployer.adoption.graph.sklearn.missing import complete_numbers
from model_deployer.adoption.stored_object import StoredObject


@predictor("sklearn.GaussianNB")
def write_gaussian(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write a normal density for each label and column."""
    _, numbers = complete_numbers(frame, graph)
    means = np.asarray(stored["theta_"], np.float64)
    variances = np.asarray(stored.get("var_", stored.get("sigma_")), np.float64)
    distances = numbers.reshape(-1, 1, means.shape[1]) - means
    squares = (distances * distances / variances).sum(axis=2).reshape(-1, len(means))
    constants = np.log(stored["class_prior_"]) - 0.5 * np.sum(np.log(2.0 * np.pi * variances), axis=1)
    return _answer(stored, squares * -0.5 + constants)


@predictor("sklearn.MultinomialNB", "sklearn.ComplementNB")
def write_multinomial(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write counts @ logarithms; the complement model has no prior."""
    _, numbers = complete_numbers(frame, graph)
    scores = numbers @ np.asarray(stored["feature_log_prob_"], np.float64).T
    if stored.name == "MultinomialNB":
        scores = scores + np.asarray(stored["class_log_prior_"], np.float64)
    return _answer(stored, scores)


@predictor("sklearn.BernoulliNB")
def write_bernoulli(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the logarithms of a column being above the threshold or not."""
    _, numbers = complete_numbers(frame, graph)
    if stored.get("binarize") is not None:
        numbers = (numbers > float(stored["binarize"])).number()
    present = np.asarray(stored["feature_log_prob_"], np.float64)
    absent = np.log(1 - np.exp(present))
    return _answer(stored, numbers @ (present - absent).T + (stored["class_log_prior_"] + absent.sum(axis=1)))


@predictor("sklearn.CategoricalNB")
def write_categorical(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the logarithm of each category, a whole number from 0."""
    block, numbers = complete_numbers(frame, graph)
    parts = []
    for index, logarithms in enumerate(stored["feature_log_prob_"]):
        last = logarithms.shape[1] - 1
        refuse_outside(block.origins[index], 0.0, float(np.nextafter(last + 1.0, 0.0)), graph)
        position = numbers.columns([index]).clip(0.0, last)
        position = position.is_nan().choose(0.0, position).integer().reshape(-1)
        table = Expression(graph, graph.constant(np.ascontiguousarray(np.asarray(logarithms, np.float64).T)))
        parts.append(table.apply("Gather", position, axis=0).reshape(-1, 1, len(logarithms)))
    scores = concat(parts).sum(axis=1).reshape(-1, len(stored["class_log_prior_"]))
    return _answer(stored, scores + np.asarray(stored["class_log_prior_"], np.float64))


def _answer(stored: StoredObject, scores: Expression) -> Answer:
    return Answer(scores.softmax().tensor, labels_of(stored))
