"""Fit estimators of scikit-learn, and any class with the same interface, and convert them to ONNX.

Forests and histogram boosting are converted tree by tree. Other estimators are converted by skl2onnx; their columns are
imputed and scaled first.
"""

from collections.abc import Callable
from copy import copy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, compose, helper, numpy_helper
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.utils.validation import has_fit_parameter

from model_deployer.contract.errors import CheckFailed, EnvironmentFault, SpecError
from model_deployer.training.models.onnx_estimator import COLUMNS, OPSETS, SCORES, OnnxEstimator
from model_deployer.training.models.search import Options, Parameters, SearchResult
from model_deployer.training.models.tree_ensemble import Ensemble, Leaf, Split
from model_deployer.training.preprocessing.matrix import Floats, Matrix
from model_deployer.training.runtime.imports import import_class
from model_deployer.training.runtime.silence import silence_libraries
from model_deployer.training.runtime.threads import idle_cores

#: The smallest probability or rate whose logarithm is taken.
MIN_VALUE = 1e-7

_FORESTS = RandomForestClassifier | RandomForestRegressor | ExtraTreesClassifier | ExtraTreesRegressor
_BOOSTING = HistGradientBoostingClassifier | HistGradientBoostingRegressor

#: The classes of the names in model.yaml, for classification and regression, and the parameters that differ from
#: scikit-learn's defaults: leaves of one row make a forest tens of times larger, and its probabilities worse.
_NAMED: dict[str, tuple[type[Any], type[Any], dict[str, Any]]] = {
    "random_forest": (RandomForestClassifier, RandomForestRegressor, {"min_samples_leaf": 5, "n_estimators": 200}),
    "histogram_boosting": (HistGradientBoostingClassifier, HistGradientBoostingRegressor, {}),
}

#: The parameters that select another loss than that of a mean or of classes.
_LOSSES: dict[tuple[str, str], Callable[[Parameters], dict[str, Any]]] = {
    ("random_forest", "poisson"): lambda _: {"criterion": "poisson"},
    ("histogram_boosting", "poisson"): lambda _: {"loss": "poisson"},
    ("histogram_boosting", "quantile"): lambda objective: {"loss": "quantile", "quantile": objective["alpha"]},
}


def fit_sklearn(name: str, train: Matrix, validation: Matrix, options: Options) -> SearchResult:
    """Fit an estimator and convert it to ONNX.

    Args:
        name: ``random_forest``, ``histogram_boosting``, or the import path of a class.
        train: The training rows.
        validation: The rows for the comparison of the ONNX form with the library.
        options: The parameters of the estimator, and the seed.

    Raises:
        EnvironmentFault: if the class cannot be imported, or skl2onnx is needed and not installed.
        SpecError: if there is no such class, it does not suit the task, or it refuses its parameters.
        CheckFailed: if the estimator cannot be converted to ONNX, or differs there.
    """
    estimator = _create(name, options, train.values.numel())
    prepare = _unchanged if isinstance(estimator, _FORESTS | _BOOSTING) else _ImputeAndScale(train)
    weights = _weights(estimator, train, name)
    with silence_libraries():
        try:
            estimator.fit(prepare(train.values.numpy()), train.target, **weights)
        except (ValueError, TypeError) as error:
            raise SpecError(f"{name} cannot be fitted to this table: {error}") from None
        takes_logarithm = is_classifier(estimator) or options.objective["objective"] == "poisson"
        expected = _scores(estimator, prepare(validation.values.numpy()), takes_logarithm)
    converted = _onnx_estimator(estimator, prepare, takes_logarithm, name)
    return SearchResult(converted.checked(validation.values, expected), options.parameters)


def _unchanged(columns: Floats) -> Floats:
    return columns


