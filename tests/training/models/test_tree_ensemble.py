"""The trees of the graph decide every split as the library does."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.training.models.estimators import fit_estimator
from model_deployer.training.models.onnx_estimator import COLUMNS, SCORES, OnnxEstimator
from model_deployer.training.models.search import Options
from model_deployer.training.models.tree_ensemble import Ensemble, Split, _round_down
from model_deployer.training.preprocessing.matrix import Matrix
from tests.support.estimators import matrix, objective

TREES = ("lightgbm", "xgboost", "random_forest", "histogram_boosting")


@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("name", TREES)
def test_numbers_at_a_threshold_go_as_in_the_library(name: str, classes: int) -> None:
    """Numbers next to a threshold go where the library sends them.

    The fit compares ONNX with the library on the validation rows; here, these include the thresholds' neighbours.
    """
    train, validation = matrix(600, classes), matrix(200, classes, 1)
    few = {"random_forest": {"n_estimators": 20}, "xgboost": {"max_depth": 4}, "lightgbm": {"num_leaves": 15}}
    options = Options(objective(classes), 0, parameters=few.get(name, {}))
    estimator = fit_estimator(name, train, validation, options).estimator
    (trees,) = [node for node in estimator.model.graph.node if node.op_type == "TreeEnsembleRegressor"]
    attributes: dict[str, Any] = {attribute.name: attribute for attribute in trees.attribute}
    thresholds = np.array(attributes["nodes_values"].floats, np.float32)
    columns = np.array(attributes["nodes_featureids"].ints)
    thresholds = thresholds.clip(-3e38, 3e38)
    edges = np.concatenate([np.nextafter(thresholds, np.float32(end)) for end in (-3e38, 3e38)] + [thresholds])
    edges[np.abs(edges) < 1e-30] = 0  # LightGBM treats them as zeros
    rows = np.zeros((len(edges), 5), np.float32)
    rows[np.arange(len(edges)), np.tile(columns, 3)] = edges
    extremes = np.array([[np.nan] * 5, [3e38] * 5, [-3e38] * 5, [0.0] * 5, [-0.0] * 5], np.float32)
    probes = torch.from_numpy(np.vstack([rows, extremes]))
    targets = np.resize(validation.target, len(validation) + len(probes))
    with_probes = Matrix(torch.cat([validation.values, probes]), targets)
    again = fit_estimator(name, train, with_probes, options).estimator
    assert torch.isfinite(again.scores(probes)).all()


@given(st.floats(-1e38, 1e38), st.integers(-3, 3))
def test_a_rounded_threshold_parts_float32_as_the_exact_one_does(threshold: float, steps: int) -> None:
    number = np.float32(threshold)
    for _ in range(abs(steps)):
        number = np.nextafter(number, np.float32(np.sign(steps) * np.inf))
    assert (float(number) <= threshold) == (float(number) <= _round_down(threshold))


@pytest.mark.parametrize(("comparison", "at_one"), [("BRANCH_LEQ", 1.5), ("BRANCH_LT", 2.5)])
def test_leaves_add_up_over_trees_from_the_base(comparison: Any, at_one: float) -> None:
    ensemble = Ensemble(1, [0.5], comparison)
    for _ in range(2):
        ensemble.add([Split(0, 1.0, True, 1, 2), (0.5,), (1.0,)])
    estimator = OnnxEstimator.of_nodes([ensemble.node(COLUMNS, SCORES)])
    scores = estimator.scores(torch.tensor([[0.9], [1.0], [1.1], [torch.nan]]))
    assert scores[:, 0].tolist() == [1.5, at_one, 2.5, 1.5]
