"""Bagging and AdaBoost of decision trees answer as scikit-learn does."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import model_deployer.adoption.graph.trees.sklearn_ensembles  # noqa: F401 (registers the writers)
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from tests.adoption.graph.trees.graphs import check_classifier, check_regressor, matrix, stored, write
from tests.adoption.graph.trees.test_sklearn_trees import FAST, LABEL, NUMBER, TABLE, THREE
from tests.support.case_ids import case_id

#: A label that a sample of the rows often lacks.
_RARE = np.where(np.arange(len(THREE)) < 2, 99, THREE)


@pytest.mark.parametrize("target", [LABEL, THREE, _RARE], ids=["two", "three", "rare"])
@pytest.mark.parametrize(
    "model",
    [
        BaggingClassifier(DecisionTreeClassifier(max_depth=4), **FAST),
        BaggingClassifier(DecisionTreeClassifier(max_depth=4), **FAST, max_features=2, max_samples=0.3),
        BaggingClassifier(**FAST, bootstrap_features=True),
    ],
    ids=case_id,
)
def test_bagging_classifiers(model: Any, target: NDArray[Any]) -> None:
    check_classifier(model.fit(matrix(TABLE), target), TABLE)


@pytest.mark.parametrize("target", [LABEL, THREE], ids=["two", "three"])
@pytest.mark.parametrize(
    "model",
    [AdaBoostClassifier(**FAST), AdaBoostClassifier(DecisionTreeClassifier(max_depth=3), **FAST)],
    ids=case_id,
)
def test_adaboost_classifiers(model: Any, target: NDArray[Any]) -> None:
    check_classifier(model.fit(matrix(TABLE), target), TABLE)


@pytest.mark.parametrize(
    "model",
    [
        BaggingRegressor(**FAST),
        BaggingRegressor(DecisionTreeRegressor(max_depth=3), **FAST, max_features=2),
        BaggingRegressor(AdaBoostRegressor(n_estimators=3, random_state=0), n_estimators=3, random_state=0),
        AdaBoostRegressor(**FAST),
        AdaBoostRegressor(DecisionTreeRegressor(max_depth=6), **FAST, loss="exponential"),
    ],
    ids=case_id,
)
def test_regressors(model: Any) -> None:
    check_regressor(model.fit(matrix(TABLE), NUMBER), TABLE)


@pytest.mark.parametrize("target", [LABEL, THREE], ids=["two", "three"])
def test_bagging_of_other_models(target: NDArray[Any]) -> None:
    """A calibrator reads the scores of bagging if its parts have scores."""
    scaled = {name: (column - column.mean()) / column.std() for name, column in TABLE.items()}
    bagging = BaggingClassifier(LogisticRegression(), n_estimators=3, max_features=2, random_state=0)
    check_classifier(bagging.fit(matrix(scaled), target), scaled)
    check_classifier(CalibratedClassifierCV(bagging, cv=2).fit(matrix(scaled), target), scaled)


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(max_depth=3, **FAST),
        GradientBoostingClassifier(max_depth=2, **FAST),
        HistGradientBoostingClassifier(max_iter=5),
        AdaBoostClassifier(**FAST),
        BaggingClassifier(DecisionTreeClassifier(max_depth=4), **FAST),
    ],
    ids=case_id,
)
@pytest.mark.parametrize("target", [LABEL, THREE], ids=["two", "three"])
@pytest.mark.parametrize("method", ["isotonic", "sigmoid"])
def test_calibration(model: Any, target: NDArray[Any], method: str) -> None:
    """A calibrator reads the decision function of a model, or its probabilities if it has none."""
    calibrated = CalibratedClassifierCV(model, method=method, cv=2).fit(matrix(TABLE), target)
    check_classifier(calibrated, TABLE)


def test_adaboost_of_other_models_is_refused() -> None:
    model = AdaBoostClassifier(LogisticRegression(), n_estimators=2).fit(matrix(TABLE), LABEL)
    with pytest.raises(UnsupportedModel, match="other models than decision trees"):
        write(stored(model), list(TABLE))
