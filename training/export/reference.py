"""What features and predictions look like in training: what live traffic is compared with later."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from model_deployer.contract.features import Feature
from model_deployer.contract.outputs import Arrays
from model_deployer.contract.reference import (
    CategoryDistribution,
    Distribution,
    NumberDistribution,
    Reference,
    TextDistribution,
)

#: Quantiles that stand for the distribution of a number.
QUANTILES = np.linspace(0, 1, 21)

#: Categories whose frequency is kept; the others are summed up.
MOST_CATEGORIES = 50


def reference(features: Sequence[Feature], train: pl.DataFrame, predictions: Arrays) -> Reference:
    """The content of reference.json.

    Args:
        features: The columns of ``train``.
        train: The conformed rows that the model was fitted on.
        predictions: The output tensors for the test part; each column of each is a distribution.
    """
    return Reference(
        features={feature.name: _feature(feature, train[feature.name]) for feature in features},
        predictions={
            f"{name}[{column}]": NumberDistribution(quantiles=_quantiles(array[:, column]))
            for name, array in predictions.items()
            for column in range(array.shape[1])
        },
    )


def _feature(feature: Feature, values: pl.Series) -> Distribution:
    absent = values == "" if feature.dtype == "string" else ~values.is_finite()
    missing = float(np.mean(absent.to_numpy()))
    present = values.filter(~absent)
    if feature.kind == "text":
        return TextDistribution(missing=missing, lengths=_quantiles(present.str.len_chars().to_numpy()))
    if feature.dtype == "string":
        return _frequencies(present, missing)
    return NumberDistribution(missing=missing, quantiles=_quantiles(present.to_numpy()))


def _quantiles(values: Any) -> tuple[float, ...]:
    return tuple(np.quantile(values, QUANTILES).tolist()) if len(values) else ()


def _frequencies(values: pl.Series, missing: float) -> CategoryDistribution:
    counts = values.alias("level").value_counts(name="rows").sort(["rows", "level"], descending=[True, False])
    kept, rows = counts.head(MOST_CATEGORIES), max(1, len(values))
    shares = {level: count / rows for level, count in kept.iter_rows()}
    other = (len(values) - kept["rows"].sum()) / rows
    return CategoryDistribution(missing=missing, frequencies=shares, other=other)
