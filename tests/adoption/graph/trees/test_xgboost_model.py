"""Models of XGBoost answer as XGBoost does, from a pickle, from JSON and from UBJSON."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV

from model_deployer.adoption.graph.trees.xgboost_file import is_xgboost_file
from model_deployer.adoption.graph.trees.xgboost_model import read_xgboost, xgboost_columns
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from tests.adoption.graph.trees.graphs import (
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

xgboost = pytest.importorskip("xgboost")

FAST: dict[str, Any] = {"n_estimators": 15, "max_depth": 4, "random_state": 0, "n_jobs": 1}
#: XGBoost refuses infinite numbers, and numbers that are infinite as float32.
ANY = (*FINITE, np.nan, 1e30, -1e30, 1e-40)
BINARY = (LABEL == "yes").astype(int)
CODES = THREE // 10

_RANDOM = np.random.default_rng(9)
_TEXT = np.array(["b", "a", "d", "c", "", "e"], object)[_RANDOM.integers(0, 6, len(LABEL))]
_SIZE = np.array([10, 2, 33, -4])[_RANDOM.integers(0, 4, len(LABEL))]
MIXED = {"a": TABLE["a"], "t": _TEXT, "b": TABLE["b"], "s": _SIZE.astype(float)}
MIXED_NUMBER = NUMBER + np.isin(_TEXT, ["b", "d"]) * 2.0 + np.isin(_SIZE, [2, 33])


def train(parameters: dict[str, Any], table: Rows, target: NDArray[Any], **data: Any) -> Any:
    set_ = xgboost.DMatrix(matrix(table), target, **data)
    return xgboost.train({"max_depth": 4, "nthread": 1, **parameters}, set_, 15)


def check_booster(booster: Any, table: Rows, extra: tuple[float, ...] = ANY, **data: Any) -> WrittenGraph:
    """Check a booster from its pickle and from both kinds of files."""
    graph = write(stored(booster), list(table))
    rows = probe_rows(graph.writer, table, extra)
    expected = booster.predict(xgboost.DMatrix(matrix(rows), **data))
    got = graph.predict(rows)
    assert_equal(got[:, 1:] if got.shape[1] == 2 else got, expected)
    for format_ in ("json", "ubj"):
        content = bytes(booster.save_raw(format_))
        assert is_xgboost_file(content)
        assert_equal(write(read_xgboost(content), list(table)).predict(rows), got)
    return graph


@pytest.mark.parametrize("target", [BINARY, CODES], ids=["two", "three"])
@pytest.mark.parametrize("booster", ["gbtree", "dart", "gblinear"])
def test_classifiers(booster: str, target: NDArray[Any]) -> None:
    options = {"rate_drop": 0.3} if booster == "dart" else {}
    model = xgboost.XGBClassifier(**FAST, booster=booster, **options)
    table = with_missing({**TABLE, "b": TABLE["b"] / 1e6})
    check_classifier(model.fit(matrix(table), target), table, extra=ANY[:-3] if booster == "gblinear" else ANY)


@pytest.mark.parametrize("booster", ["gbtree", "dart", "gblinear"])
def test_regressors(booster: str) -> None:
    options = {"rate_drop": 0.3} if booster == "dart" else {}
    model = xgboost.XGBRegressor(**FAST, booster=booster, **options)
    check_regressor(model.fit(matrix(TABLE), NUMBER), TABLE, extra=ANY[:-3] if booster == "gblinear" else ANY)


def test_random_forests() -> None:
    check_classifier(xgboost.XGBRFClassifier(**FAST).fit(matrix(TABLE), BINARY), TABLE, extra=ANY)
    check_classifier(xgboost.XGBRFClassifier(**FAST).fit(matrix(TABLE), CODES), TABLE, extra=ANY)
    check_regressor(xgboost.XGBRFRegressor(**FAST).fit(matrix(TABLE), NUMBER), TABLE, extra=ANY)


@pytest.mark.parametrize("missing", [-999.0, 0.0, 3.0])
def test_number_for_missing_values(missing: float) -> None:
    table = {name: np.nan_to_num(column, nan=missing) for name, column in with_missing(TABLE).items()}
    model = xgboost.XGBClassifier(**FAST, missing=missing).fit(matrix(table), BINARY)
    graph = check_classifier(model, table, extra=(*ANY, missing))
    assert missing in graph.writer.critical["a"]


@pytest.mark.parametrize("base_score", [None, 0.3])
@pytest.mark.parametrize(
    "objective",
    [
        *("binary:logistic", "binary:logitraw", "reg:logistic", "binary:hinge", "reg:squarederror"),
        *("reg:absoluteerror", "reg:pseudohubererror", "reg:squaredlogerror", "rank:pairwise", "rank:ndcg"),
    ],
)
def test_objectives(objective: str, base_score: float | None) -> None:
    parameters = {"objective": objective} | ({} if base_score is None else {"base_score": base_score})
    check_booster(train(parameters, TABLE, BINARY), TABLE)


@pytest.mark.parametrize("objective", ["count:poisson", "reg:gamma", "reg:tweedie", "survival:cox"])
def test_objectives_of_positive_numbers(objective: str) -> None:
    check_booster(train({"objective": objective}, TABLE, np.exp(NUMBER)), TABLE)


def test_several_labels() -> None:
    booster = train({"objective": "multi:softprob", "num_class": 3, "num_parallel_tree": 2}, TABLE, CODES)
    check_booster(booster, TABLE)


def test_softmax_decides() -> None:
    booster = train({"objective": "multi:softmax", "num_class": 3}, TABLE, CODES)
    graph = write(stored(booster), list(TABLE))
    rows = probe_rows(graph.writer, TABLE, ANY)
    assert np.array_equal(graph.decisions(rows), booster.predict(xgboost.DMatrix(matrix(rows))))


@pytest.mark.parametrize("onehot", [1, 100], ids=["sets", "one-hot"])
def test_categories_by_number(onehot: int) -> None:
    table = {**TABLE, "c": _RANDOM.integers(0, 30, len(LABEL)).astype(float)}
    types = ["q", "q", "q", "c"]
    parameters = {"max_cat_to_onehot": onehot, "tree_method": "hist"}
    target = NUMBER + np.isin(table["c"], np.arange(0, 30, 4)) * 3
    booster = train(parameters, table, target, feature_types=types)
    check_booster(booster, table, (*FINITE[:4], np.nan, 29.0, 30.0, 77.0, 3.9), feature_types=types)


@pytest.mark.parametrize("target", [BINARY, CODES], ids=["two", "three"])
def test_categories_of_pandas(target: NDArray[Any]) -> None:
    def frame(rows: Rows) -> pd.DataFrame:
        texts = pd.Categorical([text or None for text in rows["t"]], categories=["d", "a", "b", "c", "e"])
        return pd.DataFrame({**rows, "t": texts, "s": pd.Categorical(rows["s"].astype(int))})

    model = xgboost.XGBClassifier(**FAST, enable_categorical=True, tree_method="hist").fit(frame(MIXED), target)
    graph = write(stored(model), list(MIXED))
    assert graph.writer.critical["t"] >= {"a", "b", "c", "d", "e"}
    assert graph.writer.critical["s"] >= {10.0, 2.0, 33.0, -4.0}
    rows = probe_rows(graph.writer, MIXED, (0.0, 1.5, -1.0))
    # XGBoost refuses a category that training did not see.
    known = np.isin(rows["t"], ["", "a", "b", "c", "d", "e"]) & np.isin(rows["s"], _SIZE)
    rows = {name: column[known] for name, column in rows.items()}
    assert_equal(graph.predict(rows), model.predict_proba(frame(rows)))
    assert xgboost_columns(stored(model)) == ["a", "t", "b", "s"]


def test_categories_that_xgboost_damages_are_refused() -> None:
    """XGBoost 3.2 counts the letters of a category, and stores as many bytes."""
    table = pd.DataFrame({"t": pd.Categorical(np.where(BINARY, "é", "b"))})
    model = xgboost.XGBClassifier(**FAST, enable_categorical=True, tree_method="hist").fit(table, BINARY)
    with pytest.raises(UnsupportedModel, match="other letters than those of ASCII"):
        write(stored(model), ["t"])


def test_best_iteration() -> None:
    """The interface for scikit-learn stops at the best iteration, and the booster itself uses all trees."""
    model = xgboost.XGBClassifier(**FAST, early_stopping_rounds=3)
    model.fit(matrix(TABLE), CODES, eval_set=[(matrix(TABLE)[:100], np.random.default_rng(1).permutation(CODES[:100]))])
    assert model.best_iteration < model.get_booster().num_boosted_rounds() - 1
    check_classifier(model, TABLE, extra=ANY)
    check_booster(model.get_booster(), TABLE)


def test_large_numbers() -> None:
    """Numbers of seconds since 1970 that differ by less than float32 can tell apart."""
    table = {**TABLE, "b": TABLE["b"] + 1.4e9}
    check_regressor(xgboost.XGBRegressor(**FAST).fit(matrix(table), NUMBER), table, extra=ANY)


def test_old_labels() -> None:
    model = stored(xgboost.XGBClassifier(**FAST).fit(matrix(TABLE), BINARY))
    model.state["classes_"] = np.array(["no", "yes"])
    assert write(model, list(TABLE)).answer.labels == ["no", "yes"]


@pytest.mark.parametrize("booster", ["gbtree", "dart"])
def test_several_targets(booster: str) -> None:
    """Each target has trees of its own."""
    model = xgboost.XGBRegressor(**FAST, booster=booster)
    model.fit(matrix(TABLE), np.stack([NUMBER, -NUMBER, NUMBER**2], axis=1))
    check_regressor(model, TABLE, extra=ANY)


def test_leaves_of_several_targets_are_refused() -> None:
    model = xgboost.XGBRegressor(**FAST, multi_strategy="multi_output_tree")
    model.fit(matrix(TABLE), np.stack([NUMBER, NUMBER], axis=1))
    with pytest.raises(UnsupportedModel, match="several targets in a leaf"):
        write(stored(model), list(TABLE))


def test_model_without_trees_is_refused() -> None:
    booster = xgboost.train({}, xgboost.DMatrix(matrix(TABLE), NUMBER), 0)
    with pytest.raises(UnsupportedModel, match="no trees"):
        write(stored(booster), list(TABLE))


def test_unfitted_model_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="not fitted"):
        write(stored(xgboost.XGBClassifier()), list(TABLE))


@pytest.mark.parametrize("content", [b"binf\0\0\0?", b"CONFIG-offset:", b"\0\0\0?\3\0\0\0", b""])
def test_old_formats_are_refused(content: bytes) -> None:
    with pytest.raises(UnsupportedModel, match=r"save it again with booster.save_model\('model.json'\)"):
        read_xgboost(content)


def test_truncated_files_are_refused() -> None:
    booster = train({}, TABLE, NUMBER)
    for format_ in ("json", "ubj"):
        content = bytes(booster.save_raw(format_))
        for end in range(1, len(content), len(content) // 40):
            with pytest.raises(UnsupportedModel, match="damaged"):
                read_xgboost(content[:end])


def test_calibration_reads_the_probabilities() -> None:
    """XGBoost has no decision function, so a calibrator reads its probabilities."""
    model = CalibratedClassifierCV(xgboost.XGBClassifier(**FAST), method="sigmoid", cv=2)
    check_classifier(model.fit(matrix(TABLE), BINARY), TABLE, extra=FINITE)
