"""The models: the 40 that users try first, and 30 of the issues that users of other tools opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
from case import Case, as_array, with_categories
from catboost import CatBoostClassifier, CatBoostRegressor
from lightgbm import Booster as LightGBMBooster
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn import ensemble as se
from sklearn import linear_model as lm
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from tables import ROWS
from xgboost import Booster, DMatrix, XGBClassifier, XGBRegressor
from xgboost import train as xgboost_train

AB, ABK, ABC, ABKC = ["a", "b"], ["a", "b", "k"], ["a", "b", "c"], ["a", "b", "k", "c"]
BOOST: dict[str, Any] = {"n_estimators": 60, "n_jobs": 1}
LIGHT: dict[str, Any] = {"n_estimators": 60, "verbose": -1, "n_jobs": 1}
CAT: dict[str, Any] = {
    "iterations": 60,
    "verbose": False,
    "thread_count": 1,
    "allow_writing_files": False,
    "random_seed": 0,
}


def fitted(model: Any, **options: Any) -> Callable[[Any, Any], Any]:
    """Return the function that fits a model."""
    return lambda rows, target: model.fit(rows, target, **options)


def recipe(texts: Any, model: Any) -> Any:
    """Return scikit-learn's recipe for tables: numbers are filled and scaled, texts are encoded."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    return make_pipeline(ColumnTransformer([("numbers", numbers, AB), ("texts", texts, ["c"])]), model)


def one_hot(**options: Any) -> OneHotEncoder:
    """Return an encoder that ignores unknown categories."""
    return OneHotEncoder(handle_unknown="ignore", sparse_output=False, **options)


def logistic() -> lm.LogisticRegression:
    """Return a logistic regression on scaled columns."""
    return lm.LogisticRegression(max_iter=500)


def scaled(model: Any) -> Any:
    """Return a model behind a scaler."""
    return make_pipeline(StandardScaler(), model)


