"""Slices of captured rows, by the definitions of the evaluation: conditions on one field, and pairs of them.

A slice is one category, one state of a boolean, one quarter of the numbers or times of the table, the missing values of
a field, or a condition of evaluation.json. The quarters are those of the table (reference.json) and not of the rows, so
that a slice means the same at every look.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.features import Feature
from model_deployer.contract.number_format import exact, since_epoch
from model_deployer.contract.reference import Distribution, NumberDistribution

#: The quantiles between the quarters among the 21 of a distribution.
_QUARTERS = slice(0, 21, 5)

#: The significant digits of the ends of a range, as the evaluation writes them.
_DIGITS = 4

_RANGE = re.compile(r"from (.+) to (.+)")


class TrafficSlice(NamedTuple):
    """A slice.

    Attributes:
        name: Its condition.
        rows: Which rows are in it, bool [rows].
    """

    name: str
    rows: NDArray[np.bool_]


def value_slices(name: str, values: pl.Series, max_values: int) -> Iterator[TrafficSlice]:
    """Yield the slices of the most frequent values of a column, and that of its missing ones.

    Args:
        name: The name of the field.
        values: Texts, booleans, or the names of bins.
        max_values: The number of values.
    """
    texts = values.cast(pl.String)
    frequent = texts.drop_nulls().value_counts(sort=True).sort(["count", texts.name], descending=[True, False])
    for value in frequent[texts.name].head(max_values):
        yield TrafficSlice(f"{name} = {value}", _bools(texts == value))
    yield TrafficSlice(f"{name} missing", values.is_null().to_numpy())


def field_slices(
    feature: Feature, values: pl.Series, distribution: Distribution | None, max_values: int
) -> Iterator[TrafficSlice]:
    """Yield the slices of a captured field.

    Args:
        feature: The field.
        values: Its captured values.
        distribution: Its distribution in the table; without one, numbers have no slices.
        max_values: The number of categories.
    """
    if values.dtype in (pl.String, pl.Boolean):
        yield from value_slices(feature.name, values, max_values)
    elif isinstance(distribution, NumberDistribution) and distribution.quantiles:
        yield from _quarters(feature, values, distribution)


def evaluated_slices(table: pl.DataFrame, model: Artifact, max_slices: int) -> Iterator[TrafficSlice]:
    """Yield the slices of evaluation.json whose fields are captured with their values, the worst first.

    Args:
        table: Captured rows.
        model: The model.
        max_slices: How many slices of the evaluation are looked at.
    """
    features = {feature.name: feature for feature in model.contract.features}
    for result in (model.evaluation.slices or ())[:max_slices]:
        rows = condition_rows(table, features, result.slice)
        if rows is not None:
            yield TrafficSlice(result.slice, rows)


def condition_rows(table: pl.DataFrame, features: Mapping[str, Feature], condition: str) -> NDArray[np.bool_] | None:
    """Return which rows satisfy a condition of evaluation.json, bool [rows]; None if captured values do not say.

    Args:
        table: Captured rows.
        features: The fields by name.
        condition: ``origin = JFK``, ``distance from 0 to 500 and night = true``.
    """
    for separator in re.finditer(" and ", condition):  # a category may have this word, too
        first, second = condition[: separator.start()], condition[separator.end() :]
        others = condition_rows(table, features, second)
        if others is not None and (rows := _single(table, features, first)) is not None:
            return rows & others
    return _single(table, features, condition)


def _single(table: pl.DataFrame, features: Mapping[str, Feature], condition: str) -> NDArray[np.bool_] | None:
    name = max((each for each in features if condition.startswith(f"{each} ")), key=len, default=None)
    if name is None or f"input.{name}" not in table.columns:
        return None
    values, rest = table[f"input.{name}"], condition.removeprefix(f"{name} ")
    if rest in ("missing", "present"):
        is_missing = values.is_null() | (values.is_nan() if values.dtype.is_float() else False)
        return _bools(is_missing if rest == "missing" else ~is_missing)
    if ends := _RANGE.fullmatch(rest):
        return _inside(features[name], values, *ends.groups())
    if not rest.startswith("= "):
        return None
    value = rest.removeprefix("= ")
    if values.dtype in (pl.String, pl.Boolean):
        return _bools(values.cast(pl.String) == value)
    return _inside(features[name], values, value, value)


def _inside(feature: Feature, values: pl.Series, first: str, last: str) -> NDArray[np.bool_] | None:
    """Return the rows between two ends, as they are written: numbers to four digits, times to the minute."""
    if isinstance(values.dtype, pl.Datetime):
        try:
            low, high = (datetime.fromisoformat(end) for end in (first, last))
        except ValueError:
            return None
        local = values.dt.replace_time_zone(None)
        return _bools((local >= low) & (local < high + timedelta(minutes=1)))
    if not values.dtype.is_numeric():
        return None
    try:
        ends = float(first), float(last)
    except ValueError:
        return None
    rounded = values if feature.kind == "integer" else values.cast(pl.Float64).round_sig_figs(_DIGITS)
    return _bools(rounded.is_between(*ends))


def _quarters(feature: Feature, values: pl.Series, distribution: NumberDistribution) -> Iterator[TrafficSlice]:
    """Yield the quarters of the table. The first and the last one are open: rows may be out of its range."""
    numbers = _numbers(values)
    edges = np.unique(distribution.quantiles[_QUARTERS])
    inner = edges[1:-1]
    parts = np.searchsorted(inner, numbers)
    for part, (low, high) in enumerate(pairwise(edges.tolist()) if len(edges) > 1 else [(edges[0], edges[0])]):
        yield TrafficSlice(
            f"{feature.name} from {_end(feature, low)} to {_end(feature, high)}", np.isfinite(numbers) & (parts == part)
        )
    yield TrafficSlice(f"{feature.name} missing", ~np.isfinite(numbers))


def _numbers(values: pl.Series) -> NDArray[np.float64]:
    if isinstance(values.dtype, pl.Datetime):
        values = values.dt.epoch("us") / 1e6
    return np.asarray(values.cast(pl.Float64).to_numpy())


def _end(feature: Feature, number: float) -> str:
    if feature.kind == "datetime":
        return since_epoch(number)
    return f"{number:.0f}" if feature.kind == "integer" else exact(float(f"{number:.{_DIGITS}g}"))


def _bools(values: pl.Series) -> NDArray[np.bool_]:
    return values.fill_null(False).to_numpy()
