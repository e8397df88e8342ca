"""Histogram gradient boosting answers as scikit-learn does: thresholds, missing numbers and categories."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

import model_deployer.adoption.graph.trees.sklearn_hist_boosting  # noqa: F401 (registers the writers)
from tests.adoption.graph.trees.graphs import EXTREME, FINITE, Rows, check_classifier, check_regressor, matrix
from tests.adoption.graph.trees.test_sklearn_trees import LABEL, NUMBER, TABLE, THREE, with_missing

FAST: dict[str, Any] = {"max_iter": 15, "random_state": 0, "min_samples_leaf": 5}
#: The encoder of categories refuses infinite numbers.
NOT_A_CATEGORY = (np.nan, -1.0, 0.5, 1e6, 1e300, -1e300)

_RANDOM = np.random.default_rng(3)
_TEXT = np.array(["b", "a", "d", "c", "", "é"], object)[_RANDOM.integers(0, 6, len(LABEL))]
_CODE = np.array([10.0, 2.0, 33.0, 4.5, np.nan])[_RANDOM.integers(0, 5, len(LABEL))]
#: The categories change the target, and the columns of categories are not the first ones.
MIXED = {"a": TABLE["a"], "t": _TEXT, "b": TABLE["b"], "c": _CODE}
_BONUS = np.isin(_TEXT, ["b", "d"]) * 2.0 + np.isin(_CODE, [2.0, 4.5]) - np.isnan(_CODE)
MIXED_NUMBER = NUMBER + _BONUS
MIXED_THREE = np.digitize(MIXED_NUMBER, [0.5, 2.0])


def frame(rows: Rows) -> pd.DataFrame:
    """Return rows as the library reads them: a missing text is None."""
    texts = [text or None for text in rows["t"]]
    return pd.DataFrame({**rows, "t": np.array(texts, object)})


@pytest.mark.parametrize("target", [LABEL, THREE], ids=["two", "three"])
@pytest.mark.parametrize("table", [TABLE, with_missing(TABLE)], ids=["complete", "missing"])
def test_classifiers(table: Rows, target: NDArray[Any]) -> None:
    model = HistGradientBoostingClassifier(**FAST).fit(matrix(table), target)
    check_classifier(model, table, extra=(*FINITE, *EXTREME))


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson", "gamma", "quantile"])
def test_regressors(loss: str) -> None:
    table = with_missing(TABLE)
    model = HistGradientBoostingRegressor(**FAST, loss=loss, quantile=0.7)
    check_regressor(model.fit(matrix(table), np.exp(NUMBER)), table, extra=(*FINITE, *EXTREME))


@pytest.mark.parametrize("target", [LABEL, MIXED_THREE], ids=["two", "three"])
def test_categories_of_texts_and_numbers(target: NDArray[Any]) -> None:
    model = HistGradientBoostingClassifier(**FAST, categorical_features=[1, 3])
    graph = check_classifier(model.fit(frame(MIXED), target), MIXED, frame, (*FINITE, *NOT_A_CATEGORY))
    assert {"a", "b", "c", "d", "é"} <= graph.writer.critical["t"]
    assert {10.0, 2.0, 33.0, 4.5} <= graph.writer.critical["c"]


def test_categories_without_missing_values_in_training() -> None:
    table = {**MIXED, "t": np.where(_TEXT == "", "z", _TEXT), "c": np.nan_to_num(_CODE)}
    model = HistGradientBoostingRegressor(**FAST, categorical_features=[1, 3]).fit(frame(table), MIXED_NUMBER)
    check_regressor(model, table, frame, (*FINITE, *NOT_A_CATEGORY))
