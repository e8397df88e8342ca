"""Support vector machines of libsvm."""

from functools import reduce
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.graph.answer import Answer
from model_deployer.adoption.graph.expression import Expression, concat
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor
from model_deployer.adoption.graph.sklearn.kernel import Kernel
from model_deployer.adoption.graph.sklearn.labels import labels_of
from model_deployer.adoption.graph.sklearn.missing import complete_numbers
from model_deployer.adoption.graph.sklearn.multiclass import pairwise_scores
from model_deployer.adoption.graph.sklearn.version import version_of
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject

Floats = NDArray[np.float64]

#: The smallest probability of one of two labels, and when libsvm stops to couple the pairs.
_SMALLEST, _TOLERANCE, _SWEEPS = 1e-7, 0.005, 100


@predictor("sklearn.SVR", "sklearn.NuSVR")
def write_regression(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write kernel @ coefficients + intercept."""
    values = _kernel(stored, frame, graph) @ _dense(stored, "_dual_coef_").T + np.ravel(stored["_intercept_"])
    return Answer(values.tensor)


@predictor("sklearn.SVC", "sklearn.NuSVC")
def write_classifier(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the decision of each pair of labels, their votes, and, if fitted, the probabilities.

    The source decides by the votes, also where it has probabilities; these may disagree.
    """
    labels = labels_of(stored)
    decisions = _pair_decisions(stored, frame, graph, len(labels))
    votes = (decisions <= 0.0).number()
    scores, decision = _scores(stored, votes, decisions, len(labels))
    slopes, offsets = (stored.get(name, stored.get(name.strip("_") + "_")) for name in ("_probA", "_probB"))
    if not np.size(slopes) or not stored.get("probability"):
        threshold = float(np.nextafter(0.0, -1.0))
        return Answer(None, labels, scores, threshold, None if len(labels) == 2 else decision)
    pairs = decisions * np.asarray(slopes, np.float64) + np.asarray(offsets, np.float64)
    first = (-pairs).sigmoid().clip(_SMALLEST, 1 - _SMALLEST)
    return Answer(_coupled(first, len(labels)).tensor, labels, scores, decision=decision)


def _scores(stored: StoredObject, votes: Expression, decisions: Expression, count: int) -> tuple[str | None, str]:
    """Return ``decision_function``, and the position of the label with most votes."""
    if count == 2:
        return (-decisions).tensor, votes.integer().tensor
    by_label = pairwise_scores((decisions < 0.0).number(), -decisions, count)
    each_label = stored.get("decision_function_shape") == "ovr"
    if stored.get("break_ties") and each_label:
        return by_label.tensor, by_label.argmax().tensor
    winner = pairwise_scores(votes, votes * 0.0, count).argmax()
    is_of_row = version_of(stored) >= (0, 21)  # before, the scores depend on the other rows of the batch
    return by_label.tensor if each_label and is_of_row else None, winner.tensor


def _pair_decisions(stored: StoredObject, frame: Frame, graph: GraphWriter, count: int) -> Expression:
    """Return a number for each pair of labels, positive for the first one, double [rows, pairs]."""
    coefficients = _dense(stored, "_dual_coef_")
    sizes = np.asarray(stored.get("_n_support", stored.get("n_support_")), int)
    owner = np.repeat(np.arange(count), sizes)
    columns = []
    for first, second in combinations(range(count), 2):
        column = np.where(owner == first, coefficients[second - 1], 0.0)
        columns.append(column + np.where(owner == second, coefficients[first], 0.0))
    return _kernel(stored, frame, graph) @ np.array(columns).T + np.ravel(stored["_intercept_"])


def _kernel(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Expression:
    _, numbers = complete_numbers(frame, graph)
    kernel = Kernel(stored["kernel"], float(stored.get("_gamma", 0.0)), float(stored["coef0"]), float(stored["degree"]))
    return kernel.write(numbers, _dense(stored, "support_vectors_"))


def _dense(stored: StoredObject, name: str) -> Floats:
    if isinstance(stored[name], StoredObject):
        raise UnsupportedModel(f"{stored.name} that was fitted on sparse data has no graph writer")
    return np.asarray(stored[name], np.float64)


def _coupled(first: Expression, count: int) -> Expression:
    """Couple the probabilities of pairs of labels (Wu, Lin and Weng, 2004, second method).

    libsvm stops early, so its steps are repeated as they are, also for two labels.

    Args:
        first: For each pair, the probability of its first label, double [rows, pairs].
        count: The number of labels.
    """
    pairs = {pair: first.columns([number]) for number, pair in enumerate(combinations(range(count), 2))}
    likelihood = {**pairs, **{(second, one): 1.0 - values for (one, second), values in pairs.items()}}
    matrix = _quadratic_form(likelihood, count)
    start = first.columns([0]) * 0.0 + np.full((1, count), 1.0 / count)

    def sweep(graph: GraphWriter, name: str) -> tuple[str, str]:
        rows = [[Expression(graph, matrix[t][j].tensor) for j in range(count)] for t in range(count)]
        values = Expression(graph, name)
        old = [values.columns([t]) for t in range(count)]
        products = [_dot(rows[t], old) for t in range(count)]
        total = _dot(old, products)
        active = concat([(product - total).abs() for product in products]).max() >= _TOLERANCE / count
        new = concat(_updated(rows, old, products, total))
        go_on = active.number().apply("ReduceMax", keepdims=0) > 0.5
        return go_on.tensor, active.choose(new, values).tensor

    return Expression(first.graph, first.graph.repeat(max(_SWEEPS, count), sweep, start.tensor))


def _quadratic_form(likelihood: dict[tuple[int, int], Expression], count: int) -> list[list[Expression]]:
    matrix = []
    for t in range(count):
        others = [likelihood[j, t] for j in range(count) if j != t]
        diagonal = reduce(Expression.__add__, [other * other for other in others])
        matrix.append([diagonal if j == t else -(likelihood[j, t] * likelihood[t, j]) for j in range(count)])
    return matrix


def _updated(
    rows: list[list[Expression]], values: list[Expression], products: list[Expression], total: Expression
) -> list[Expression]:
    """Return the probabilities after one sweep over the labels."""
    for t in range(len(values)):
        difference = (total - products[t]) / rows[t][t]
        scale = difference + 1.0
        total = (total + difference * (difference * rows[t][t] + products[t] * 2.0)) / scale / scale
        products = [(products[j] + difference * rows[t][j]) / scale for j in range(len(values))]
        values = [(value + difference if j == t else value) / scale for j, value in enumerate(values)]
    return values


def _dot(left: list[Expression], right: list[Expression]) -> Expression:
    return reduce(Expression.__add__, [one * other for one, other in zip(left, right, strict=True)])
