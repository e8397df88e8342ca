"""The reference distributions of features and predictions in training, the baseline for drift of live traffic."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from model_deployer.contract.features import Feature
from model_deployer.contract.outputs import Arrays, Output
from model_deployer.contract.reference import (
    CategoryDistribution,
    CountDistribution,
    Distribution,
    NormDistribution,
    NumberDistribution,
    Reference,
    TextDistribution,
    norms,
    watched_numbers,
)
from model_deployer.training.data.request_rows import graph_column

#: The levels of the quantiles that describe the distribution of a number.
QUANTILES = np.linspace(0, 1, 21)

#: The number of categories, the most frequent ones, that have a frequency of their own.
MAX_CATEGORIES = 50


def reference(
    features: Sequence[Feature], train: pl.DataFrame, predictions: Arrays, output: Output | None = None
) -> Reference:
    """Return the content of reference.json.

    Images have no distribution: their drift is not watched.

    Args:
        features: The features, which are columns of ``train``.
        train: The conformed rows that the model was fitted on: float64 columns with NaN and string columns with "" for
            missing values, and arrays or lists of float64 for vectors, sequences and tensors.
        predictions: The output tensors for the test part, float32 [rows, columns]; each column has a distribution.
        output: The output of the contract; of an embedding, only the norm has a distribution.
    """
    if output is not None and output.task == "embedding":
        names = list(predictions)
    else:
        names = [f"{name}[{column}]" for name, array in predictions.items() for column in range(array.shape[1])]
    return Reference(
        features={
            feature.name: _feature(feature, train[feature.name]) for feature in features if feature.kind != "image"
        },
        predictions={name: _prediction(name, _quantiles(watched_numbers(predictions, name))) for name in names},
    )


def _prediction(name: str, quantiles: tuple[float, ...]) -> Distribution:
    return NumberDistribution(quantiles=quantiles) if "[" in name else NormDistribution(norms=quantiles)


def _feature(feature: Feature, values: pl.Series) -> Distribution:
    if feature.kind == "sequence":
        numbers = values.list.len().to_numpy()
        return CountDistribution(missing=float(np.mean(numbers == 0)), counts=_quantiles(numbers[numbers > 0]))
    if feature.kind in ("vector", "tensor"):
        lengths = norms(graph_column(feature, values))
        is_present = np.isfinite(lengths)
        return NormDistribution(missing=float(np.mean(~is_present)), norms=_quantiles(lengths[is_present]))
    is_missing = values == "" if feature.dtype == "string" else ~values.is_finite()
    missing = float(np.mean(is_missing.to_numpy()))
    present = values.filter(~is_missing)
    if feature.kind == "text":
        return TextDistribution(missing=missing, lengths=_quantiles(present.str.len_chars().to_numpy()))
    if feature.dtype == "string":
        return _frequencies(present, missing)
    return NumberDistribution(missing=missing, quantiles=_quantiles(present.to_numpy()))


def _quantiles(values: Any) -> tuple[float, ...]:
    return tuple(np.quantile(values, QUANTILES).tolist()) if len(values) else ()


def _frequencies(values: pl.Series, missing: float) -> CategoryDistribution:
    counts = values.alias("level").value_counts(name="rows").sort(["rows", "level"], descending=[True, False])
    frequent, rows = counts.head(MAX_CATEGORIES), max(1, len(values))
    shares = {level: count / rows for level, count in frequent.iter_rows()}
    other = (len(values) - frequent["rows"].sum()) / rows
    return CategoryDistribution(missing=missing, frequencies=shares, other=other)
