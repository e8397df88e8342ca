"""Slices of captured rows: by protocol and version, by the most important fields, and those of the evaluation."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.number_format import exact

#: The fields whose values are slices, the categories of each, the parts of a number, and the slices of the evaluation.
_MAX_FIELDS, _MAX_VALUES, _PARTS, _MAX_EVALUATED = 3, 8, 4, 8

_RANGE = re.compile(r"from (\S+) to (\S+)")


class TrafficSlice(NamedTuple):
    """A slice.

    Attributes:
        name: Its condition.
        rows: Which rows are in it, bool [rows].
    """

    name: str
    rows: NDArray[np.bool_]


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
        yield from _values(table, column, column)
    for name in _important_fields(table, model):
        yield from _of_field(table, name)
    for result in (model.evaluation.slices or ())[:_MAX_EVALUATED]:
        rows = _condition(table, model.contract.names, result.slice)
        if rows is not None:
            yield TrafficSlice(result.slice, rows)


def _important_fields(table: pl.DataFrame, model: Artifact) -> list[str]:
    importance = model.evaluation.importance
    names = [each.feature for each in importance.features] if importance else list(model.contract.names)
    return [name for name in names if _column(name) in table.columns and _varies(table[_column(name)])][:_MAX_FIELDS]


def _varies(values: pl.Series) -> bool:
    is_divisible = values.dtype.is_numeric() or values.dtype in (pl.String, pl.Boolean)
    return is_divisible and values.n_unique() > 1


def _column(field: str) -> str:
    return f"input.{field}"


def _of_field(table: pl.DataFrame, name: str) -> Iterator[TrafficSlice]:
    values = table[_column(name)]
    if values.dtype.is_numeric():
        yield from _quarters(name, values)
    elif values.dtype in (pl.String, pl.Boolean):
        yield from _values(table, _column(name), name)


def _values(table: pl.DataFrame, column: str, name: str) -> Iterator[TrafficSlice]:
    values = table[column].cast(pl.String)
    frequent = values.drop_nulls().value_counts(sort=True).head(_MAX_VALUES)[column]
    for value in frequent:
        yield TrafficSlice(f"{name} = {value}", (values == value).fill_null(False).to_numpy())
    yield TrafficSlice(f"{name} missing", values.is_null().to_numpy())


def _quarters(name: str, values: pl.Series) -> Iterator[TrafficSlice]:
    numbers = values.cast(pl.Float64).to_numpy()
    present = numbers[np.isfinite(numbers)]
    if not present.size:
        return
    edges = np.unique(np.quantile(present, np.linspace(0, 1, _PARTS + 1)))
    for low, high in pairwise(edges.tolist()):
        is_last = high == edges[-1]
        inside = (numbers >= low) & ((numbers <= high) if is_last else (numbers < high))
        yield TrafficSlice(f"{name} from {exact(float(f'{low:.4g}'))} to {exact(float(f'{high:.4g}'))}", inside)
    yield TrafficSlice(f"{name} missing", np.isnan(numbers))


def _condition(table: pl.DataFrame, names: Sequence[str], condition: str) -> NDArray[np.bool_] | None:
    """Return the rows that satisfy a condition of evaluation.json; None if captured values do not say."""
    name = max((each for each in names if condition.startswith(f"{each} ")), key=len, default=None)
    if name is None or _column(name) not in table.columns:
        return None
    first, separator, second = condition.partition(" and ")
    rows = _single(table[_column(name)], first.removeprefix(f"{name} "))
    if rows is None or not separator:
        return rows
    others = _condition(table, names, second)
    return None if others is None else rows & others


def _single(values: pl.Series, condition: str) -> NDArray[np.bool_] | None:
    if condition == "missing":
        return values.is_null().to_numpy()
    if condition.startswith("= "):
        wanted = condition.removeprefix("= ")
        if values.dtype.is_numeric():
            number = pl.Series([wanted]).cast(pl.Float64, strict=False)[0]
            return None if number is None else (values == number).fill_null(False).to_numpy()
        return (values.cast(pl.String) == wanted).fill_null(False).to_numpy()
    ends = _RANGE.fullmatch(condition)
    if ends is None or not values.dtype.is_numeric():
        return None
    low, high = (float(end.replace(",", "")) for end in ends.groups())
    return values.is_between(low, high).fill_null(False).to_numpy()
