"""Linear models."""

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.graph.answer import Answer, binary
from model_deployer.adoption.graph.expression import Expression
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import predictor, write_predictor
from model_deployer.adoption.graph.sklearn.labels import labels_of
from model_deployer.adoption.graph.sklearn.missing import complete_numbers
from model_deployer.adoption.graph.sklearn.version import version_of
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject

REGRESSORS = (
    "ARDRegression",
    "BayesianRidge",
    "ElasticNet",
    "ElasticNetCV",
    "HuberRegressor",
    "Lars",
    "LarsCV",
    "Lasso",
    "LassoCV",
    "LassoLars",
    "LassoLarsCV",
    "LassoLarsIC",
    "LinearRegression",
    "LinearSVR",
    "OrthogonalMatchingPursuit",
    "OrthogonalMatchingPursuitCV",
    "PassiveAggressiveRegressor",
    "QuantileRegressor",
    "RandomizedLasso",
    "Ridge",
    "RidgeCV",
    "SGDRegressor",
    "TheilSenRegressor",
)


@predictor(*(f"sklearn.{name}" for name in REGRESSORS))
def write_linear_regression(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write x @ coefficients + intercept; several targets have a row of coefficients each."""
    targets = len(_coefficients(stored))
    return Answer(_linear(stored, frame, graph, targets).tensor, targets=targets)


@predictor("sklearn.PoissonRegressor", "sklearn.GammaRegressor", "sklearn.TweedieRegressor")
def write_generalized_regression(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the exponential of a linear function; for a normal distribution, the linear function itself."""
    link = stored.get("link", "log")
    identity = link == "identity" or (link == "auto" and stored.get("power", 0.0) <= 0)
    values = _linear(stored, frame, graph, outputs=1)
    return Answer((values if identity else values.exp()).tensor)


@predictor("sklearn.RANSACRegressor")
def write_robust_regression(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the model that was fitted to the inliers."""
    return write_predictor(stored["estimator_"], frame, graph)


@predictor("sklearn.LogisticRegression", "sklearn.LogisticRegressionCV")
def write_logistic_regression(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the logistic function of the scores; with several labels, their softmax or their shares."""
    labels = labels_of(stored)
    scores = decision_scores(stored, frame, graph, labels)
    if _one_versus_rest(stored, len(labels)):
        return one_versus_rest(stored, scores, labels)
    probabilities = binary((scores * 2.0).sigmoid()) if len(labels) == 2 else scores.softmax()
    return Answer(probabilities.tensor, labels, scores.tensor)


@predictor("sklearn.SGDClassifier")
def write_sgd_classifier(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the probabilities of the logistic and the modified Huber loss; other losses have scores alone."""
    labels = labels_of(stored)
    scores = decision_scores(stored, frame, graph, labels)
    if stored["loss"] in ("log", "log_loss"):
        return one_versus_rest(stored, scores, labels)
    if stored["loss"] != "modified_huber":
        return Answer(None, labels, scores.tensor, threshold=0.0)
    clipped = (scores.clip(-1.0, 1.0) + 1.0) / 2.0
    if len(labels) == 2:
        return Answer(binary(clipped).tensor, labels, scores.tensor)
    return Answer(shares(clipped).tensor, labels, scores.tensor, decision=scores.argmax().tensor)


@predictor(
    "sklearn.LinearSVC",
    "sklearn.PassiveAggressiveClassifier",
    "sklearn.Perceptron",
    "sklearn.RidgeClassifier",
    "sklearn.RidgeClassifierCV",
)
def write_linear_decision(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the scores; these models have no probabilities."""
    labels = labels_of(stored)
    return Answer(None, labels, decision_scores(stored, frame, graph, labels).tensor, threshold=0.0)


@predictor("sklearn.LinearDiscriminantAnalysis", "sklearn.LDA")
def write_linear_discriminant(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Answer:
    """Write the logistic function of the score of two labels, or the softmax of the scores of more."""
    labels = labels_of(stored)
    scores = decision_scores(stored, frame, graph, labels)
    if len(labels) == 2 or version_of(stored) < (0, 21):
        return one_versus_rest(stored, scores, labels)
    return Answer(scores.softmax().tensor, labels, scores.tensor)


def decision_scores(stored: StoredObject, frame: Frame, graph: GraphWriter, labels: list[object]) -> Expression:
    """Return ``decision_function`` of a linear classifier, double [rows, 1] for two labels or [rows, labels]."""
    if len(labels) < 2:
        raise UnsupportedModel(f"{stored.name} has only one class")
    return _linear(stored, frame, graph, outputs=1 if len(labels) == 2 else len(labels))


def one_versus_rest(stored: StoredObject, scores: Expression, labels: list[object]) -> Answer:
    """Return the logistic function of each score, divided by their sum if there are more than two labels.

    If all are 0, their shares are equal since version 1.9, and NaN before. The scores decide, also between
    probabilities that round to the same number.
    """
    positive = scores.sigmoid()
    if len(labels) == 2:
        return Answer(binary(positive).tensor, labels, scores.tensor)
    probabilities = shares(positive) if version_of(stored) >= (1, 9) else positive / positive.sum()
    return Answer(probabilities.tensor, labels, scores.tensor, decision=scores.argmax().tensor)


def shares(numbers: Expression) -> Expression:
    """Return each number divided by the sum of its row, or equal shares if the sum is 0."""
    total = numbers.sum()
    none = total.equals(0.0)
    filled = none.choose(1.0, numbers)
    return filled / filled.sum()


def _linear(stored: StoredObject, frame: Frame, graph: GraphWriter, outputs: int) -> Expression:
    coefficients = _coefficients(stored)
    if len(coefficients) != outputs:
        raise UnsupportedModel(
            f"{stored.name} has {len(coefficients)} rows of coefficients, and {outputs} was expected"
        )
    _, numbers = complete_numbers(frame, graph)
    intercept = np.asarray(stored.get("intercept_", 0.0), np.float64).reshape(-1)
    return numbers @ coefficients.T + intercept


def _coefficients(stored: StoredObject) -> NDArray[np.float64]:
    """Return the coefficients, double [outputs, columns]; some models store them as a sparse matrix."""
    value = stored["coef_"]
    if not isinstance(value, StoredObject):
        return np.atleast_2d(np.asarray(value, np.float64))
    if not value.name.startswith("csr"):
        raise UnsupportedModel(f"the coefficients of {stored.name} are a {value.name}")
    rows, columns = value.get("_shape", value.get("shape"))
    dense = np.zeros((rows, columns))
    starts = value["indptr"]
    dense[np.repeat(np.arange(rows), np.diff(starts)), value["indices"]] = value["data"]
    return dense


def _one_versus_rest(stored: StoredObject, count: int) -> bool:
    """Whether a logistic regression has one model per label, as each version of the library decides it."""
    scheme = stored.get("multi_class", "auto" if version_of(stored) >= (0, 22) else "ovr")
    if version_of(stored) < (0, 20):
        return count == 2 or scheme == "ovr"
    if version_of(stored) >= (1, 8):
        return count == 2
    solvers = ["liblinear"]
    if (1, 2) <= version_of(stored) < (1, 6):
        solvers.append("newton-cholesky")
    return scheme in ("ovr", "warn") or (
        scheme in ("auto", "deprecated") and (count == 2 or stored["solver"] in solvers)
    )
