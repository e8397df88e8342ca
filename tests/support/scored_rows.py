"""Made-up models with rows, whose errors are known."""

from collections.abc import Callable

import numpy as np
import polars as pl

from model_deployer.contract.features import Boolean, Categorical, Datetime, Feature, Numeric
from model_deployer.contract.outputs import Arrays, Classification, Regression, SingleTarget
from model_deployer.training.evaluation.scored_rows import ScoredRows
from tests.support.tables import EPOCH_2013

FEATURES: tuple[Feature, ...] = (
    Numeric(name="distance", missing="impute"),
    Numeric(name="noise"),
    Boolean(name="night", missing="impute"),
    Datetime(name="when"),
    Categorical(name="origin", missing="impute"),
)
TWO = Classification(target="late", labels=("no", "yes"), positive="yes", threshold=0.5)
THREE = Classification(target="late", labels=("no", "a bit", "very"))
QUANTITY = Regression(target="delay", unit="minutes")
COUNT = Regression(target="calls", count=True)
QUANTILE = Regression(target="delay", quantile=0.95)


def table(rows: int, seed: int = 0) -> pl.DataFrame:
    """Return rows whose columns are independent of each other."""
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "distance": np.where(random.random(rows) < 0.1, np.nan, random.normal(size=rows)),
            "noise": random.normal(size=rows),
            "night": random.choice([0.0, 1.0, np.nan], rows),
            "when": EPOCH_2013 + random.integers(0, 365 * 24, rows) * 3600.0,
            "origin": random.choice(["", "EWR", "JFK", "LGA"], rows, p=[0.05, 0.6, 0.25, 0.1]),
        }
    )


def true_probability(frame: pl.DataFrame) -> np.ndarray:
    """Return the true probability of "yes", float64 [rows]: it rises with the distance, and is higher from JFK."""
    distance = frame["distance"].fill_nan(0.0).to_numpy()
    jfk = (frame["origin"] == "JFK").to_numpy()
    return np.asarray(1 / (1 + np.exp(-2 * distance - jfk)))


def predict_two(frame: pl.DataFrame) -> Arrays:
    """Return the predictions of a perfect model of two classes."""
    positive = true_probability(frame)
    return {"probabilities": np.stack([1 - positive, positive], 1)}


def predict_quantity(frame: pl.DataFrame) -> Arrays:
    """Return the predictions of a perfect regression with a standard error of 1, and its 90 % interval."""
    value = 3 * true_probability(frame)[:, None]
    return {"value": value, "lower": value - 1.645, "upper": value + 1.645}


def predict_count(frame: pl.DataFrame) -> Arrays:
    """Return the predictions of a perfect model of a count, with an interval of three standard deviations."""
    rate = 9 * true_probability(frame)[:, None]
    return {"value": rate, "lower": np.maximum(rate - 3 * np.sqrt(rate), 0), "upper": rate + 3 * np.sqrt(rate)}


def two_class_rows(rows: int, seed: int = 0, predict: Callable[[pl.DataFrame], Arrays] = predict_two) -> ScoredRows:
    frame = table(rows, seed)
    target = (np.random.default_rng(seed + 1).random(rows) < true_probability(frame)).astype(np.int64)
    return scored_rows(frame, target, TWO, predict)


def quantity_rows(rows: int, seed: int = 0) -> ScoredRows:
    frame = table(rows, seed)
    target = 3 * true_probability(frame) + np.random.default_rng(seed + 1).normal(size=rows)
    return scored_rows(frame, target, QUANTITY, predict_quantity)


def count_rows(rows: int, seed: int = 0) -> ScoredRows:
    frame = table(rows, seed)
    target = np.random.default_rng(seed + 1).poisson(9 * true_probability(frame)).astype(np.float64)
    return scored_rows(frame, target, COUNT, predict_count)


def quantile_rows(rows: int, seed: int = 0) -> ScoredRows:
    """Return rows with a perfect model of a quantile: the upper end of a perfect regression's interval."""
    scored = quantity_rows(rows, seed)

    def predict(frame: pl.DataFrame) -> Arrays:
        arrays = predict_quantity(frame)
        return {**arrays, "value": arrays["upper"]}

    return scored_rows(scored.frame, scored.target, QUANTILE, predict)


def scored_rows(
    frame: pl.DataFrame, target: np.ndarray, output: SingleTarget, predict: Callable[[pl.DataFrame], Arrays]
) -> ScoredRows:
    features = tuple(feature for feature in FEATURES if feature.name in frame.columns)
    return ScoredRows(predict, frame, features, output, target, np.ones(len(target)))
