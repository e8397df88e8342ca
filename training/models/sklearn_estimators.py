"""Estimators of scikit-learn, and any that is built like them, as a piece of ONNX.

Forests and histogram boosting become the very trees that they are. Others are converted by skl2onnx, and see the
columns without gaps, on a common scale.
"""

from collections.abc import Callable
from importlib import import_module
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
from model_deployer.training.runtime.silence import silence_libraries
from model_deployer.training.runtime.threads import idle_cores

#: Keeps the logarithm of a probability or rate finite.
LEAST = 1e-7

_FORESTS = RandomForestClassifier | RandomForestRegressor | ExtraTreesClassifier | ExtraTreesRegressor
_BOOSTING = HistGradientBoostingClassifier | HistGradientBoostingRegressor

#: What the names of model.yaml mean, for classes and for a quantity, and what differs from the defaults there: a leaf
#: of one row makes a forest tens of times as large, and its probabilities worse.
_NAMED: dict[str, tuple[type[Any], type[Any], dict[str, Any]]] = {
    "random_forest": (RandomForestClassifier, RandomForestRegressor, {"min_samples_leaf": 5, "n_estimators": 200}),
    "histogram_boosting": (HistGradientBoostingClassifier, HistGradientBoostingRegressor, {}),
}

#: How those are told to learn something else than a mean or classes.
_LOSSES: dict[tuple[str, str], Callable[[Parameters], dict[str, Any]]] = {
    ("random_forest", "poisson"): lambda _: {"criterion": "poisson"},
    ("histogram_boosting", "poisson"): lambda _: {"loss": "poisson"},
    ("histogram_boosting", "quantile"): lambda objective: {"loss": "quantile", "quantile": objective["alpha"]},
}


def fit_sklearn(name: str, train: Matrix, validation: Matrix, options: Options) -> SearchResult:
    """Fit an estimator on the training rows.

    Args:
        name: ``random_forest``, ``histogram_boosting``, or the import path of a class.
        train: The rows to learn from.
        validation: The rows on which its ONNX form is compared with itself.
        options: Its parameters, and the seed.

    Raises:
        SpecError: There is no such class, it is not for this task, or it refuses its parameters.
        CheckFailed: In ONNX it answers otherwise.
    """
    estimator = _made(name, options, train.values.numel())
    prepare = _plain if isinstance(estimator, _FORESTS | _BOOSTING) else _Scale(train)
    weights = _weights(estimator, train, name)
    with silence_libraries():
        try:
            estimator.fit(prepare(train.values.numpy()), train.target, **weights)
        except (ValueError, TypeError) as error:
            raise SpecError(f"{name} cannot be fitted to this table: {error}") from None
        is_logarithm = is_classifier(estimator) or options.objective["objective"] == "poisson"
        exact = _scores(estimator, prepare(validation.values.numpy()), is_logarithm)
    return SearchResult(
        _scorer(estimator, prepare, is_logarithm, name).checked(validation.values, exact), options.parameters
    )


def _plain(columns: Floats) -> Floats:
    return columns


class _Scale:
    """Gaps become 0, which is the median, and a column of their own; every column is as wide as the others."""

    def __init__(self, train: Matrix) -> None:
        values = train.values.numpy()
        gaps = np.isnan(values)
        self.gaps = np.flatnonzero(gaps.any(axis=0))
        spread = np.where(gaps, 0, values).astype(np.float64).std(axis=0)
        self.spread: Floats = np.where(spread > 0, spread, 1).astype(np.float32)

    def __call__(self, columns: Floats) -> Floats:
        gaps = np.isnan(columns)
        return np.hstack([np.where(gaps, np.float32(0), columns) / self.spread, gaps[:, self.gaps].astype(np.float32)])

    def graph(self, source: str, result: str) -> tuple[list[NodeProto], list[TensorProto]]:
        """The same in ONNX."""
        constants: dict[str, NDArray[Any]] = {
            "spread": self.spread,
            "zero": np.zeros(1, np.float32),
            "places": self.gaps.astype(np.int64),
        }
        nodes = [
            helper.make_node("IsNaN", [source], ["is_gap"]),
            helper.make_node("Where", ["is_gap", "zero", source], ["filled"]),
            helper.make_node("Div", ["filled", "spread"], ["scaled"]),
            helper.make_node("Cast", ["is_gap"], ["every_gap"], to=TensorProto.FLOAT),
            helper.make_node("Gather", ["every_gap", "places"], ["gaps"], axis=1),
            helper.make_node("Concat", ["scaled", "gaps"], [result], axis=1),
        ]
        return nodes, [numpy_helper.from_array(value, name) for name, value in constants.items()]


class _Nodes(NamedTuple):
    nodes: list[NodeProto] = []  # noqa: RUF012 (never changed)
    constants: list[TensorProto] = []  # noqa: RUF012


_Prepare = Callable[[Floats], Floats] | _Scale