def code_of_category(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the category ``c`` as a number."""
    return frame.assign(c=frame.c.map({name: float(code) for code, name in enumerate("uvwxyz")}))


def positive_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with positive numbers."""
    return frame.assign(a=frame.a.abs(), b=frame.b.abs())


def minus_999(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with -999 in place of missing numbers."""
    return frame.assign(**{name: frame[name].fillna(-999) for name in ABK})


def zero(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with 0 in place of missing numbers."""
    return frame.assign(**{name: frame[name].fillna(0) for name in ABK})


def text_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with a target whose first label in the alphabet is the rarer one."""
    return frame.assign(bought=np.where(frame.bought == 1, "accepted", "refused"))


def odd_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the classes 3, 7 and 11."""
    return frame.assign(level=frame.level.map({"low": 11, "middle": 3, "high": 7}))


def boolean_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with a target of booleans."""
    return frame.assign(bought=frame.bought == 1)


def early_stopping(model: Any) -> Callable[[Any, Any], Any]:
    """Return the function that fits a booster until the second half of its rows does not get better."""
    half = ROWS // 2
    return lambda rows, target: model.fit(
        rows[:half], target[:half], eval_set=[(rows[half:], target[half:])], verbose=False
    )


def doubled(rows: Any) -> Any:
    """Double values; a function of a team."""
    return rows * 2


def cloudpickle_file(model: Any, folder: Path) -> str:
    """Write a model with its functions as code, as MLflow does."""
    (folder / "model.pkl").write_bytes(cloudpickle.dumps(model))
    return "model.pkl"


def library_file(name: str) -> Callable[[Any, Path], str]:
    """Return the function that writes a booster in the format of its library."""

    def save(model: Any, folder: Path) -> str:
        booster = model.booster_ if hasattr(model, "booster_") else model
        booster.save_model(str(folder / name))
        return name

    return save


def native_xgboost(rows: Any, target: Any) -> Any:
    """Return a booster of XGBoost's own API with names of columns."""
    return xgboost_train({"objective": "binary:logistic", "nthread": 1}, DMatrix(rows, target), 60)


def of_xgboost(model: Booster, rows: Any) -> Any:
    """Return the probabilities of both classes."""
    positive = np.asarray(model.predict(DMatrix(rows)))
    return np.column_stack([1 - positive, positive])


def of_lightgbm(model: Any, rows: Any) -> Any:
    """Return the probabilities of both classes, as the file answers."""
    booster = model if isinstance(model, LightGBMBooster) else model.booster_
    positive = np.asarray(booster.predict(rows))
    return np.column_stack([1 - positive, positive])


def thirty_hist() -> se.HistGradientBoostingClassifier:
    """Return histogram gradient boosting of 30 trees."""
    return se.HistGradientBoostingClassifier(max_iter=30)


NOTES = [
    Case("ColumnTransformer, one-hot", fitted(recipe(one_hot(), logistic())), ABC),
    Case("one-hot with None as a category", fitted(recipe(one_hot(), logistic())), ABC, missing=ABC),
    Case(
        "SimpleImputer most_frequent on texts",
        fitted(recipe(make_pipeline(SimpleImputer(strategy="most_frequent"), one_hot()), logistic())),
        ABC,
        missing=ABC,
    ),
    Case("OneHotEncoder, infrequent categories", fitted(recipe(one_hot(min_frequency=170), logistic())), ABC),
    Case(
        "OrdinalEncoder, HistGradientBoosting",
        fitted(recipe(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), thirty_hist())),
        ABC,
    ),
    Case("TargetEncoder, HistGradientBoosting", fitted(recipe(TargetEncoder(random_state=0), thirty_hist())), ABC),
    Case("HistGradientBoosting, numbers", fitted(se.HistGradientBoostingClassifier(max_iter=50)), AB),
    Case(
        "HistGradientBoosting, categorical_features",
        fitted(se.HistGradientBoostingClassifier(max_iter=30, categorical_features=[2])),
        ABC,
        prepare=as_array,
        change=code_of_category,
    ),
    Case("HistGradientBoosting, pandas category", fitted(thirty_hist()), ABC, prepare=with_categories),
    Case(
        "HistGradientBoostingRegressor, categorical_features",
        fitted(se.HistGradientBoostingRegressor(max_iter=50, categorical_features=[2])),
        ABK,
        target="spend",
        prepare=as_array,
    ),
    Case(
        "FunctionTransformer(log1p)",
        fitted(make_pipeline(FunctionTransformer(np.log1p), logistic())),
        AB,
        change=positive_numbers,
    ),
    Case(
        "FunctionTransformer(lambda)",
        fitted(make_pipeline(FunctionTransformer(lambda rows: rows * 2), StandardScaler(), logistic())),
        AB,
        save=cloudpickle_file,
    ),
    Case(
        "TransformedTargetRegressor(log1p)",
        fitted(TransformedTargetRegressor(scaled(lm.Ridge()), func=np.log1p, inverse_func=np.expm1)),
        AB,
        target="visits",
    ),
    Case(
        "CalibratedClassifierCV, isotonic",
        fitted(CalibratedClassifierCV(se.GradientBoostingClassifier(n_estimators=20), method="isotonic", cv=3)),
        AB,
    ),
    Case(
        "VotingClassifier at its defaults",
        fitted(
            se.VotingClassifier(
                [("line", scaled(logistic())), ("tree", DecisionTreeClassifier(max_depth=4)), ("bayes", GaussianNB())]
            )
        ),
        AB,
    ),
    Case("PowerTransformer", fitted(make_pipeline(PowerTransformer(), logistic())), ABK),
    Case("XGBoost, numbers", fitted(XGBClassifier(**BOOST)), ABK, prepare=as_array),
    Case("XGBoost, missing=nan", fitted(XGBClassifier(**BOOST)), ABK, prepare=as_array, missing=ABK),
    Case(
        "XGBoost, missing=-999",
        fitted(XGBClassifier(missing=-999, **BOOST)),
        ABK,
        prepare=as_array,
        missing=ABK,
        change=minus_999,
    ),
    Case(
        "XGBoost, early stopping",
        early_stopping(XGBClassifier(n_estimators=400, n_jobs=1, early_stopping_rounds=5)),
        ABK,
        prepare=as_array,
    ),
    Case("XGBRegressor", fitted(XGBRegressor(**BOOST)), ABK, target="spend", prepare=as_array),
    Case(
        "XGBRegressor, base_score",
        fitted(XGBRegressor(base_score=10.0, **BOOST)),
        ABK,
        target="spend",
        prepare=as_array,
    ),
    Case(
        "XGBoost, dart",
        fitted(XGBClassifier(n_estimators=40, n_jobs=1, booster="dart", rate_drop=0.2)),
        ABK,
        prepare=as_array,
    ),
    Case("XGBoost, gblinear", fitted(scaled(XGBClassifier(n_estimators=20, n_jobs=1, booster="gblinear"))), ABK),
    Case("XGBoost, Booster with names", native_xgboost, ABK, save=library_file("model.json"), answer=of_xgboost),
    Case(
        "XGBoost, enable_categorical",
        fitted(XGBClassifier(enable_categorical=True, **BOOST)),
        ABKC,
        prepare=with_categories,
    ),
    Case("LightGBM, numbers (one near 1.4e8)", fitted(LGBMClassifier(**LIGHT)), ABK, prepare=as_array),
    Case("LightGBM, missing", fitted(LGBMClassifier(**LIGHT)), ABK, prepare=as_array, missing=ABK),
    Case(
        "LightGBM, zero_as_missing",
        fitted(LGBMClassifier(zero_as_missing=True, **LIGHT)),
        ABK,
        prepare=as_array,
        missing=ABK,
        change=zero,
    ),
    Case("LightGBM, use_missing=False", fitted(LGBMClassifier(use_missing=False, **LIGHT)), ABK, missing=ABK),
    Case("LGBMRegressor, 400 trees", fitted(LGBMRegressor(**LIGHT | {"n_estimators": 400})), ABK, target="spend"),
    Case("LightGBM, pandas category", fitted(LGBMClassifier(**LIGHT)), ABKC, prepare=with_categories),
    Case(
        "LightGBM, rf",
        fitted(LGBMClassifier(boosting_type="rf", bagging_freq=1, bagging_fraction=0.6, **LIGHT)),
        ABK,
    ),
    Case("LGBMRegressor, linear_tree", fitted(LGBMRegressor(linear_tree=True, **LIGHT)), ABK, target="spend"),
    Case(
        "LightGBM, categorical with 40 levels",
        fitted(LGBMClassifier(**LIGHT), categorical_feature=[2]),
        ABK,
        prepare=as_array,
    ),
    Case("CatBoost, numbers", fitted(CatBoostClassifier(**CAT)), ABK),
    Case("CatBoost, missing", fitted(CatBoostClassifier(**CAT)), ABK, missing=ABK),
    Case("CatBoostRegressor", fitted(CatBoostRegressor(**CAT)), ABK, target="spend", save=library_file("model.cbm")),
    Case(
        "CatBoost, cat_features",
        fitted(CatBoostClassifier(cat_features=["c"], **CAT)),
        ABKC,
        save=library_file("model.cbm"),
    ),
    Case("CatBoost, Depthwise", fitted(CatBoostClassifier(grow_policy="Depthwise", **CAT)), ABK),
]

THREADS = [
    Case(
        "labels in another order than the alphabet's meaning",
        fitted(scaled(logistic())),
        ABK,
        change=text_labels,
        source="sklearn-onnx#218",
    ),
    Case(
        "classes 3, 7, 11",
        fitted(se.RandomForestClassifier(20, random_state=0)),
        ABK,
        target="level",
        change=odd_labels,
        source="sklearn-onnx#990",
    ),
    Case("boolean classes", fitted(scaled(logistic())), ABK, change=boolean_labels, source="sklearn-onnx#462"),
    Case(
        "SimpleImputer constant on texts",
        fitted(recipe(make_pipeline(SimpleImputer(strategy="constant", fill_value="none"), one_hot()), logistic())),
        ABC,
        missing=ABC,
        source="sklearn-onnx#980",
    ),
    Case(
        "ColumnTransformer, remainder=passthrough, other order",
        fitted(
            make_pipeline(
                ColumnTransformer(
                    [("texts", one_hot(), ["c"]), ("scale", StandardScaler(), ["b"])], remainder="passthrough"
                ),
                se.RandomForestClassifier(20, random_state=0),
            )
        ),
        ABKC,
        source="sklearn-onnx#1235",
    ),
    Case(
        "make_column_selector by dtype",
        fitted(
            make_pipeline(
                ColumnTransformer(
                    [
                        ("numbers", StandardScaler(), make_column_selector(dtype_include="number")),
                        (
                            "texts",
                            OneHotEncoder(drop="first", handle_unknown="ignore"),
                            make_column_selector(dtype_exclude="number"),
                        ),
                    ]
                ),
                logistic(),
            )
        ),
        ABKC,
        source="sklearn-onnx#1122",
    ),
    Case(
        "FunctionTransformer(sqrt)",
        fitted(make_pipeline(FunctionTransformer(np.sqrt), lm.Ridge())),
        AB,
        target="spend",
        change=positive_numbers,
        source="sklearn-onnx#1040",
    ),
    Case(
        "TfidfVectorizer in a ColumnTransformer",
        fitted(
            make_pipeline(
                ColumnTransformer(
                    [("note", TfidfVectorizer(ngram_range=(1, 2)), "note"), ("a", StandardScaler(), ["a"])]
                ),
                logistic(),
            )
        ),
        ["note", "a"],
        source="sklearn-onnx#830",
    ),
    Case(
        "StackingClassifier",
        fitted(
            se.StackingClassifier(
                [("line", scaled(logistic())), ("forest", se.RandomForestClassifier(10, random_state=0))]
            )
        ),
        ABK,
        source="sklearn-onnx#671",
    ),
    Case(
        "GridSearchCV around a pipeline",
        fitted(GridSearchCV(recipe(one_hot(), logistic()), {"logisticregression__C": [0.1, 1]}, cv=2)),
        ABC,
        source="sklearn-onnx#1155",
    ),
    Case(
        "TunedThresholdClassifierCV",
        fitted(TunedThresholdClassifierCV(scaled(logistic()), random_state=0)),
        ABK,
        source="sklearn-onnx#990",
    ),
    Case(
        "KBinsDiscretizer",
        fitted(make_pipeline(KBinsDiscretizer(5, quantile_method="averaged_inverted_cdf"), lm.Ridge())),
        ABK,
        target="spend",
        source="sklearn-onnx#671",
    ),
    Case(
        "SplineTransformer",
        fitted(make_pipeline(SplineTransformer(), lm.Ridge())),
        AB,
        target="spend",
        source="sklearn-onnx#609",
    ),
    Case(
        "PolynomialFeatures, Lasso",
        fitted(make_pipeline(StandardScaler(), PolynomialFeatures(2), lm.Lasso(alpha=0.01))),
        ABK,
        target="spend",
        source="sklearn-onnx#609",
    ),
    Case(
        "QuantileTransformer",
        fitted(make_pipeline(QuantileTransformer(n_quantiles=100, output_distribution="normal"), logistic())),
        ABK,
        source="sklearn-onnx#671",
    ),
    Case(
        "ExtraTreesRegressor",
        fitted(se.ExtraTreesRegressor(20, random_state=0)),
        ABK,
        target="spend",
        source="sklearn-onnx#1051",
    ),
    Case(
        "GradientBoostingClassifier, three classes",
        fitted(se.GradientBoostingClassifier(n_estimators=20, random_state=0)),
        ABK,
        target="level",
        source="sklearn-onnx#1101",
    ),
    Case(
        "AdaBoostClassifier",
        fitted(se.AdaBoostClassifier(n_estimators=20, random_state=0)),
        ABK,
        source="sklearn-onnx#1051",
    ),
    Case(
        "BaggingClassifier",
        fitted(se.BaggingClassifier(n_estimators=10, random_state=0)),
        ABK,
        source="sklearn-onnx#1051",
    ),
    Case(
        "SVC, probability",
        fitted(scaled(CalibratedClassifierCV(SVC(), ensemble=False))),
        ABK,
        source="sklearn-onnx#218",
    ),
    Case("LinearSVC", fitted(scaled(LinearSVC())), ABK, target="level", source="sklearn-onnx#218"),
    Case("KNeighborsClassifier", fitted(scaled(KNeighborsClassifier(7))), ABK, source="sklearn-onnx#1235"),
    Case(
        "MLPClassifier",
        fitted(scaled(MLPClassifier((16,), max_iter=200, random_state=0))),
        ABK,
        target="level",
        source="sklearn-onnx#462",
    ),
    Case(
        "LinearDiscriminantAnalysis",
        fitted(scaled(LinearDiscriminantAnalysis())),
        ABK,
        target="level",
        source="sklearn-onnx#990",
    ),
    Case(
        "KNNImputer",
        fitted(make_pipeline(KNNImputer(n_neighbors=3), StandardScaler(), logistic())),
        ABK,
        missing=["a"],
        source="sklearn-onnx#980",
    ),
    Case(
        "XGBoost, three classes, UBJSON",
        fitted(XGBClassifier(**BOOST)),
        ABK,
        target="level",
        change=lambda frame: frame.assign(level=frame.level.map({"low": 0, "middle": 1, "high": 2})),
        save=library_file("model.ubj"),
        source="onnxmltools#517",
    ),
    Case(
        "XGBRegressor, poisson",
        fitted(XGBRegressor(objective="count:poisson", **BOOST)),
        ABK,
        target="visits",
        source="onnxmltools#672",
    ),
    Case(
        "LightGBM, text file with pandas categories",
        fitted(LGBMClassifier(**LIGHT)),
        ABKC,
        prepare=with_categories,
        save=library_file("model.txt"),
        answer=of_lightgbm,
        source="LightGBM#5902",
    ),
    Case(
        "LightGBM, three text labels",
        fitted(LGBMClassifier(**LIGHT)),
        ABKC,
        target="level",
        prepare=with_categories,
        source="LightGBM#6692",
    ),
    Case(
        "CatBoost, three classes, missing categories as a text",
        fitted(CatBoostClassifier(cat_features=["c"], **CAT)),
        ABKC,
        target="level",
        missing=["c"],
        change=lambda frame: frame.assign(c=frame.c.fillna("none")),
        source="catboost#863",
    ),
]

CASES = NOTES + THREADS
