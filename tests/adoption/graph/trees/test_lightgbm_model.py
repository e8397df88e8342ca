"""Models of LightGBM answer as LightGBM does, from a pickle and from a text file."""

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV

from model_deployer.adoption.graph.trees.lightgbm_model import lightgbm_columns, read_lightgbm
from model_deployer.adoption.graph.trees.lightgbm_text import is_lightgbm_text
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from tests.adoption.graph.trees.graphs import (
    EXTREME,
    FINITE,
    Rows,
    WrittenGraph,
    assert_equal,
    check_classifier,
    check_regressor,
    matrix,
    probe_rows,
    stored,
    write,
)
from tests.adoption.graph.trees.test_sklearn_trees import LABEL, NUMBER, TABLE, THREE, with_missing
from tests.support.case_ids import case_id

QUIET: dict[str, Any] = {"verbose": -1, "min_data_in_leaf": 5, "num_leaves": 15, "seed": 0, "num_threads": 1}
FAST = {"n_estimators": 15, **QUIET}
ANY = (*FINITE, *EXTREME)

_RANDOM = np.random.default_rng(5)
_TEXT = np.array(["b", "a", "d", "c", "", "é"], object)[_RANDOM.integers(0, 6, len(LABEL))]
_SIZE = np.array([10.0, 2.0, 33.0, 4.5, np.nan])[_RANDOM.integers(0, 5, len(LABEL))]
#: Texts and numbers as categories of pandas, between columns of numbers.
MIXED = {"a": TABLE["a"], "t": _TEXT, "b": TABLE["b"], "s": _SIZE}
MIXED_NUMBER = NUMBER + np.isin(_TEXT, ["b", "d"]) * 2.0 + np.isin(_SIZE, [2.0, 4.5]) - np.isnan(_SIZE)
#: Zeros, missing numbers, and numbers around the ones that LightGBM reads as 0.
ZEROS = {**with_missing(TABLE), "z": np.array([0.0, -1.0, 2.0, 1e-36, np.nan])[_RANDOM.integers(0, 5, len(LABEL))]}
ZEROS_NUMBER = NUMBER + np.where(np.abs(ZEROS["z"]) < 1e-30, 2.0, 0.0)
NEAR_ZERO = (1e-35, -1e-35, float(np.float32(1e-35)), -float(np.float32(1e-35)), 1.1e-35, -1.1e-35)


def frame(rows: Rows) -> pd.DataFrame:
    """Return rows as the library reads them: columns of categories, with None for a missing text."""
    texts = np.array([text or None for text in rows["t"]], object)
    return pd.DataFrame({**rows, "t": texts}).astype({"t": "category", "s": "category"})


def check_booster(booster: lightgbm.Booster, table: Rows, extra: tuple[float, ...] = ANY) -> WrittenGraph:
    """Check a booster from its pickle and from its text file."""
    graph = write(stored(booster), list(table))
    from_file = write(read_lightgbm(booster.model_to_string().encode()), list(table))
    rows = probe_rows(graph.writer, table, extra)
    expected = booster.predict(matrix(rows))
    got = graph.predict(rows)
    assert_equal(got[:, 1:] if got.shape[1] == 2 else got, expected)
    assert_equal(from_file.predict(rows), got)
    return graph


def train(parameters: dict[str, Any], table: Rows, target: NDArray[Any], rounds: int = 15, **data: Any) -> Any:
    set_ = lightgbm.Dataset(matrix(table), target, free_raw_data=False, params=QUIET, **data)
    return lightgbm.train({**QUIET, **parameters}, set_, rounds)


@pytest.mark.parametrize("target", [LABEL, THREE], ids=["two", "three"])
@pytest.mark.parametrize("boosting", ["gbdt", "dart", "rf"])
def test_classifiers(boosting: str, target: NDArray[Any]) -> None:
    model = lightgbm.LGBMClassifier(**FAST, boosting_type=boosting, bagging_freq=1, bagging_fraction=0.5)
    table = with_missing(TABLE)
    check_classifier(model.fit(matrix(table), target), table, extra=ANY)