def _made(name: str, options: Options, values: int) -> Any:
    """The estimator, unfitted, for a matrix of so many values."""
    regression = options.classes == 1
    if options.objective["objective"] == "quantile" and name != "histogram_boosting":
        raise SpecError(f"{name} cannot learn a quantile; say lightgbm, xgboost or histogram_boosting")
    if name in _NAMED:
        classifier, regressor, said = _NAMED[name]
        kind: Any = regressor if regression else classifier
        told = _LOSSES.get((name, options.objective["objective"]))
        said = said | told(options.objective) if told else said
    else:
        kind, said = _imported(name), {}
    try:
        estimator = kind(**(said | dict(options.parameters)))
    except TypeError as error:
        raise SpecError(f"{name} cannot be made of `estimator.parameters`: {error}") from None
    wanted = is_regressor if regression else is_classifier
    if not isinstance(estimator, BaseEstimator) or not wanted(estimator):
        raise SpecError(f"{name} is no {'regressor' if regression else 'classifier'}, which this target needs")
    ours = {"random_state": options.seed, "n_jobs": idle_cores(values), "probability": True}  # the last one of SVC
    known = estimator.get_params().keys() - options.parameters.keys()
    estimator.set_params(**{field: value for field, value in ours.items() if field in known})
    if not regression and not hasattr(estimator, "predict_proba"):
        raise SpecError(f"{name} gives no probabilities (`predict_proba`); choose another classifier")
    return estimator


def _imported(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        raise EnvironmentFault(f"`estimator.name: {path}` cannot be imported: {error}") from None
    except AttributeError:
        raise SpecError(f"`estimator.name`: the module {module} has no '{name}'") from None


def _weights(estimator: Any, train: Matrix, name: str) -> dict[str, Any]:
    if train.weights is None:
        return {}
    if not has_fit_parameter(estimator, "sample_weight"):
        raise SpecError(f"{name} cannot weigh rows; take `data.weight` out, or choose another `estimator.name`")
    return {"sample_weight": train.weights}


def _scores(estimator: Any, columns: Floats, is_logarithm: bool) -> NDArray[Any]:
    """What the estimator answers, as raw scores: maybe the logarithm of it."""
    if isinstance(estimator, HistGradientBoostingClassifier):
        return np.asarray(estimator.decision_function(columns))
    answers = np.asarray(estimator.predict_proba(columns) if is_classifier(estimator) else estimator.predict(columns))
    return np.log(np.clip(answers, LEAST, None)) if is_logarithm else answers


def _scorer(estimator: Any, prepare: _Prepare, is_logarithm: bool, name: str) -> OnnxEstimator:
    if isinstance(estimator, _BOOSTING):
        return OnnxEstimator.of_nodes([_boosted(estimator).node(COLUMNS, SCORES)])
    answers = "answers" if is_logarithm else SCORES
    last = _Nodes(*_logarithm(answers)) if is_logarithm else _Nodes()
    if isinstance(estimator, _FORESTS):
        return OnnxEstimator.of_nodes([_forest(estimator).node(COLUMNS, answers), *last.nodes], last.constants)
    assert isinstance(prepare, _Scale)
    return _converted(estimator, prepare, last, name)


def _boosted(estimator: Any) -> Ensemble:
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


def _forest(estimator: Any) -> Ensemble:
    """Its answers are probabilities, or values: the average over the trees."""
    grown = [tree.tree_ for tree in estimator.estimators_]
    ensemble = Ensemble(grown[0].value.shape[2] if is_classifier(estimator) else 1)
    for tree in grown:
        values = tree.value[:, 0, :]
        if is_classifier(estimator):
            values = values / values.sum(axis=1, keepdims=True)
        ensemble.add([_forest_node(tree, values / len(grown), number) for number in range(tree.node_count)])
    return ensemble


def _forest_node(tree: Any, values: NDArray[Any], number: int) -> Split | Leaf:
    left, right = int(tree.children_left[number]), int(tree.children_right[number])
    if left < 0:
        return tuple(values[number].tolist())
    missing_left = bool(tree.missing_go_to_left[number])
    return Split(int(tree.feature[number]), float(tree.threshold[number]), missing_left, left, right)


def _converted(estimator: Any, prepare: _Scale, last: _Nodes, name: str) -> OnnxEstimator:
    try:
        import skl2onnx  # noqa: PLC0415 (only for what is named by its import path)
    except ImportError:
        raise EnvironmentFault(f"{name} needs skl2onnx to become ONNX: pip install skl2onnx") from None
    width = len(prepare.spread) + len(prepare.gaps)
    types = [("prepared", skl2onnx.common.data_types.FloatTensorType([None, width]))]
    plain = {id(estimator): {"zipmap": False}} if is_classifier(estimator) else None
    try:
        with silence_libraries():
            converted = skl2onnx.convert_sklearn(
                estimator, initial_types=types, options=plain, target_opset={"": OPSETS[""], "ai.onnx.ml": 3}
            )
    except Exception as error:  # its own errors, and whatever a converter stumbles over
        reason = str(error).strip().partition("\n")[0]
        raise CheckFailed(f"{name} cannot become ONNX: {reason}; choose another `estimator.name`") from None
    inner = compose.add_prefix(converted, "estimator_").graph
    answers = helper.make_node("Identity", [inner.output[-1].name], [last.nodes[0].input[0] if last.nodes else SCORES])
    first = _Nodes(*prepare.graph(COLUMNS, inner.input[0].name))
    nodes = [*first.nodes, *inner.node, answers, *last.nodes]
    return OnnxEstimator.of_nodes(nodes, [*first.constants, *inner.initializer, *last.constants])


def _logarithm(source: str) -> tuple[list[NodeProto], list[TensorProto]]:
    least = numpy_helper.from_array(np.array(LEAST, np.float32), "least")
    nodes = [helper.make_node("Clip", [source, "least"], ["clipped"]), helper.make_node("Log", ["clipped"], [SCORES])]
    return nodes, [least]
