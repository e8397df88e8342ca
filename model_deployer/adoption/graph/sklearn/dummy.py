"""Models that predict a constant."""

import numpy as np

from model_deployer.adoption.graph.answer import Answer
from model_deployer.adoption.graph.expression import Expression
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor
from model_deployer.adoption.graph.sklearn.labels import labels_of
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject


@predictor("sklearn.DummyClassifier")
def write_dummy_classifier(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the same probabilities for each row."""
    labels = labels_of(stored)
    strategy = stored["strategy"]
    prior = np.asarray(stored["class_prior_"], np.float64)
    if strategy == "prior":
        probabilities = prior
    elif strategy == "most_frequent":
        probabilities = np.eye(len(labels))[prior.argmax()]
    elif strategy == "constant":
        probabilities = np.array([float(label == np.ravel(stored["constant"])[0]) for label in labels])
    else:
        raise UnsupportedModel(f"DummyClassifier with the strategy '{strategy}' answers at random")
    return Answer(_repeated(probabilities, frame, graph).tensor, labels)


@predictor("sklearn.DummyRegressor")
def write_dummy_regressor(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the same values for each row."""
    values = np.ravel(np.asarray(stored["constant_"], np.float64))
    return Answer(_repeated(values, frame, graph).tensor, targets=len(values))


def _repeated(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], frame: Frame, graph: GraphWriter
) -> Expression:
    """Return the values in every row; the columns are read for the number of rows alone."""
    first = frame.select([0], graph)
    block = first.texts(graph) if first.blocks[0].kind == "text" else first.numbers(graph)
    assert block.tensor is not None
    rows = Expression(graph, block.tensor).apply("Shape", start=0, end=1)
    width = Expression(graph, graph.constant(np.array([len(values)], np.int64)))
    shape = rows.apply("Concat", width, axis=0)
    return Expression(graph, graph.constant(values.reshape(1, -1))).apply("Expand", shape)
