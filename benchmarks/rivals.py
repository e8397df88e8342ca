"""What others would do with the same rows."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer

from benchmarks.task import Answers, Columns, Task
from model_deployer.training.runtime.silence import silence_libraries

#: Settings that are tried in a search; rounds at most, and those without improvement after which boosting ends.
TRIALS, ROUNDS, PATIENCE = 20, 1_000, 50

#: Passes over the training rows of RealMLP; its own 256 would take hours.
EPOCHS = 32


@dataclass(frozen=True)
class Rival:
    """A method: what it answers to the test rows of a task, and the module that it needs."""

    answer: Callable[[Task], Answers]
    module: str

    @property
    def is_installed(self) -> bool:
        """Whether that module is there."""
        return importlib.util.find_spec(self.module) is not None


def lightgbm_default(task: Task) -> Answers:
    """LightGBM as it comes."""
    return _as_it_comes(task, lightgbm.LGBMClassifier, lightgbm.LGBMRegressor, verbosity=-1, n_jobs=1)


def histogram_boosting(task: Task) -> Answers:
    """scikit-learn's histogram boosting as it comes."""
    return _as_it_comes(task, HistGradientBoostingClassifier, HistGradientBoostingRegressor)


def xgboost_default(task: Task) -> Answers:
    """XGBoost as it comes."""
    import xgboost  # noqa: PLC0415 (it need not be installed)

    return _as_it_comes(task, xgboost.XGBClassifier, xgboost.XGBRegressor, n_jobs=1)


def lightgbm_search(task: Task) -> Answers:
    """LightGBM with the best of ``TRIALS`` random settings; the validation rows choose the setting and the rounds."""
    parts = task.parts
    train, validation, test = task.columns(parts.train, parts.validation, parts.test)
    judged = (validation, task.target(parts.validation))

    def fitted(settings: dict[str, Any]) -> tuple[float, Answers]:
        sort = lightgbm.LGBMRegressor if task.classes is None else lightgbm.LGBMClassifier
        booster = sort(n_estimators=ROUNDS, random_state=task.seed, verbosity=-1, n_jobs=1, **settings)
        stop = lightgbm.early_stopping(PATIENCE, verbose=False)
        with silence_libraries():
            booster.fit(train, task.target(parts.train), eval_set=[judged], callbacks=[stop])
        return task.loss(_answers(booster, validation), parts.validation), _answers(booster, test)

    return min(map(fitted, _settings(task.seed)), key=lambda trial: trial[0])[1]


def realmlp(task: Task) -> Answers:
    """RealMLP with its tuned defaults (Holzmüller et al., 2024, "Better by default") and ``EPOCHS`` passes."""
    import pytabkit  # noqa: PLC0415 (it need not be installed)

    parts = task.parts
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    train, validation, test = task.columns(parts.train, parts.validation, parts.test)
    train, validation, test = imputer.fit_transform(train), imputer.transform(validation), imputer.transform(test)
    sort = pytabkit.RealMLP_TD_Regressor if task.classes is None else pytabkit.RealMLP_TD_Classifier
    network = sort(device="cpu", random_state=task.seed, n_epochs=EPOCHS, n_cv=1, n_threads=1)
    with silence_libraries():
        network.fit(train, task.target(parts.train), validation, task.target(parts.validation))
        return _answers(network, test)


BASE, SEARCH = "LightGBM default", f"LightGBM, {TRIALS} trials"

RIVALS = {
    BASE: Rival(lightgbm_default, "lightgbm"),
    SEARCH: Rival(lightgbm_search, "lightgbm"),
    "XGBoost default": Rival(xgboost_default, "xgboost"),
    "histogram boosting": Rival(histogram_boosting, "sklearn"),
    "RealMLP": Rival(realmlp, "pytabkit"),
}


def _as_it_comes(task: Task, classifier: Any, regressor: Any, **settings: Any) -> Answers:
    """Nothing is chosen, so the validation rows are for training too."""
    learnt, test = task.columns(task.both, task.parts.test)
    estimator = (regressor if task.classes is None else classifier)(random_state=task.seed, **settings)
    return _answers(estimator.fit(learnt, task.target(task.both)), test)


def _answers(estimator: Any, columns: Columns) -> Answers:
    ask = estimator.predict_proba if hasattr(estimator, "predict_proba") else estimator.predict
    with silence_libraries():
        return np.asarray(ask(columns))


def _settings(seed: int) -> Iterator[dict[str, Any]]:
    generator = np.random.default_rng(seed)

    def between(low: float, high: float) -> float:
        return float(np.exp(generator.uniform(np.log(low), np.log(high))))

    for _ in range(TRIALS):
        yield {
            "learning_rate": between(0.03, 0.2),
            "num_leaves": round(between(8, 256)),
            "min_child_samples": round(between(3, 100)),
            "subsample": generator.uniform(0.6, 1),
            "subsample_freq": 1,
            "colsample_bytree": generator.uniform(0.5, 1),
            "reg_lambda": between(1e-3, 10),
        }
