"""Neural networks of scikit-learn."""

from collections.abc import Callable

import numpy as np

from model_deployer.adoption.graph.answer import Answer, binary
from model_deployer.adoption.graph.expression import Expression
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor
from model_deployer.adoption.graph.sklearn.labels import labels_of
from model_deployer.adoption.graph.sklearn.missing import complete_numbers
from model_deployer.adoption.graph.unsupported import SeveralDecisions
from model_deployer.adoption.stored_object import StoredObject

_ACTIVATIONS: dict[str, Callable[[Expression], Expression]] = {
    "identity": lambda values: values,
    "logistic": Expression.sigmoid,
    "tanh": lambda values: values.apply("Tanh"),
    "relu": lambda values: values.apply("Relu"),
    "softmax": Expression.softmax,
    "exp": Expression.exp,
}


@predictor("sklearn.MLPClassifier")
def write_classifier(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the layers; two labels have one output, the probability of the second one."""
    labels = labels_of(stored)
    outputs = _layers(stored, frame, graph)
    if stored["out_activation_"] == "softmax":
        return Answer(outputs.tensor, labels)
    if len(labels) != 2:
        raise SeveralDecisions(stored.name)
    return Answer(binary(outputs).tensor, labels)


@predictor("sklearn.MLPRegressor")
def write_regressor(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the layers; the last one has an output for each target."""
    return Answer(_layers(stored, frame, graph).tensor, targets=len(stored["intercepts_"][-1]))


def _layers(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Expression:
    _, values = complete_numbers(frame, graph)
    inner = [stored["activation"]] * (len(stored["coefs_"]) - 1)
    for weights, bias, activation in zip(
        stored["coefs_"], stored["intercepts_"], [*inner, stored["out_activation_"]], strict=True
    ):
        values = _ACTIVATIONS[activation](values @ np.asarray(weights, np.float64) + np.asarray(bias, np.float64))
    return values