class _ImputeAndScale:
    """Replace missing numbers by 0, the median; append missing-value indicators; and scale columns by their deviation.

    Args:
        train: The rows to fit the scales on.
    """

    def __init__(self, train: Matrix) -> None:
        values = train.values.numpy()
        is_missing = np.isnan(values)
        self.gaps = np.flatnonzero(is_missing.any(axis=0))
        deviations = np.where(is_missing, 0, values).astype(np.float64).std(axis=0)
        self.scale: Floats = np.where(deviations > 0, deviations, 1).astype(np.float32)

    def __call__(self, columns: Floats) -> Floats:
        is_missing = np.isnan(columns)
        imputed = np.where(is_missing, np.float32(0), columns)
        return np.hstack([imputed / self.scale, is_missing[:, self.gaps].astype(np.float32)])

    def graph(self, source: str, result: str) -> tuple[list[NodeProto], list[TensorProto]]:
        """Return ONNX nodes and constants that do the same."""
        constants: dict[str, NDArray[Any]] = {
            "scale": self.scale,
            "zero": np.zeros(1, np.float32),
            "gap_columns": self.gaps.astype(np.int64),
        }
        nodes = [
            helper.make_node("IsNaN", [source], ["is_missing"]),
            helper.make_node("Where", ["is_missing", "zero", source], ["imputed"]),
            helper.make_node("Div", ["imputed", "scale"], ["scaled"]),
            helper.make_node("Cast", ["is_missing"], ["all_gaps"], to=TensorProto.FLOAT),
            helper.make_node("Gather", ["all_gaps", "gap_columns"], ["gaps"], axis=1),
            helper.make_node("Concat", ["scaled", "gaps"], [result], axis=1),
        ]
        return nodes, [numpy_helper.from_array(value, name) for name, value in constants.items()]


class _Nodes(NamedTuple):
    nodes: list[NodeProto] = []  # noqa: RUF012 (never changed)
    constants: list[TensorProto] = []  # noqa: RUF012


_Prepare = Callable[[Floats], Floats] | _ImputeAndScale


def _create(name: str, options: Options, values: int) -> Any:
    """Return the unfitted estimator for a matrix of this number of values."""
    regression = options.classes == 1
    if options.objective["objective"] == "quantile" and name != "histogram_boosting":
        raise SpecError(
            f"{name} cannot predict a quantile; set `estimator.name` to lightgbm, xgboost or histogram_boosting"
        )
    if name in _NAMED:
        classifier, regressor, defaults = _NAMED[name]
        estimator_class: Any = regressor if regression else classifier
        loss = _LOSSES.get((name, options.objective["objective"]))
        defaults = defaults | loss(options.objective) if loss else defaults
    else:
        estimator_class, defaults = import_class(name, BaseEstimator, "estimator.name"), {}
    is_expected_kind = is_regressor if regression else is_classifier
    try:
        estimator = estimator_class(**(defaults | dict(options.parameters)))
    except TypeError as error:
        raise SpecError(f"{name} refuses `estimator.parameters`: {error}") from None
    if not is_expected_kind(estimator):
        raise SpecError(f"{name} is not a {'regressor' if regression else 'classifier'}, which this target needs")
    fixed = {"random_state": options.seed, "n_jobs": idle_cores(values), "probability": True}  # the last one is for SVC
    settable = estimator.get_params().keys() - options.parameters.keys()
    estimator.set_params(**{name: value for name, value in fixed.items() if name in settable})
    if not regression and not hasattr(estimator, "predict_proba"):
        raise SpecError(f"{name} does not predict probabilities (`predict_proba`); choose another classifier")
    return estimator


def _weights(estimator: Any, train: Matrix, name: str) -> dict[str, Any]:
    if train.weights is None:
        return {}
    if not has_fit_parameter(estimator, "sample_weight"):
        raise SpecError(f"{name} does not support weights; remove `data.weight`, or choose another `estimator.name`")
    return {"sample_weight": train.weights}


def _scores(estimator: Any, columns: Floats, takes_logarithm: bool) -> NDArray[Any]:
    """Return the raw scores of the estimator: its predictions, or their logarithms [rows] or [rows, outputs]."""
    if isinstance(estimator, HistGradientBoostingClassifier):
        return np.asarray(estimator.decision_function(columns))
    outputs = np.asarray(estimator.predict_proba(columns) if is_classifier(estimator) else estimator.predict(columns))
    return np.log(np.clip(outputs, MIN_VALUE, None)) if takes_logarithm else outputs


def _onnx_estimator(estimator: Any, prepare: _Prepare, takes_logarithm: bool, name: str) -> OnnxEstimator:
    if isinstance(estimator, _BOOSTING):
        return OnnxEstimator.of_nodes([_boosted_trees(estimator).node(COLUMNS, SCORES)])
    outputs = "outputs" if takes_logarithm else SCORES
    last = _Nodes(*_logarithm(outputs)) if takes_logarithm else _Nodes()
    if isinstance(estimator, _FORESTS):
        return OnnxEstimator.of_nodes([_forest_trees(estimator).node(COLUMNS, outputs), *last.nodes], last.constants)
    assert isinstance(prepare, _ImputeAndScale)
    return _converted(estimator, prepare, last, name)


