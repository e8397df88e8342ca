"""Quadratic discriminant analysis."""

import numpy as np

from model_deployer.adoption.graph.answer import Answer
from model_deployer.adoption.graph.expression import concat
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor
from model_deployer.adoption.graph.sklearn.labels import labels_of
from model_deployer.adoption.graph.sklearn.missing import complete_numbers
from model_deployer.adoption.stored_object import StoredObject


@predictor("sklearn.QuadraticDiscriminantAnalysis", "sklearn.QDA")
def write_quadratic_discriminant(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the softmax of the logarithms of normal densities, one for each label, and of the priors."""
    labels = labels_of(stored)
    _, numbers = complete_numbers(frame, graph)
    distances = []
    for mean, rotation, scaling in zip(stored["means_"], stored["rotations_"], stored["scalings_"], strict=True):
        whitened = (numbers - np.asarray(mean, np.float64)) @ (rotation * scaling**-0.5)
        distances.append((whitened * whitened).sum())
    constants = np.array([np.sum(np.log(scaling)) for scaling in stored["scalings_"]])
    scores = (concat(distances) + constants) * -0.5 + np.log(stored["priors_"])
    decision = scores.columns([1]) - scores.columns([0]) if len(labels) == 2 else scores
    return Answer(scores.softmax().tensor, labels, decision.tensor)
