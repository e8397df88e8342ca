"""Boosted trees by LightGBM (Ke et al., 2017, "LightGBM: A highly efficient gradient boosting decision tree")."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.training.models.onnx_estimator import COLUMNS, SCORES, OnnxEstimator
from model_deployer.training.models.search import (
    Options,
    Parameters,
    SearchResult,
    log_uniform,
    parameter_errors,
    search,
)
from model_deployer.training.models.tree_ensemble import Ensemble, Leaf, Split
from model_deployer.training.preprocessing.matrix import Matrix
from model_deployer.training.runtime.budget import Budget
from model_deployer.training.runtime.silence import silence_libraries
from model_deployer.training.runtime.threads import idle_cores

#: The maximum number of rounds, and the number of rounds without improvement on the validation rows that end boosting.
MAX_ROUNDS, EARLY_STOPPING_ROUNDS = 1_000, 100

#: The defaults LightGBM-TD, which Holzmüller et al. (2024, "Better by default") tuned on many data sets.
_COMMON = {"bagging_freq": 1, "min_sum_hessian_in_leaf": 1e-7, "max_bin": 255}
_CLASSIFICATION = {"num_leaves": 50, "learning_rate": 0.04, "bagging_fraction": 0.75, "min_data_in_leaf": 40}
_REGRESSION = {"num_leaves": 100, "learning_rate": 0.05, "bagging_fraction": 0.7, "min_data_in_leaf": 3}


def fit_lightgbm(train: Matrix, validation: Matrix, options: Options) -> SearchResult:
    """Boost until the loss on the validation rows stops improving: with tuned defaults, then with random parameters.

    Args:
        train: The training rows.
        validation: The rows for early stopping and the search of parameters.
        options: The options of the fit.

    Raises:
        EnvironmentFault: if LightGBM is not installed.
        SpecError: if LightGBM refuses a parameter of model.yaml.
        CheckFailed: if the trees in ONNX differ from LightGBM.
        KeyboardInterrupt: if the user interrupts the fit.
    """
    lightgbm = _lightgbm()
    fixed = _parameters(options) | {"num_threads": idle_cores(train.values.numel())}
    columns, validation_columns = train.values.numpy(), validation.values.numpy()
    train_set = lightgbm.Dataset(columns, train.target, weight=train.weights, params=fixed, free_raw_data=False)
    validation_set = lightgbm.Dataset(
        validation_columns, validation.target, weight=validation.weights, reference=train_set, free_raw_data=False
    )

    def fit(parameters: Parameters) -> tuple[float, Any]:
        callbacks = [lightgbm.early_stopping(EARLY_STOPPING_ROUNDS, verbose=False), _Deadline(options.budget)]
        with silence_libraries(), parameter_errors("lightgbm", lightgbm.basic.LightGBMError, ValueError):
            booster = lightgbm.train(
                {**fixed, **parameters},
                train_set,
                options.rounds or MAX_ROUNDS,
                valid_sets=[validation_set],
                callbacks=[] if options.rounds else callbacks,
            )
        return next(iter(booster.best_score["valid_0"].values()), 0.0), booster

    booster, parameters, trials = search(fit, _draw, options)
    rounds = booster.best_iteration or booster.current_iteration()
    expected = booster.predict(validation_columns, raw_score=True, num_iteration=rounds)
    estimator = _onnx_estimator(booster.dump_model(num_iteration=rounds)).checked(validation.values, expected)
    return SearchResult(estimator, parameters, rounds, trials)


def is_installed() -> bool:
    """Return whether LightGBM can be imported."""
    try:
        _lightgbm()
    except EnvironmentFault:
        return False
    return True


class _Deadline:
    """A callback that ends boosting at the end of the budget, with the best round until then."""

    order = 40  # after the callback of early stopping

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._best: tuple[int, list[Any]] | None = None

    def __call__(self, environment: Any) -> None:
        results = environment.evaluation_result_list
        if self._best is None or results[0][2] < self._best[1][0][2]:
            self._best = (environment.iteration, results)
        if not self._budget.left:
            raise _lightgbm().callback.EarlyStopException(*self._best)


def _parameters(options: Options) -> dict[str, Any]:
    defaults = _REGRESSION if options.classes == 1 else _CLASSIFICATION
    fixed = {"deterministic": True, "force_row_wise": True, "verbosity": -1}
    return {**_COMMON, **defaults, **options.objective, **fixed} | {"seed": options.seed, "feature_pre_filter": False}


def _draw(random: np.random.Generator) -> Parameters:
    return {
        "num_leaves": round(log_uniform(random, 8, 256)),
        "learning_rate": log_uniform(random, 0.03, 0.2),
        "min_data_in_leaf": round(log_uniform(random, 3, 100)),
        "bagging_fraction": random.uniform(0.6, 1.0),
        "feature_fraction": random.uniform(0.5, 1.0),
        "lambda_l2": log_uniform(random, 1e-3, 10),
    }


def _onnx_estimator(dump: Mapping[str, Any]) -> OnnxEstimator:
    outputs = int(dump["num_tree_per_iteration"])
    ensemble = Ensemble(outputs)
    for number, tree in enumerate(dump["tree_info"]):
        ensemble.add(_nodes(tree["tree_structure"]), number % outputs)
    return OnnxEstimator.of_nodes([ensemble.node(COLUMNS, SCORES)])


def _nodes(root: Mapping[str, Any]) -> list[Split | Leaf]:
    """Return the nodes of one tree, the root first."""
    nodes: list[Split | Leaf] = [()]
    pending = [(root, 0)]
    while pending:
        node, number = pending.pop()
        if "leaf_value" in node:
            nodes[number] = (float(node["leaf_value"]),)
            continue
        left, right = len(nodes), len(nodes) + 1
        nodes[number] = Split(node["split_feature"], float(node["threshold"]), _missing_left(node), left, right)
        nodes += [(), ()]
        pending += [(node["left_child"], left), (node["right_child"], right)]
    return nodes


def _missing_left(node: Mapping[str, Any]) -> bool:
    """Return whether a missing value goes left; LightGBM treats it as 0 if the column has none in training."""
    if node["missing_type"] == "None":
        return float(node["threshold"]) >= 0
    return bool(node["default_left"])


def _lightgbm() -> Any:
    try:
        import lightgbm  # noqa: PLC0415 (it is optional)
    except (ImportError, OSError):
        raise EnvironmentFault(
            "LightGBM is not installed, or the system library libgomp that it needs is missing: "
            "pip install lightgbm, or set another `estimator.name`"
        ) from None
    return lightgbm