def _boosted_trees(estimator: Any) -> Ensemble:
    ensemble = Ensemble(estimator.n_trees_per_iteration_, np.ravel(estimator._baseline_prediction).tolist())
    for trees in estimator._predictors:
        for output, tree in enumerate(trees):
            ensemble.add([_boosted_node(node) for node in tree.nodes], output)
    return ensemble


def _boosted_node(node: Any) -> Split | Leaf:
    if node["is_leaf"]:
        return (float(node["value"]),)
    column, threshold = int(node["feature_idx"]), float(node["num_threshold"])
    return Split(column, threshold, bool(node["missing_go_to_left"]), int(node["left"]), int(node["right"]))


def _forest_trees(estimator: Any) -> Ensemble:
    """Return the trees of a forest; their sum is the mean of the trees' probabilities or values."""
    trees = [tree.tree_ for tree in estimator.estimators_]
    ensemble = Ensemble(trees[0].value.shape[2] if is_classifier(estimator) else 1)
    for tree in trees:
        values = tree.value[:, 0, :]
        if is_classifier(estimator):
            values = values / values.sum(axis=1, keepdims=True)
        ensemble.add([_forest_node(tree, values / len(trees), number) for number in range(tree.node_count)])
    return ensemble


def _forest_node(tree: Any, values: NDArray[Any], number: int) -> Split | Leaf:
    left, right = int(tree.children_left[number]), int(tree.children_right[number])
    if left < 0:
        return tuple(values[number].tolist())
    missing_left = bool(tree.missing_go_to_left[number])
    return Split(int(tree.feature[number]), float(tree.threshold[number]), missing_left, left, right)


def _converted(estimator: Any, prepare: _ImputeAndScale, last: _Nodes, name: str) -> OnnxEstimator:
    try:
        import skl2onnx  # noqa: PLC0415 (needed only for a class that is named by its import path)
    except ImportError:
        raise EnvironmentFault(f"{name} is converted to ONNX by skl2onnx: pip install skl2onnx") from None
    width = len(prepare.scale) + len(prepare.gaps)
    types = [("prepared", skl2onnx.common.data_types.FloatTensorType([None, width]))]
    estimator = _convertible(estimator)
    plain = {id(estimator): {"zipmap": False}} if is_classifier(estimator) else None
    try:
        with silence_libraries():
            converted = skl2onnx.convert_sklearn(
                estimator, initial_types=types, options=plain, target_opset={"": OPSETS[""], "ai.onnx.ml": 3}
            )
    except Exception as error:  # errors of skl2onnx, and any error within a converter
        reason = str(error).strip().partition("\n")[0]
        raise CheckFailed(f"{name} cannot be converted to ONNX: {reason}; choose another `estimator.name`") from None
    inner = compose.add_prefix(converted, "estimator_").graph
    result = last.nodes[0].input[0] if last.nodes else SCORES
    outputs = helper.make_node("Identity", [inner.output[-1].name], [result])
    first = _Nodes(*prepare.graph(COLUMNS, inner.input[0].name))
    nodes = [*first.nodes, *inner.node, outputs, *last.nodes]
    return OnnxEstimator.of_nodes(nodes, [*first.constants, *inner.initializer, *last.constants])


def _convertible(estimator: Any) -> Any:
    """Return a fitted estimator as one of the class that skl2onnx converts: its own, or the first of its base classes.

    The result is compared with the estimator afterwards, so a class that predicts differently from its base class is
    found.
    """
    from skl2onnx._supported_operators import sklearn_operator_name_map  # noqa: PLC0415 (needed only here)

    for base in type(estimator).__mro__:
        if base in sklearn_operator_name_map:
            converted = copy(estimator)
            converted.__class__ = base
            return converted
    return estimator


def _logarithm(source: str) -> tuple[list[NodeProto], list[TensorProto]]:
    minimum = numpy_helper.from_array(np.array(MIN_VALUE, np.float32), "minimum")
    nodes = [helper.make_node("Clip", [source, "minimum"], ["clipped"]), helper.make_node("Log", ["clipped"], [SCORES])]
    return nodes, [minimum]