@pytest.mark.parametrize("boosting", ["gbdt", "dart", "rf"])
def test_regressors(boosting: str) -> None:
    model = lightgbm.LGBMRegressor(**FAST, boosting_type=boosting, bagging_freq=1, bagging_fraction=0.5)
    check_regressor(model.fit(matrix(TABLE), NUMBER), TABLE, extra=ANY)


@pytest.mark.parametrize(
    "objective",
    ["regression", "regression_l1", "huber", "fair", "poisson", "quantile", "mape", "gamma", "tweedie"],
)
def test_objectives_of_numbers(objective: str) -> None:
    check_booster(train({"objective": objective}, TABLE, np.exp(NUMBER)), TABLE)


@pytest.mark.parametrize("objective", ["cross_entropy", "cross_entropy_lambda"])
def test_objectives_of_shares(objective: str) -> None:
    check_booster(train({"objective": objective}, TABLE, (LABEL == "yes") * 0.9), TABLE)


def test_square_root_of_the_target() -> None:
    check_booster(train({"objective": "regression", "reg_sqrt": True}, TABLE, NUMBER - 0.5), TABLE)


def test_sigmoid_with_a_factor() -> None:
    check_booster(train({"objective": "binary", "sigmoid": 2.5}, TABLE, LABEL == "yes"), TABLE)


