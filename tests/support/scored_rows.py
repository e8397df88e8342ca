"""Exams of made-up models, whose faults are known."""

from collections.abc import Callable

import numpy as np
import polars as pl

from model_deployer.contract.features import Boolean, Categorical, Datetime, Feature, Numeric
from model_deployer.contract.outputs import Arrays, Classification, Output, Regression
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
    """Rows in which all columns are independent of each other."""
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


def chance(frame: pl.DataFrame) -> np.ndarray:
    """The true probability of "yes": it rises with the distance, and is higher from JFK."""
    distance = frame["distance"].fill_nan(0.0).to_numpy()
    jfk = (frame["origin"] == "JFK").to_numpy()
    return np.asarray(1 / (1 + np.exp(-2 * distance - jfk)))


def two(frame: pl.DataFrame) -> Arrays:
    """The answers of a perfect model of two classes."""
    positive = chance(frame)
    return {"probabilities": np.stack([1 - positive, positive], 1)}


def quantity(frame: pl.DataFrame) -> Arrays:
    """The answers of a perfect regression of a target with a deviation of 1, and its 90 % interval."""
    value = 3 * chance(frame)[:, None]
    return {"value": value, "lower": value - 1.645, "upper": value + 1.645}


def count(frame: pl.DataFrame) -> Arrays:
    """The answers of a perfect model of a count, and an interval of three deviations."""
    rate = 9 * chance(frame)[:, None]
    return {"value": rate, "lower": np.maximum(rate - 3 * np.sqrt(rate), 0), "upper": rate + 3 * np.sqrt(rate)}


def exam_of_two(rows: int, seed: int = 0, predict: Callable[[pl.DataFrame], Arrays] = two) -> ScoredRows:
    frame = table(rows, seed)
    target = (np.random.default_rng(seed + 1).random(rows) < chance(frame)).astype(np.int64)
    return exam(frame, target, TWO, predict)


def exam_of_quantity(rows: int, seed: int = 0) -> ScoredRows:
    frame = table(rows, seed)
    target = 3 * chance(frame) + np.random.default_rng(seed + 1).normal(size=rows)
    return exam(frame, target, QUANTITY, quantity)


def exam_of_count(rows: int, seed: int = 0) -> ScoredRows:
    frame = table(rows, seed)
    target = np.random.default_rng(seed + 1).poisson(9 * chance(frame)).astype(np.float64)
    return exam(frame, target, COUNT, count)


def exam_of_quantile(rows: int, seed: int = 0) -> ScoredRows:
    """The upper end of a perfect regression's interval."""
    judged = exam_of_quantity(rows, seed)

    def predict(frame: pl.DataFrame) -> Arrays:
        arrays = quantity(frame)
        return {**arrays, "value": arrays["upper"]}

    return exam(judged.frame, judged.target, QUANTILE, predict)


def exam(
    frame: pl.DataFrame, target: np.ndarray, output: Output, predict: Callable[[pl.DataFrame], Arrays]
) -> ScoredRows:
    features = tuple(feature for feature in FEATURES if feature.name in frame.columns)
    return ScoredRows(predict, frame, features, output, target, np.ones(len(target)))
