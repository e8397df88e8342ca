"""Transformers as users write them."""

from typing import Any

import numpy as np
import polars as pl
from sklearn.base import BaseEstimator, TransformerMixin


class Distance(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The distance from the mean of the rows that it was fitted on."""

    def fit(self, frame: pl.DataFrame, target: Any = None) -> "Distance":
        self.center = frame.mean().to_numpy()
        self.rows = frame.height
        return self

    def transform(self, frame: pl.DataFrame) -> Any:
        return np.sqrt(((frame.to_numpy() - self.center) ** 2).sum(axis=1, keepdims=True))


class Named(Distance):
    """Returns a DataFrame."""

    def transform(self, frame: pl.DataFrame) -> Any:
        return pl.DataFrame({"rows_of_fit": [self.rows] * frame.height, "x": frame["x"] * 2})


class Short(Distance):
    """Returns too few rows."""

    def transform(self, frame: pl.DataFrame) -> Any:
        return np.zeros((3, 1))


class Texts(Distance):
    """Returns texts."""

    def transform(self, frame: pl.DataFrame) -> Any:
        return np.array([["a"]] * frame.height)


class Broken(Distance):
    """Fails."""

    def fit(self, frame: pl.DataFrame, target: Any = None) -> "Distance":
        raise KeyError("no such key")