@pytest.mark.parametrize("objective", ["multiclass", "multiclassova"])
def test_several_labels(objective: str) -> None:
    check_booster(train({"objective": objective, "num_class": 3}, TABLE, THREE // 10), TABLE)


def test_rank_objective() -> None:
    model = lightgbm.LGBMRanker(**FAST).fit(matrix(TABLE), THREE // 10, group=[100] * 6)
    check_regressor(model, TABLE)


@pytest.mark.parametrize(
    "parameters",
    [{"zero_as_missing": True}, {"use_missing": False}, {"zero_as_missing": True, "boosting": "dart"}],
    ids=case_id,
)
def test_zeros_and_missing_numbers(parameters: dict[str, Any]) -> None:
    check_booster(train(parameters, ZEROS, ZEROS_NUMBER), ZEROS, (*ANY, *NEAR_ZERO))


def test_numbers_near_zero() -> None:
    booster = train({"objective": "regression"}, ZEROS, ZEROS_NUMBER)
    assert "1.0000000180025095e-35" in booster.model_to_string()
    check_booster(booster, ZEROS, (*ANY, *NEAR_ZERO))


@pytest.mark.parametrize("table", [TABLE, with_missing(TABLE)], ids=["complete", "missing"])
@pytest.mark.parametrize("objective", ["regression", "multiclass"])
def test_linear_trees(objective: str, table: Rows) -> None:
    target, classes = (NUMBER, 1) if objective == "regression" else (THREE // 10, 3)
    parameters = {"objective": objective, "num_class": classes, "linear_tree": True}
    check_booster(train(parameters, table, target), table, (*FINITE, np.nan))


def test_categories_by_number() -> None:
    table = {**TABLE, "c": _RANDOM.integers(0, 60, len(LABEL)).astype(float)}
    target = NUMBER + np.isin(table["c"], np.arange(0, 60, 7)) * 3
    graph = check_booster(train({}, table, target, categorical_feature=[3, 2]), table, (*ANY, -1.5, 61.0, 200.0))
    assert 7.0 in graph.writer.critical["c"]


@pytest.mark.parametrize("target", [LABEL, THREE], ids=["two", "three"])
def test_categories_of_pandas(target: NDArray[Any]) -> None:
    model = lightgbm.LGBMClassifier(**FAST, min_data_per_group=5, cat_smooth=1).fit(frame(MIXED), target)
    graph = check_classifier(model, MIXED, frame, (*ANY, 2.5, 100.0))
    assert {"a", "b", "c", "d", "é"} <= graph.writer.critical["t"]
    assert {10.0, 2.0, 33.0, 4.5} <= graph.writer.critical["s"]


def test_ordered_categories_of_pandas() -> None:
    def ordered(rows: Rows) -> pd.DataFrame:
        return frame(rows).assign(s=lambda table: table["s"].cat.as_ordered())

    model = lightgbm.LGBMRegressor(**FAST, min_data_per_group=5, cat_smooth=1).fit(ordered(MIXED), MIXED_NUMBER)
    check_regressor(model, MIXED, ordered, (*ANY, 2.5, 100.0))


def test_best_iteration() -> None:
    data = lightgbm.Dataset(matrix(TABLE), NUMBER, free_raw_data=False)
    validation = data.create_valid(matrix(TABLE)[:100], np.random.default_rng(1).permutation(NUMBER)[:100])
    stop = lightgbm.early_stopping(3, verbose=False)
    booster = lightgbm.train(QUIET, data, 30, valid_sets=[validation], callbacks=[stop], keep_training_booster=True)
    assert 0 < booster.best_iteration < booster.current_iteration()
    graph = write(stored(booster), list(TABLE))
    rows = probe_rows(graph.writer, TABLE)
    assert_equal(graph.predict(rows), booster.predict(matrix(rows)))


@pytest.mark.parametrize("target", [LABEL, THREE], ids=["two", "three"])
@pytest.mark.parametrize("boosting", ["gbdt", "rf"])
def test_calibration(boosting: str, target: NDArray[Any]) -> None:
    """A calibrator reads the decision function, which LightGBM has since version 4.7."""
    forest: dict[str, Any] = {"boosting_type": boosting, "bagging_freq": 1, "bagging_fraction": 0.5}
    model = CalibratedClassifierCV(lightgbm.LGBMClassifier(n_estimators=5, **QUIET, **forest), cv=2)
    check_classifier(model.fit(matrix(TABLE), target), TABLE, extra=FINITE)


def test_versions_without_a_decision_function() -> None:
    model = stored(lightgbm.LGBMClassifier(n_estimators=2, **QUIET).fit(matrix(TABLE), LABEL))
    assert write(model, list(TABLE)).answer.scores is not None
    del model.state["_fitted_with_feature_names"]
    assert write(model, list(TABLE)).answer.scores is None


def test_names_of_the_columns() -> None:
    model = lightgbm.LGBMRegressor(n_estimators=2, **QUIET).fit(frame(MIXED), MIXED_NUMBER)
    assert lightgbm_columns(stored(model)) == ["a", "t", "b", "s"]
    assert lightgbm_columns(stored(train({}, TABLE, NUMBER, rounds=1))) == [None] * 3


def own_objective(labels: Any, scores: Any) -> Any:
    return scores - labels, np.ones_like(scores)


def test_own_objective() -> None:
    parameters: dict[str, Any] = {"n_estimators": 2, "objective": own_objective, **QUIET}
    classifier = lightgbm.LGBMClassifier(**parameters).fit(matrix(TABLE), LABEL == "yes")
    with pytest.raises(UnsupportedModel, match="objective of its own"):
        write(stored(classifier), list(TABLE))
    check_regressor(lightgbm.LGBMRegressor(**parameters).fit(matrix(TABLE), NUMBER), TABLE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"tree\nversion=v1\n", "not a model of LightGBM 2.0 or later"),
        (b"tree\nversion=v4\nfeature_names=a\n", "truncated"),
        (b"tree\nversion=v4\n\nTree=0\nnum_leaves=2\n\nend of trees\n", "damaged"),
    ],
)
def test_damaged_files_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(UnsupportedModel, match=message):
        read_lightgbm(content)


def test_files_of_version_2_0() -> None:
    """They have no line after the last tree, and the importances follow, whose names may be those of other lines."""
    table = {"threshold": TABLE["a"], "leaf_value": TABLE["b"]}
    booster = train({}, table, NUMBER, rounds=2, feature_name=list(table))
    old = booster.model_to_string().replace("version=v4", "version=v2").replace("end of trees\n", "")
    old = old.replace("feature_importances:", "feature importances:")
    assert "\nthreshold=" in old.partition("feature importances:")[2]
    got = write(read_lightgbm(old.encode()), list(table)).predict(table)
    assert_equal(got, booster.predict(matrix(table)))


def test_files_are_recognized() -> None:
    assert is_lightgbm_text(train({}, TABLE, NUMBER, rounds=1).model_to_string().encode())
    assert not is_lightgbm_text(b"tree of life\n")
