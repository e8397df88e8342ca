"""Select columns."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.graph.frame import Frame, refuse_missing
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import transformer
from model_deployer.adoption.graph.sklearn.version import version_of
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.stored_object import StoredObject

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


@transformer(
    "sklearn.SelectKBest",
    "sklearn.SelectPercentile",
    "sklearn.SelectFpr",
    "sklearn.SelectFdr",
    "sklearn.SelectFwe",
    "sklearn.GenericUnivariateSelect",
)
def write_univariate_selection(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write the columns whose test with the target is best."""
    for block in frame.blocks:
        refuse_missing(block.origins, graph)
    rule, parameter = _rule(stored)
    return _selected(_RULES[rule](stored, parameter), frame, graph)


@transformer("sklearn.VarianceThreshold")
def write_variance_threshold(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write the columns whose variance is above the threshold."""
    return _selected(np.asarray(stored["variances_"]) > stored.get("threshold", 0.0), frame, graph)


@transformer("sklearn.RFE", "sklearn.RFECV", "sklearn.SequentialFeatureSelector")
def write_stored_selection(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write the columns that were selected when the step was fitted."""
    _refuse_missing(stored.get("estimator_", stored["estimator"]), frame, graph)
    return _selected(np.asarray(stored["support_"], bool), frame, graph)


@transformer("sklearn.SelectFromModel")
def write_selection_from_model(stored: StoredObject, frame: Frame, graph: GraphWriter) -> Frame:
    """Write the columns that are important to another model."""
    model = stored["estimator"] if stored.get("prefit") else stored["estimator_"]
    scores = _importances(model, stored.get("norm_order", 1), stored.get("importance_getter", "auto"))
    _refuse_missing(model, frame, graph)
    mask = np.ones(len(scores), bool)
    most = stored.get("max_features_", stored.get("max_features"))
    if isinstance(most, (int, np.integer)):
        mask = np.isin(np.arange(len(scores)), np.argsort(-scores, kind="mergesort")[:most])
    elif most is not None:
        raise UnsupportedModel("SelectFromModel with a function as max_features has no graph writer")
    return _selected(mask & ~(scores < _threshold(model, scores, stored.get("threshold"))), frame, graph)


def _selected(mask: Mask, frame: Frame, graph: GraphWriter) -> Frame:
    if len(mask) != frame.width:
        raise UnsupportedModel(f"a selection of {len(mask)} columns gets {frame.width}")
    return frame.select([int(position) for position in np.flatnonzero(mask)], graph)


def _refuse_missing(model: StoredObject, frame: Frame, graph: GraphWriter) -> None:
    """Refuse a missing number unless the model that selects reads one."""
    by_version = {"DecisionTree": (1, 3), "RandomForest": (1, 4), "ExtraTree": (1, 6), "HistGradientBoosting": (0, 24)}
    first = next((version for name, version in by_version.items() if model.name.startswith(name)), None)
    if model.library == "sklearn" and (first is None or version_of(model) < first):
        for block in frame.blocks:
            refuse_missing(block.origins, graph)


def _rule(stored: StoredObject) -> tuple[str, Any]:
    if stored.name == "GenericUnivariateSelect":
        return stored["mode"], stored["param"]
    rules = {"SelectKBest": "k_best", "SelectPercentile": "percentile"}
    rule = rules.get(stored.name, stored.name.removeprefix("Select").lower())
    return rule, stored[{"k_best": "k", "percentile": "percentile"}.get(rule, "alpha")]


def _scores(stored: StoredObject) -> Floats:
    scores = np.asarray(stored["scores_"], np.float64)
    return np.where(np.isnan(scores), np.finfo(np.float64).min, scores)


def _k_best(stored: StoredObject, k: Any) -> Mask:
    scores = _scores(stored)
    if k == "all":
        return np.ones(len(scores), bool)
    return np.isin(
        np.arange(len(scores)), np.argsort(scores, kind="mergesort")[len(scores) - min(int(k), len(scores)) :]
    )


def _percentile(stored: StoredObject, percentile: float) -> Mask:
    scores = _scores(stored)
    if percentile in (0, 100):
        return np.full(len(scores), percentile == 100)
    threshold = np.percentile(scores, 100 - percentile)
    mask = scores > threshold
    ties = np.flatnonzero(scores == threshold)
    mask[ties[: int(len(scores) * percentile / 100) - mask.sum()]] = True
    return mask


def _false_discovery_rate(stored: StoredObject, alpha: float) -> Mask:
    values = np.asarray(stored["pvalues_"], np.float64)
    limits = float(alpha) / len(values) * np.arange(1, len(values) + 1)
    accepted = np.sort(values)[np.sort(values) <= limits]
    return values <= accepted.max() if len(accepted) else np.zeros(len(values), bool)


_RULES: dict[str, Callable[[StoredObject, Any], Mask]] = {
    "k_best": _k_best,
    "percentile": _percentile,
    "fpr": lambda stored, alpha: np.asarray(stored["pvalues_"]) < alpha,
    "fdr": _false_discovery_rate,
    "fwe": lambda stored, alpha: np.asarray(stored["pvalues_"]) < alpha / len(stored["pvalues_"]),
}


def _importances(model: StoredObject, norm_order: float, getter: Any) -> Floats:
    """Return the importance of each column, as the library finds it."""
    if getter != "auto":
        raise UnsupportedModel("SelectFromModel with an importance_getter has no graph writer")
    if "coef_" in model:
        coefficients = np.asarray(model["coef_"], np.float64)
        if coefficients.ndim == 1:
            return np.abs(coefficients)
        return np.asarray(np.linalg.norm(coefficients, axis=0, ord=norm_order))
    if "tree_" in model:
        return _tree_importances(model["tree_"], normalize=True)
    if model.name in ("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"):
        trees = [tree["tree_"] for tree in model["estimators_"] if len(tree["tree_"]["nodes"]) > 1]
        total = np.mean([_tree_importances(tree, normalize=True) for tree in trees], axis=0)
        return np.asarray(total / total.sum())
    if model.name in ("GradientBoostingClassifier", "GradientBoostingRegressor"):
        trees = [tree["tree_"] for tree in np.ravel(model["estimators_"]) if len(tree["tree_"]["nodes"]) > 1]
        total = np.mean([_tree_importances(tree, normalize=False) for tree in trees], axis=0)
        return np.asarray(total / total.sum())
    raise UnsupportedModel(f"the importances of {model.path} cannot be read from its file")


def _tree_importances(tree: StoredObject, normalize: bool) -> Floats:
    """Return the decrease of impurity by the splits on each column; a share of their sum, or of the rows."""
    nodes = tree["nodes"]
    weighted = nodes["weighted_n_node_samples"] * nodes["impurity"]
    importances = np.zeros(int(tree.arguments[0]))
    for node in np.flatnonzero(nodes["left_child"] != -1):
        left, right = nodes["left_child"][node], nodes["right_child"][node]
        importances[nodes["feature"][node]] += weighted[node] - weighted[left] - weighted[right]
    importances /= nodes["weighted_n_node_samples"][0]
    total = importances.sum()
    return importances / total if normalize and total > 0 else importances


def _threshold(model: StoredObject, scores: Floats, threshold: Any) -> float:
    if threshold is None:
        ratios = {"ElasticNet": "l1_ratio", "ElasticNetCV": "l1_ratio_", "LogisticRegression": "l1_ratio"}
        ratio = model.get(ratios[model.name]) if model.name in ratios else None
        sparse = "Lasso" in model.name or model.get("penalty") == "l1" or (ratio is not None and np.isclose(ratio, 1.0))
        threshold = 1e-5 if sparse else "mean"
    if not isinstance(threshold, str):
        return float(threshold)
    factor, _, reference = threshold.rpartition("*")
    if reference.strip() not in ("mean", "median"):
        raise UnsupportedModel(f"SelectFromModel with the threshold '{threshold}' has no graph writer")
    value = np.mean(scores) if reference.strip() == "mean" else np.median(scores)
    return float(factor or 1.0) * float(value)
