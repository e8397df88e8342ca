"""Probe rows of a trained model: rows on which its export must agree with the torch module, besides the test part."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from model_deployer.adoption.equality.probes import build_probes
from model_deployer.adoption.interface import Kind
from model_deployer.contract.features import Feature, Integer
from model_deployer.training.data.request_rows import legal
from model_deployer.training.models.model import Model

#: The maximum number of thresholds of one feature, at regular intervals, and of rows of the table to start from.
MAX_THRESHOLDS, MAX_TABLE_ROWS = 200, 1_000


def probe_rows(model: Model, features: Sequence[Feature], table: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return rows in which a feature has a value at which the model changes its behaviour, or an unusual one.

    Args:
        model: The fitted model.
        features: Its features.
        table: Conformed rows that the other values are from.
        seed: The seed of the choice of rows and values.

    Returns:
        Conformed rows that a client may send.
    """
    kinds: dict[str, Kind] = {feature.name: "text" if feature.dtype == "string" else "number" for feature in features}
    critical = critical_values(model)
    whole = [feature.name for feature in features if isinstance(feature, Integer)]
    rows = build_probes(kinds, critical, table.head(MAX_TABLE_ROWS), seed, whole).frame
    return rows.filter(legal(features, rows))


def critical_values(model: Model) -> dict[str, set[float | str]]:
    """Return the values of raw features at which a model changes its behaviour.

    They are the levels of categories, the bounds that numbers are clamped to, and the thresholds of trees.
    """
    preprocessor = model.blueprint.preprocessor
    critical: dict[str, set[float | str]] = {name: set(levels) for name, levels in preprocessor.levels.items()}
    critical |= {name: set(encoding.levels) for name, encoding in preprocessor.encoded.items()}
    thresholds = list(_thresholds(model))
    for column, name in enumerate(preprocessor.numeric):
        bounds = (model.scaling.low[column].item(), model.scaling.high[column].item())
        median = model.scaling.median[column].item()
        numbers = np.unique([threshold for index, threshold in thresholds if index == column])
        spread = numbers[:: max(1, len(numbers) // MAX_THRESHOLDS)]
        critical[name] = {*bounds, *(median + spread).tolist()}
    return critical


def _thresholds(model: Model) -> Iterator[tuple[int, float]]:
    """Yield the column and the threshold of each split of a tree."""
    if model.estimator is None:
        return
    for node in model.estimator.model.graph.node:
        attributes = {attribute.name: attribute for attribute in node.attribute}
        if "nodes_values" in attributes:
            yield from zip(attributes["nodes_featureids"].ints, attributes["nodes_values"].floats, strict=True)
