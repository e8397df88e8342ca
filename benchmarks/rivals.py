"""The other methods of the training benchmark, on the same rows."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer

from benchmarks.task import Columns, Predictions, Task
from model_deployer.training.runtime.silence import silence_libraries

#: The number of settings in a search; the maximum number of boosting rounds, and the number of rounds without
#: improvement that ends boosting.
TRIALS, MAX_ROUNDS, EARLY_STOPPING_ROUNDS = 20, 1_000, 50

#: The number of epochs of RealMLP; its default of 256 would take hours.
EPOCHS = 32


@dataclass(frozen=True)
class Rival:
    """Another method.

    Attributes:
        predict: Fits the method on a task and returns its predictions for the test rows.
        module: The module that it needs.
    """

    predict: Callable[[Task], Predictions]
    module: str

    @property
    def is_installed(self) -> bool:
        """Whether the module is installed."""
        return importlib.util.find_spec(self.module) is not None


def lightgbm_default(task: Task) -> Predictions:
    """Fit LightGBM with its defaults."""
    return _with_defaults(task, lightgbm.LGBMClassifier, lightgbm.LGBMRegressor, verbosity=-1, n_jobs=1)


def histogram_boosting(task: Task) -> Predictions:
    """Fit scikit-learn's histogram boosting with its defaults."""
    return _with_defaults(task, HistGradientBoostingClassifier, HistGradientBoostingRegressor)


def xgboost_default(task: Task) -> Predictions:
    """Fit XGBoost with its defaults."""
    import xgboost  # noqa: PLC0415 (it is optional)

    return _with_defaults(task, xgboost.XGBClassifier, xgboost.XGBRegressor, n_jobs=1)


def lightgbm_search(task: Task) -> Predictions:
    """Fit LightGBM with ``TRIALS`` random settings, and choose the best, with its rounds, on the validation rows."""
    parts = task.parts
    train, validation, test = task.columns(parts.train, parts.validation, parts.test)
    validation_set = (validation, task.target(parts.validation))

    def fit(settings: dict[str, Any]) -> tuple[float, Predictions]:
        estimator = lightgbm.LGBMRegressor if task.classes is None else lightgbm.LGBMClassifier
        booster = estimator(n_estimators=MAX_ROUNDS, random_state=task.seed, verbosity=-1, n_jobs=1, **settings)
        stop = lightgbm.early_stopping(EARLY_STOPPING_ROUNDS, verbose=False)
        with silence_libraries():
            booster.fit(train, task.target(parts.train), eval_set=[validation_set], callbacks=[stop])
        return task.loss(_predictions(booster, validation), parts.validation), _predictions(booster, test)

    return min(map(fit, _settings(task.seed)), key=lambda trial: trial[0])[1]


def realmlp(task: Task) -> Predictions:
    """Fit RealMLP with its tuned defaults (Holzmüller et al., 2024, "Better by default") and ``EPOCHS`` epochs."""
    import pytabkit  # noqa: PLC0415 (it is optional)

    parts = task.parts
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    train, validation, test = task.columns(parts.train, parts.validation, parts.test)
    train, validation, test = imputer.fit_transform(train), imputer.transform(validation), imputer.transform(test)
    estimator = pytabkit.RealMLP_TD_Regressor if task.classes is None else pytabkit.RealMLP_TD_Classifier
    network = estimator(device="cpu", random_state=task.seed, n_epochs=EPOCHS, n_cv=1, n_threads=1)
    with silence_libraries():
        network.fit(train, task.target(parts.train), validation, task.target(parts.validation))
        return _predictions(network, test)


BASE, SEARCH = "LightGBM default", f"LightGBM, {TRIALS} trials"

RIVALS = {
    BASE: Rival(lightgbm_default, "lightgbm"),
    SEARCH: Rival(lightgbm_search, "lightgbm"),
    "XGBoost default": Rival(xgboost_default, "xgboost"),
    "histogram boosting": Rival(histogram_boosting, "sklearn"),
    "RealMLP": Rival(realmlp, "pytabkit"),
}


def _with_defaults(task: Task, classifier: Any, regressor: Any, **settings: Any) -> Predictions:
    """Fit an estimator on the training and validation rows, because there is nothing to choose."""
    train, test = task.columns(task.train_and_validation, task.parts.test)
    estimator = (regressor if task.classes is None else classifier)(random_state=task.seed, **settings)
    return _predictions(estimator.fit(train, task.target(task.train_and_validation)), test)


def _predictions(estimator: Any, columns: Columns) -> Predictions:
    predict = estimator.predict_proba if hasattr(estimator, "predict_proba") else estimator.predict
    with silence_libraries():
        return np.asarray(predict(columns))


def _settings(seed: int) -> Iterator[dict[str, Any]]:
    generator = np.random.default_rng(seed)

    def log_uniform(low: float, high: float) -> float:
        return float(np.exp(generator.uniform(np.log(low), np.log(high))))

    for _ in range(TRIALS):
        yield {
            "learning_rate": log_uniform(0.03, 0.2),
            "num_leaves": round(log_uniform(8, 256)),
            "min_child_samples": round(log_uniform(3, 100)),
            "subsample": generator.uniform(0.6, 1),
            "subsample_freq": 1,
            "colsample_bytree": generator.uniform(0.5, 1),
            "reg_lambda": log_uniform(1e-3, 10),
        }
