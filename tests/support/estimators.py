"""A matrix and objectives to fit estimators with, and a classifier that no converter knows."""

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

from model_deployer.training.preprocessing.matrix import Matrix


def matrix(rows: int, classes: int, seed: int = 0) -> Matrix:
    """Return columns with ties, missing values and very different magnitudes."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, 5)) * [1, 1e-3, 1e6, 1, 1]
    values[:, 3] = random.integers(0, 4, rows)
    truth = values[:, 0] + values[:, 3] - values[:, 2] / 1e6 + random.normal(size=rows) / 3
    values[random.random(values.shape) < 0.1] = np.nan
    codes = np.searchsorted(np.quantile(truth, np.arange(1, classes) / classes), truth)
    return Matrix(torch.from_numpy(values.astype(np.float32)), truth if classes == 1 else codes)


def objective(classes: int) -> dict[str, Any]:
    """Return the objective for this number of classes; 1 for a quantity."""
    return {1: {"objective": "regression"}, 2: {"objective": "binary"}}.get(
        classes, {"objective": "multiclass", "num_class": classes}
    )


class Opaque(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier that no converter knows."""

    def fit(self, columns: Any, target: Any) -> "Opaque":
        self.classes_ = np.unique(target)
        return self

    def predict_proba(self, columns: Any) -> Any:
        return np.full((len(columns), len(self.classes_)), 1 / len(self.classes_))


class OwnLogisticRegression(LogisticRegression):  # type: ignore[misc]  # scikit-learn has no type hints
    """A subclass without anything of its own."""


class Inverted(LogisticRegression):  # type: ignore[misc]
    """A subclass that predicts differently from its base class."""

    def predict_proba(self, X: Any) -> Any:  # noqa: N803 (the name in the interface)
        """Return the probabilities of the other class."""
        return super().predict_proba(X)[:, ::-1]


def called(**parameters: Any) -> Any:
    """Fail: a function in the place of a class must not be called."""
    raise AssertionError(parameters)
