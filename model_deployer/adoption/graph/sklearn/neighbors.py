"""Nearest neighbours."""

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.graph.answer import Answer
from model_deployer.adoption.graph.expression import Expression
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor
from model_deployer.adoption.graph.sklearn.labels import labels_of
from model_deployer.adoption.graph.sklearn.missing import complete_numbers
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject

Floats = NDArray[np.float64]


@predictor("sklearn.KNeighborsClassifier")
def write_classifier(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the share of each label among the nearest rows, weighted by the distances if asked for."""
    labels = labels_of(stored)
    weights, neighbours = _neighbours(stored, frame, graph)
    members = np.eye(len(labels))[np.ravel(stored["_y"]).astype(int)]
    votes = _weighted_sum(weights, neighbours, members)
    return Answer((votes / votes.sum()).tensor, labels)


@predictor("sklearn.KNeighborsRegressor")
def write_regressor(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the mean of the nearest rows, weighted by the distances if asked for."""
    values = np.asarray(stored["_y"], np.float64).reshape(len(stored["_fit_X"]), -1)
    weights, neighbours = _neighbours(stored, frame, graph)
    means = _weighted_sum(weights, neighbours, values) / weights.sum()
    return Answer(means.tensor, targets=values.shape[1])


def _neighbours(stored: StoredObject, frame: Frame, graph: GraphWriter) -> tuple[Expression, Expression]:
    """Return the weights of the nearest rows, double [rows, neighbours], and their positions, int64."""
    points = stored["_fit_X"]
    if not isinstance(points, np.ndarray):
        raise UnsupportedModel(f"{stored.name} that was fitted on sparse data has no graph writer")
    points = np.asarray(points, np.float64)
    _refuse_ties(points)
    _, numbers = complete_numbers(frame, graph)
    count = np.array([int(stored["n_neighbors"])], np.int64)
    distances = _distances(stored, numbers, points)
    nearest, positions = graph.add_many(
        "TopK", distances.tensor, graph.constant(count), outputs=2, axis=1, largest=0, sorted=1
    )
    return _weights(stored, Expression(graph, nearest)), Expression(graph, positions)


def _weights(stored: StoredObject, distances: Expression) -> Expression:
    if stored["weights"] == "uniform":
        return distances * 0.0 + 1.0
    if stored["weights"] != "distance":
        raise UnsupportedModel("weights that are a function have no graph writer")
    at_point = distances.equals(0.0)
    exact = at_point.number().max() > 0.0
    return exact.choose(at_point.number(), 1.0 / distances)


def _distances(stored: StoredObject, numbers: Expression, points: Floats) -> Expression:
    """Return the distance of each row to each training row, column by column, so that equal rows have distance 0."""
    metric = stored.get("effective_metric_", stored.get("metric"))
    power = (stored.get("effective_metric_params_") or {}).get("p", stored.get("p", 2))
    if metric == "minkowski" and power in (1, 2):
        metric = {1: "manhattan", 2: "euclidean"}[power]
    if metric not in ("euclidean", "manhattan"):
        raise UnsupportedModel(f"neighbours by the metric {metric} have no graph writer")
    total: Expression | None = None
    for index in range(points.shape[1]):
        difference = numbers.columns([index]) - points[:, index]
        part = difference.abs() if metric == "manhattan" else difference * difference
        total = part if total is None else total + part
    assert total is not None
    return total.sqrt() if metric == "euclidean" else total


def _refuse_ties(points: Floats) -> None:
    """Refuse training rows on a grid: of neighbours at the same distance, the library takes some without a rule.

    Raises:
        UnsupportedModel: if rows repeat, or if every column repeats most of its values.
    """
    repeated = len(np.unique(points, axis=0)) < len(points)
    coarse = all(len(np.unique(column)) < len(points) / 2 for column in points.T)
    if repeated or coarse:
        raise UnsupportedModel(
            "the rows of the nearest neighbours are equally distant, and the library takes any of them"
        )


def _weighted_sum(weights: Expression, neighbours: Expression, values: Floats) -> Expression:
    """Return the sum of the values of the neighbours, times their weights, double [rows, columns of the values]."""
    columns = [
        (weights * Expression(weights.graph, weights.graph.constant(column)).apply("Gather", neighbours, axis=0)).sum()
        for column in values.T
    ]
    first, *others = columns
    return first.apply("Concat", *others, axis=1) if others else first
