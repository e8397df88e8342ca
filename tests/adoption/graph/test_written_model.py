"""Whole models: the names of their fields, and trees among the parts of scikit-learn's models."""

from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.graph.written_model import write_model
from tests.adoption.graph.equality import check_model
from tests.adoption.graph.sklearn.tables import score, standardized
from tests.adoption.graph.stored_models import stored
from tests.support.case_ids import case_id

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

HIST = HistGradientBoostingClassifier(max_iter=5)

CLASSIFIERS = [
    make_pipeline(StandardScaler(), HIST),
    CalibratedClassifierCV(HIST, method="isotonic", cv=3),
    StackingClassifier([("hist", HIST), ("logistic", LogisticRegression())], cv=3),
    make_pipeline(SimpleImputer(), lightgbm.LGBMClassifier(n_estimators=5, verbose=-1)),
    CalibratedClassifierCV(xgboost.XGBClassifier(n_estimators=5), cv=3),
]


@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize("model", CLASSIFIERS, ids=case_id)
def test_trees_within_other_models(model: Any, labels: int) -> None:
    """Calibration reads the scores of trees, and stacks read their probabilities."""
    check_model(model, standardized(), np.digitize(score(standardized()), [0.0, 0.8][: labels - 1]))


def test_forest_next_to_a_linear_model() -> None:
    """A mean of values."""
    forest = RandomForestRegressor(5, max_depth=4, random_state=0)
    check_model(VotingRegressor([("forest", forest), ("ridge", Ridge())]), standardized(), score(standardized()))


def test_steep_calibration_of_float32_scores_is_refused() -> None:
    """XGBoost's probabilities are float32, and the last digit of one may differ between machines."""
    model = CalibratedClassifierCV(xgboost.XGBClassifier(n_estimators=5), method="isotonic", ensemble=False, cv=2)
    model.fit(standardized(), score(standardized()) > 0.4)
    (calibrator,) = model.calibrated_classifiers_[0].calibrators
    calibrator.X_thresholds_ = np.array([0.1, 0.5, 0.500001, 0.9], np.float32)
    calibrator.y_thresholds_ = np.array([0.2, 0.4, 0.6, 0.8], np.float32)
    with pytest.raises(UnsupportedModel, match="last digit"):
        write_model(stored(model))
    calibrator.X_thresholds_ = np.array([0.1, 0.5, 0.6, 0.9], np.float32)
    assert write_model(stored(model)).labels == (False, True)


def test_names_of_boosters() -> None:
    """Boosters state the names of their columns without scikit-learn."""
    table, target = standardized(), score(standardized()) > 0.4
    model = xgboost.XGBClassifier(n_estimators=2).fit(table, target)
    booster = lightgbm.train({"verbose": -1, "objective": "binary"}, lightgbm.Dataset(table, target), 2)
    for value in (
        model,
        model.get_booster(),
        booster,
        lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(table, target),
    ):
        assert [field.name for field in write_model(stored(value)).fields] == ["a", "b", "c"]


def test_model_that_is_not_fitted() -> None:
    """The message names the attribute that is missing."""
    with pytest.raises(UnsupportedModel, match="is not fitted"):
        write_model(stored(make_pipeline(StandardScaler(), Ridge())), ["a"])


def test_attributes_of_an_unknown_form() -> None:
    """A damaged model is refused with a sentence, not with an error of numpy."""
    model = Ridge().fit(standardized(), score(standardized()))
    model.coef_ = "damaged"
    with pytest.raises(UnsupportedModel, match=r"Ridge holds attributes of an unknown form \(ValueError\)"):
        write_model(stored(model))
    model.coef_ = np.zeros((1, 2))
    with pytest.raises(UnsupportedModel):
        write_model(stored(model))
