"""The slices that a comparison shows: by protocol and version, by the most important fields, and the evaluation's."""

from collections.abc import Iterator

import polars as pl

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.features import Feature
from model_deployer.monitoring.slices import TrafficSlice, evaluated_slices, field_slices, value_slices

#: The fields whose values are slices, the categories of each, and the slices of the evaluation.
_MAX_FIELDS, _MAX_VALUES, _MAX_EVALUATED = 3, 8, 8


def traffic_slices(table: pl.DataFrame, model: Artifact) -> list[TrafficSlice]:
    """Return the slices of captured rows that are neither empty nor everything, each once.

    Args:
        table: The rows, with the columns of captured traffic.
        model: The champion, whose evaluation says which fields matter.
    """
    slices = {part.name: part for part in _all_slices(table, model)}
    return [part for part in slices.values() if 0 < part.rows.sum() < len(table)]


def _all_slices(table: pl.DataFrame, model: Artifact) -> Iterator[TrafficSlice]:
    for column in ("protocol", "version"):
        yield from value_slices(column, table[column], _MAX_VALUES)
    distributions = model.reference.features if model.reference else {}
    for feature in _important_fields(table, model):
        yield from field_slices(feature, table[_column(feature)], distributions.get(feature.name), _MAX_VALUES)
    yield from evaluated_slices(table, model, _MAX_EVALUATED)


def _important_fields(table: pl.DataFrame, model: Artifact) -> list[Feature]:
    features = {feature.name: feature for feature in model.contract.features}
    importance = model.evaluation.importance
    names = [each.feature for each in importance.features] if importance else list(features)
    known = [features[name] for name in names if name in features]
    return [feature for feature in known if _varies(table, feature)][:_MAX_FIELDS]


def _varies(table: pl.DataFrame, feature: Feature) -> bool:
    if _column(feature) not in table.columns:
        return False
    values = table[_column(feature)]
    is_divisible = values.dtype.is_numeric() or values.dtype.is_temporal() or values.dtype in (pl.String, pl.Boolean)
    return is_divisible and values.n_unique() > 1


def _column(feature: Feature) -> str:
    return f"input.{feature.name}"
