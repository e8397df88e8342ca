"""Boosted trees by XGBoost (Chen and Guestrin, 2016, "XGBoost: A scalable tree boosting system")."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import logit

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.training.models.lightgbm_trees import EARLY_STOPPING_ROUNDS, MAX_ROUNDS
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

#: The defaults XGB-TD of Holzmüller et al. (2024, "Better by default").
_COMMON = {"tree_method": "hist", "max_bin": 256, "verbosity": 0}
_CLASSIFICATION = {"eta": 0.08, "max_depth": 6, "min_child_weight": 5e-6, "subsample": 0.65, "lambda": 1e-3}
_REGRESSION = {"eta": 0.05, "max_depth": 9, "min_child_weight": 2.0, "subsample": 0.7, "lambda": 1e-3}

#: XGBoost's names of the objectives, by LightGBM's names.
_OBJECTIVES = {
    "binary": "binary:logistic",
    "multiclass": "multi:softprob",
    "regression": "reg:squarederror",
    "poisson": "count:poisson",
    "quantile": "reg:quantileerror",
}


def fit_xgboost(train: Matrix, validation: Matrix, options: Options) -> SearchResult:
    """Boost until the loss on the validation rows stops improving: with tuned defaults, then with random parameters.

    Args:
        train: The training rows.
        validation: The rows for early stopping and the search of parameters.
        options: The options of the fit.

    Raises:
        EnvironmentFault: if XGBoost is not installed.
        SpecError: if XGBoost refuses a parameter of model.yaml.
        CheckFailed: if the trees in ONNX differ from XGBoost.
        KeyboardInterrupt: if the user interrupts the fit.
    """
    xgboost = _xgboost()
    base_prediction, base_score = _base(train, options.objective)
    fixed = _parameters(options) | {"base_score": base_prediction} | {"nthread": idle_cores(train.values.numel())}
    train_set, validation_set = (
        xgboost.DMatrix(part.values.numpy(), part.target, weight=part.weights) for part in (train, validation)
    )

    def fit(parameters: Parameters) -> tuple[float, Any]:
        with silence_libraries(), parameter_errors("xgboost", xgboost.core.XGBoostError, ValueError):
            booster = xgboost.train(
                {**fixed, **parameters},
                train_set,
                options.rounds or MAX_ROUNDS,
                evals=[(validation_set, "validation")],
                early_stopping_rounds=None if options.rounds else EARLY_STOPPING_ROUNDS,
                verbose_eval=False,
                callbacks=[_deadline(xgboost, options.budget)],
            )
        if options.rounds:
            return 0.0, booster
        with parameter_errors("xgboost", xgboost.core.XGBoostError):  # a booster without trees raises
            return booster.best_score, booster[: booster.best_iteration + 1]

    booster, parameters, trials = search(fit, _draw, options)
    expected = booster.predict(validation_set, output_margin=True)
    estimator = _onnx_estimator(booster, base_score, options.classes).checked(validation.values, expected)
    return SearchResult(estimator, parameters, booster.num_boosted_rounds(), trials)


def is_installed() -> bool:
    """Return whether XGBoost can be imported."""
    try:
        _xgboost()
    except EnvironmentFault:
        return False
    return True


def _deadline(xgboost: Any, budget: Budget) -> Any:
    class Deadline(xgboost.callback.TrainingCallback):  # type: ignore[misc]
        """A callback that ends boosting at the end of the budget."""

        def after_iteration(self, *_: Any) -> bool:
            return not budget.left

    return Deadline()


def _base(train: Matrix, objective: Parameters) -> tuple[float, float]:
    """Return the start of boosting, as a prediction and as a raw score."""
    if objective["objective"] == "binary":
        share = float(np.clip(np.average(train.target, weights=train.weights), 1e-6, 1 - 1e-6))
        return share, float(logit(share))
    return (1.0, 0.0) if objective["objective"] == "poisson" else (0.0, 0.0)


def _parameters(options: Options) -> dict[str, Any]:
    defaults = _REGRESSION if options.classes == 1 else _CLASSIFICATION
    task: dict[str, Any] = {"objective": _OBJECTIVES[options.objective["objective"]]}
    if options.classes > 2:
        task["num_class"] = options.classes
    if "alpha" in options.objective:
        task["quantile_alpha"] = options.objective["alpha"]
    return _COMMON | defaults | task | {"seed": options.seed}


def _draw(random: np.random.Generator) -> Parameters:
    return {
        "max_depth": int(random.integers(3, 11)),
        "eta": log_uniform(random, 0.03, 0.2),
        "min_child_weight": log_uniform(random, 1e-3, 30),
        "subsample": random.uniform(0.6, 1.0),
        "colsample_bytree": random.uniform(0.5, 1.0),
        "lambda": log_uniform(random, 1e-3, 10),
    }


def _onnx_estimator(booster: Any, base: float, classes: int) -> OnnxEstimator:
    outputs = classes if classes > 2 else 1
    ensemble = Ensemble(outputs, [base] * outputs, comparison="BRANCH_LT")
    model = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"]
    for tree, output in zip(model["trees"], model["tree_info"], strict=True):
        ensemble.add(_nodes(tree), output)
    return OnnxEstimator.of_nodes([ensemble.node(COLUMNS, SCORES)])


def _nodes(tree: Mapping[str, Any]) -> list[Split | Leaf]:
    """Return the nodes of one tree; XGBoost stores the value of a leaf in the field of the threshold."""
    fields = ("split_indices", "split_conditions", "default_left", "left_children", "right_children")
    return [
        (value,) if left < 0 else Split(column, value, bool(missing_left), left, right)
        for column, value, missing_left, left, right in zip(*(tree[name] for name in fields), strict=True)
    ]


def _xgboost() -> Any:
    try:
        import xgboost  # noqa: PLC0415 (it is optional)
    except (ImportError, OSError):
        raise EnvironmentFault(
            "XGBoost is not installed: pip install xgboost, or set another `estimator.name`"
        ) from None
    except Exception as error:  # XGBoost raises an error of its own if its shared library cannot be loaded
        raise EnvironmentFault(f"XGBoost cannot be loaded ({type(error).__name__}); reinstall it") from None
    return xgboost
