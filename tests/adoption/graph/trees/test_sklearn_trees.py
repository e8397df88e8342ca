"""Trees and forests of scikit-learn answer as scikit-learn does, on every threshold and next to it."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

import model_deployer.adoption.graph.trees.sklearn_boosting
import model_deployer.adoption.graph.trees.sklearn_hist_boosting
import model_deployer.adoption.graph.trees.sklearn_trees  # noqa: F401 (registers the writers)
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from tests.adoption.graph.trees.graphs import FINITE, check_classifier, check_regressor, matrix, stored, write
from tests.support.case_ids import case_id

_RANDOM = np.random.default_rng(7)
_ROWS = 600

#: Whole numbers, small and large numbers, and numbers of seconds since 1970 that float32 cannot tell apart.
TABLE = {
    "a": _RANDOM.normal(size=_ROWS),
    "b": _RANDOM.normal(size=_ROWS) * 1e6 + 1.4e8,
    "k": _RANDOM.integers(-3, 9, _ROWS).astype(float),
}
_SCORE = TABLE["a"] + (TABLE["b"] > 1.4e8) + 0.3 * (TABLE["k"] % 3)
NUMBER = _SCORE + _RANDOM.normal(size=_ROWS) * 0.2
LABEL = np.array(["no", "yes"])[(NUMBER > 0.8).astype(int)]
THREE = np.digitize(NUMBER, [0.2, 1.2]) * 10


def with_missing(table: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    missing = np.random.default_rng(1).random((len(table), _ROWS)) < 0.1
    return {name: np.where(missing[i], np.nan, column) for i, (name, column) in enumerate(table.items())}


FAST: dict[str, Any] = {"n_estimators": 12, "random_state": 0}


@pytest.mark.parametrize("target", [LABEL, THREE], ids=["two", "three"])
@pytest.mark.parametrize(
    "model",
    [
        DecisionTreeClassifier(random_state=0, max_depth=6),
        ExtraTreeClassifier(random_state=0),
        RandomForestClassifier(**FAST, min_samples_leaf=3),
        RandomForestClassifier(**FAST),
        ExtraTreesClassifier(**FAST, max_depth=5, class_weight="balanced"),
        GradientBoostingClassifier(**FAST),
        GradientBoostingClassifier(**FAST, init="zero"),
        GradientBoostingClassifier(**FAST, init=DecisionTreeClassifier(max_depth=2)),
    ],
    ids=case_id,
)
def test_classifiers(model: Any, target: NDArray[Any]) -> None:
    check_classifier(model.fit(matrix(TABLE), target), TABLE)


@pytest.mark.parametrize(
    "model",
    [
        DecisionTreeRegressor(random_state=0),
        ExtraTreeRegressor(random_state=0),
        RandomForestRegressor(**FAST),
        ExtraTreesRegressor(**FAST, criterion="absolute_error", max_depth=4),
        GradientBoostingRegressor(**FAST),
        GradientBoostingRegressor(**FAST, loss="huber"),
        GradientBoostingRegressor(**FAST, loss="quantile", alpha=0.9),
        GradientBoostingRegressor(**FAST, init="zero"),
        GradientBoostingRegressor(**FAST, init=DecisionTreeRegressor(max_depth=2)),
    ],
    ids=case_id,
)
def test_regressors(model: Any) -> None:
    check_regressor(model.fit(matrix(TABLE), NUMBER), TABLE)


def test_exponential_loss() -> None:
    model = GradientBoostingClassifier(loss="exponential", **FAST)
    check_classifier(model.fit(matrix(TABLE), LABEL), TABLE)


@pytest.mark.parametrize("model", [DecisionTreeClassifier(max_depth=5), RandomForestClassifier(**FAST)], ids=case_id)
def test_missing_values(model: Any) -> None:
    table = with_missing(TABLE)
    check_classifier(model.fit(matrix(table), THREE), table, extra=(*FINITE, np.nan))


def test_boosting_decides_for_the_second_label_at_one_half() -> None:
    table = {"a": np.zeros(4)}
    model = GradientBoostingClassifier(**FAST, init="zero").fit(matrix(table), ["no", "yes", "no", "yes"])
    assert model.decision_function(matrix(table)).tolist() == [0.0] * 4
    check_classifier(model, table)


def test_missing_numbers_that_the_library_refuses() -> None:
    boosting = GradientBoostingRegressor(**FAST).fit(matrix(TABLE), NUMBER)
    assert not write(stored(boosting), list(TABLE)).writer.fact("a").accepts_missing
    forest = stored(RandomForestRegressor(**FAST).fit(matrix(TABLE), NUMBER))
    assert write(forest, list(TABLE)).writer.fact("a").accepts_missing
    forest.state["_sklearn_version"] = "1.3.2"
    assert not write(forest, list(TABLE)).writer.fact("a").accepts_missing


def test_tree_without_a_split() -> None:
    model = DecisionTreeRegressor(max_depth=1).fit(matrix(TABLE), np.full(_ROWS, 2.5))
    assert model.tree_.node_count == 1
    check_regressor(model, TABLE)


@pytest.mark.parametrize("kind", [DecisionTreeRegressor, RandomForestRegressor, ExtraTreesRegressor])
def test_several_targets(kind: Any) -> None:
    settings = {"max_depth": 4} if kind is DecisionTreeRegressor else FAST
    model = kind(**settings).fit(matrix(TABLE), np.stack([NUMBER, -2 * NUMBER, NUMBER**2], axis=1))
    check_regressor(model, TABLE)


def test_several_decisions_are_refused() -> None:
    model = DecisionTreeClassifier().fit(matrix(TABLE), np.stack([LABEL, LABEL], axis=1))
    with pytest.raises(UnsupportedModel, match="several decisions"):
        write(stored(model), list(TABLE))


def test_number_of_columns_is_checked() -> None:
    model = RandomForestClassifier(**FAST).fit(matrix(TABLE), LABEL)
    with pytest.raises(UnsupportedModel, match="trained with 3 columns, but they get 2"):
        write(stored(model), ["a", "b"])


def test_unfitted_model_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="not fitted"):
        write(stored(DecisionTreeRegressor()), list(TABLE))
