"""Boosted trees by LightGBM (Ke et al., 2017, "LightGBM: A highly efficient gradient boosting decision tree")."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.training.models.onnx_estimator import COLUMNS, SCORES, OnnxEstimator
from model_deployer.training.models.search import Options, Parameters, SearchResult, between, own_errors, search
from model_deployer.training.models.tree_ensemble import Ensemble, Leaf, Split
from model_deployer.training.preprocessing.matrix import Matrix
from model_deployer.training.runtime.budget import Budget
from model_deployer.training.runtime.silence import silence_libraries
from model_deployer.training.runtime.threads import idle_cores

#: Rounds at most, and those without improvement on the validation rows after which boosting ends.
MAX_ROUNDS, EARLY_STOPPING_ROUNDS = 1_000, 100

#: Tuned on many data sets by Holzmüller et al. (2024, "Better by default"): their LightGBM-TD.
_COMMON = {"bagging_freq": 1, "min_sum_hessian_in_leaf": 1e-7, "max_bin": 255}
_CLASSIFICATION = {"num_leaves": 50, "learning_rate": 0.04, "bagging_fraction": 0.75, "min_data_in_leaf": 40}
_REGRESSION = {"num_leaves": 100, "learning_rate": 0.05, "bagging_fraction": 0.7, "min_data_in_leaf": 3}


def fit_lightgbm(train: Matrix, validation: Matrix, options: Options) -> SearchResult:
    """Boost on the training rows until the validation rows get no better, with tuned defaults and then others.

    Raises:
        EnvironmentFault: LightGBM is not installed.
        SpecError: It refuses a parameter of model.yaml.
        KeyboardInterrupt: The user interrupted.
    """
    lightgbm = _lightgbm()
    fixed = _parameters(options) | {"num_threads": idle_cores(train.values.numel())}
    columns, judged = train.values.numpy(), validation.values.numpy()
    learnt = lightgbm.Dataset(columns, train.target, weight=train.weights, params=fixed, free_raw_data=False)
    others = lightgbm.Dataset(
        judged, validation.target, weight=validation.weights, reference=learnt, free_raw_data=False
    )

    def fit(parameters: Parameters) -> tuple[float, Any]:
        stops = [lightgbm.early_stopping(EARLY_STOPPING_ROUNDS, verbose=False), _Deadline(options.budget)]
        with silence_libraries(), own_errors("lightgbm", lightgbm.basic.LightGBMError, ValueError):
            booster = lightgbm.train(
                {**fixed, **parameters},
                learnt,
                options.rounds or MAX_ROUNDS,
                valid_sets=[others],
                callbacks=[] if options.rounds else stops,
            )
        return next(iter(booster.best_score["valid_0"].values()), 0.0), booster

    booster, parameters, tried = search(fit, _draw, options)
    rounds = booster.best_iteration or booster.current_iteration()
    exact = booster.predict(judged, raw_score=True, num_iteration=rounds)
    scorer = _scorer(booster.dump_model(num_iteration=rounds)).checked(validation.values, exact)
    return SearchResult(scorer, parameters, rounds, tried)


def is_installed() -> bool:
    """Whether LightGBM is there."""
    try:
        _lightgbm()
    except EnvironmentFault:
        return False
    return True


class _Deadline:
    """Ends boosting where the time is up, with the best round until then."""

    order = 40  # after early stopping has its say

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
    sort = _REGRESSION if options.classes == 1 else _CLASSIFICATION
    machine = {"deterministic": True, "force_row_wise": True, "verbosity": -1}
    return {**_COMMON, **sort, **options.objective, **machine} | {"seed": options.seed, "feature_pre_filter": False}


def _draw(random: np.random.Generator) -> Parameters:
    return {
        "num_leaves": round(between(random, 8, 256)),
        "learning_rate": between(random, 0.03, 0.2),
        "min_data_in_leaf": round(between(random, 3, 100)),
        "bagging_fraction": random.uniform(0.6, 1.0),
        "feature_fraction": random.uniform(0.5, 1.0),
        "lambda_l2": between(random, 1e-3, 10),
    }


def _scorer(dump: Mapping[str, Any]) -> OnnxEstimator:
    outputs = int(dump["num_tree_per_iteration"])
    ensemble = Ensemble(outputs)
    for number, tree in enumerate(dump["tree_info"]):
        ensemble.add(_nodes(tree["tree_structure"]), number % outputs)
    return OnnxEstimator.of_nodes([ensemble.node(COLUMNS, SCORES)])


def _nodes(root: Mapping[str, Any]) -> list[Split | Leaf]:
    """The nodes of one tree, the root first."""
    nodes: list[Split | Leaf] = [()]
    waiting = [(root, 0)]
    while waiting:
        node, number = waiting.pop()
        if "leaf_value" in node:
            nodes[number] = (float(node["leaf_value"]),)
            continue
        left, right = len(nodes), len(nodes) + 1
        nodes[number] = Split(node["split_feature"], float(node["threshold"]), _missing_left(node), left, right)
        nodes += [(), ()]
        waiting += [(node["left_child"], left), (node["right_child"], right)]
    return nodes


def _missing_left(node: Mapping[str, Any]) -> bool:
    """LightGBM takes a missing value for 0 where training had none in this column."""
    if node["missing_type"] == "None":
        return float(node["threshold"]) >= 0
    return bool(node["default_left"])


def _lightgbm() -> Any:
    try:
        import lightgbm  # noqa: PLC0415 (an installation without it trains without it)
    except (ImportError, OSError):
        raise EnvironmentFault(
            "LightGBM is not installed, or a system library that it needs (libgomp) is missing: "
            "pip install lightgbm, or set another `estimator.name`"
        ) from None
    return lightgbm
