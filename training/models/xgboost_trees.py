"""Boosted trees by XGBoost (Chen and Guestrin, 2016, "XGBoost: A scalable tree boosting system")."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import logit

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.training.models.lightgbm_trees import EARLY_STOPPING_ROUNDS, MAX_ROUNDS
from model_deployer.training.models.onnx_estimator import COLUMNS, SCORES, OnnxEstimator
from model_deployer.training.models.search import Options, Parameters, SearchResult, between, own_errors, search
from model_deployer.training.models.tree_ensemble import Ensemble, Leaf, Split
from model_deployer.training.preprocessing.matrix import Matrix
from model_deployer.training.runtime.budget import Budget
from model_deployer.training.runtime.silence import silence_libraries
from model_deployer.training.runtime.threads import idle_cores

#: After Holzmüller et al. (2024, "Better by default"): their XGB-TD.
_COMMON = {"tree_method": "hist", "max_bin": 256, "verbosity": 0}
_CLASSIFICATION = {"eta": 0.08, "max_depth": 6, "min_child_weight": 5e-6, "subsample": 0.65, "lambda": 1e-3}
_REGRESSION = {"eta": 0.05, "max_depth": 9, "min_child_weight": 2.0, "subsample": 0.7, "lambda": 1e-3}

#: Its names for what LightGBM calls so.
_OBJECTIVES = {
    "binary": "binary:logistic",
    "multiclass": "multi:softprob",
    "regression": "reg:squarederror",
    "poisson": "count:poisson",
    "quantile": "reg:quantileerror",
}


def fit_xgboost(train: Matrix, validation: Matrix, options: Options) -> SearchResult:
    """Boost on the training rows until the validation rows get no better, with tuned defaults and then others.

    Raises:
        EnvironmentFault: XGBoost is not installed.
        KeyboardInterrupt: The user interrupted.
    """
    xgboost = _xgboost()
    answer, score = _base(train, options.objective)
    fixed = _parameters(options) | {"base_score": answer} | {"nthread": idle_cores(train.values.numel())}
    learnt, judged = (
        xgboost.DMatrix(part.values.numpy(), part.target, weight=part.weights) for part in (train, validation)
    )

    def fit(parameters: Parameters) -> tuple[float, Any]:
        with silence_libraries(), own_errors("xgboost", xgboost.core.XGBoostError, ValueError):
            booster = xgboost.train(
                {**fixed, **parameters},
                learnt,
                options.rounds or MAX_ROUNDS,
                evals=[(judged, "judged")],
                early_stopping_rounds=None if options.rounds else EARLY_STOPPING_ROUNDS,
                verbose_eval=False,
                callbacks=[_deadline(xgboost, options.budget)],
            )
        if options.rounds:
            return 0.0, booster
        with own_errors("xgboost", xgboost.core.XGBoostError):  # of a booster without trees
            return booster.best_score, booster[: booster.best_iteration + 1]

    booster, parameters, tried = search(fit, _draw, options)
    exact = booster.predict(judged, output_margin=True)
    scorer = _scorer(booster, score, options.classes).checked(validation.values, exact)
    return SearchResult(scorer, parameters, booster.num_boosted_rounds(), tried)


def is_installed() -> bool:
    """Whether XGBoost is there."""
    try:
        _xgboost()
    except EnvironmentFault:
        return False
    return True


def _deadline(xgboost: Any, budget: Budget) -> Any:
    class Deadline(xgboost.callback.TrainingCallback):  # type: ignore[misc]
        """Ends boosting where the time is up."""

        def after_iteration(self, *_: Any) -> bool:
            return not budget.left

    return Deadline()


def _base(train: Matrix, objective: Parameters) -> tuple[float, float]:
    """What boosting starts from, as an answer and as a score."""
    if objective["objective"] == "binary":
        share = float(np.clip(np.average(train.target, weights=train.weights), 1e-6, 1 - 1e-6))
        return share, float(logit(share))
    return (1.0, 0.0) if objective["objective"] == "poisson" else (0.0, 0.0)


def _parameters(options: Options) -> dict[str, Any]:
    sort = _REGRESSION if options.classes == 1 else _CLASSIFICATION
    task: dict[str, Any] = {"objective": _OBJECTIVES[options.objective["objective"]]}
    if options.classes > 2:
        task["num_class"] = options.classes
    if "alpha" in options.objective:
        task["quantile_alpha"] = options.objective["alpha"]
    return _COMMON | sort | task | {"seed": options.seed}


def _draw(random: np.random.Generator) -> Parameters:
    return {
        "max_depth": int(random.integers(3, 11)),
        "eta": between(random, 0.03, 0.2),
        "min_child_weight": between(random, 1e-3, 30),
        "subsample": random.uniform(0.6, 1.0),
        "colsample_bytree": random.uniform(0.5, 1.0),
        "lambda": between(random, 1e-3, 10),
    }


def _scorer(booster: Any, base: float, classes: int) -> OnnxEstimator:
    outputs = classes if classes > 2 else 1
    ensemble = Ensemble(outputs, [base] * outputs, comparison="BRANCH_LT")
    model = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"]
    for tree, output in zip(model["trees"], model["tree_info"], strict=True):
        ensemble.add(_nodes(tree), output)
    return OnnxEstimator.of_nodes([ensemble.node(COLUMNS, SCORES)])


def _nodes(tree: Mapping[str, Any]) -> list[Split | Leaf]:
    """The nodes of one tree; a leaf's value stands where a split has its threshold."""
    fields = ("split_indices", "split_conditions", "default_left", "left_children", "right_children")
    return [
        (value,) if left < 0 else Split(column, value, bool(missing_left), left, right)
        for column, value, missing_left, left, right in zip(*(tree[name] for name in fields), strict=True)
    ]


def _xgboost() -> Any:
    try:
        import xgboost  # noqa: PLC0415 (an installation without it trains without it)
    except (ImportError, OSError):
        raise EnvironmentFault(
            "XGBoost is not installed: pip install xgboost, or set another `estimator.name`"
        ) from None
    except Exception as error:  # its own error where the shared library cannot be loaded
        raise EnvironmentFault(f"XGBoost cannot be loaded ({type(error).__name__}); install it anew") from None
    return xgboost
