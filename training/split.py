"""Which rows are for training, for validation and for the test."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from contract.errors import DataError
from training.columns import canonical
from training.spec import Boundary, Spec
from training.target import Target

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """The rows of each part, as ascending indices; every row is in exactly one."""

    train: Rows
    validation: Rows
    test: Rows


def split(frame: pl.DataFrame, target: Target, spec: Spec, weights: NDArray[np.float64] | None = None) -> Parts:
    """Divide the rows as ``split`` of model.yaml says; the same seed gives the same parts.

    Raises:
        DataError: A part would be empty or of no weight, the training part would lack a class or hold a single value,
            a row has no time or group, or there are no classes to stratify by.
    """
    name = method(target, spec)
    if name == "stratified" and target.labels is None:
        raise DataError(f"{spec.place('split', 'method')}: a split by stratified needs classes; say `random`")
    divide: dict[str, Callable[[], Rows]] = {
        "random": lambda: _by_class(np.zeros(frame.height, np.int64), spec),
        "stratified": lambda: _by_class(target.values, spec),
        "group": lambda: _by_group(frame, spec),
        "time": lambda: _by_time(frame, spec),
    }
    part = divide[name]()
    parts = Parts(*(np.flatnonzero(part == index) for index in range(3)))
    _check(parts, target, name, spec)
    _check_weights(parts, weights, spec)
    return parts


def method(target: Target, spec: Spec) -> str:
    """How the rows are divided: what model.yaml says, else what its columns and the target suggest."""
    if spec.split.method is not None:
        return spec.split.method
    if spec.by_time:
        return "time"
    if spec.data.group is not None:
        return "group"
    return "random" if target.labels is None else "stratified"


def instants(column: pl.Series) -> pl.Series:
    """When each row happened, as Float64: the numbers of the time column, or seconds; null where there is no time."""
    return canonical(column, "numeric" if column.dtype.is_numeric() else "datetime")


def validation_begins(frame: pl.DataFrame, spec: Spec) -> float:
    """The first instant of the validation part, where every row of the table has a time."""
    column = frame[str(spec.data.time)]
    return _boundaries(column, instants(column), spec)[0]


def _by_class(classes: Rows, spec: Spec) -> Rows:
    """Each class in the same shares; one that is too small for three parts is for training."""
    generator = np.random.default_rng(spec.seed)
    part = np.zeros(len(classes), np.int64)
    for code in np.unique(classes):
        rows = generator.permutation(np.flatnonzero(classes == code))
        test = min(round(len(rows) * _share(spec.split.test)), len(rows) - 1)
        validation = min(round(len(rows) * _share(spec.split.validation)), len(rows) - 1 - test)
        part[rows[:test]] = 2
        part[rows[test : test + validation]] = 1
    return part


def _by_group(frame: pl.DataFrame, spec: Spec) -> Rows:
    """Whole groups, drawn at random: first for the test up to its share, then for validation; the rest is training.

    Groups larger than a part are drawn last, so that they end in the training part.
    """
    column = canonical(frame[str(spec.data.group)], "categorical")
    if column.null_count():
        raise DataError(f"{spec.place('data', 'group')}: '{column.name}' is missing in {column.null_count():,} rows")
    codes: Rows = column.rank("dense").to_numpy().astype(np.int64) - 1
    sizes = np.bincount(codes)
    wanted = {2: _share(spec.split.test) * len(codes), 1: _share(spec.split.validation) * len(codes)}
    order = np.random.default_rng(spec.seed).permutation(len(sizes))
    order = order[np.argsort(sizes[order] > min(wanted.values()), kind="stable")]
    part = np.zeros(len(sizes), np.int64)
    position = 0
    for index, rows in wanted.items():
        taken = 0.0
        for group in order[position : len(order) - index]:  # every later part keeps a group
            if taken and taken + sizes[group] / 2 > rows:  # with the group it would be further from its share
                break
            part[group] = index
            taken += sizes[group]
            position += 1
    return part[codes]


def _by_time(frame: pl.DataFrame, spec: Spec) -> Rows:
    """The latest rows are the test, those before them validation; rows of one instant stay together."""
    column = frame[str(spec.data.time)]
    place = spec.place("data", "time")
    happened = instants(column)
    if missing := happened.null_count():
        raise DataError(
            f"{place}: '{column.name}' is missing or no time in {missing:,} rows; expected ISO 8601 such as 2013-11-01"
        )
    validation, test = _boundaries(column, happened, spec)
    times = happened.to_numpy()
    return np.add(times >= validation, times >= test, dtype=np.int64)


def _boundaries(column: pl.Series, happened: pl.Series, spec: Spec) -> tuple[float, float]:
    validation, test = spec.split.validation, spec.split.test
    if isinstance(validation, datetime) and isinstance(test, datetime):
        return _seconds(validation, column, spec), _seconds(test, column, spec)
    ordered = happened.sort()
    late = _share(test)
    ends = [round(len(ordered) * (1 - share)) for share in (late + _share(validation), late)]
    first, second = (float(ordered[min(end, len(ordered) - 1)]) for end in ends)
    return first, second


def _seconds(boundary: datetime, column: pl.Series, spec: Spec) -> float:
    """A date of model.yaml as the time column counts: in its own zone, where the date names none."""
    place = spec.place("split")
    if column.dtype.is_numeric():
        raise DataError(f"{place}: '{column.name}' holds numbers, so the split has to be given as shares, not dates")
    zone = getattr(column.dtype, "time_zone", None)
    if boundary.tzinfo is not None and zone is None:
        raise DataError(f"{place}: '{column.name}' holds local times, so the dates must not have an offset")
    return boundary.replace(tzinfo=boundary.tzinfo or ZoneInfo(zone or "UTC")).timestamp()


def _share(boundary: Boundary) -> float:
    assert isinstance(boundary, float), "Spec allows dates only under a split by time"
    return boundary


def _check(parts: Parts, target: Target, name: str, spec: Spec) -> None:
    place = spec.place("split")
    for field in fields(parts):
        if not len(getattr(parts, field.name)):
            raise DataError(f"{place}: no row is in the {field.name} part of a split by {name}; {_REMEDIES[name]}")
    if target.labels is None:
        if len(np.unique(target.values[parts.train])) < 2:
            raise DataError(
                f"{place}: the target has one value in the training part of a split by {name}; {_REMEDIES[name]}"
            )
        return
    learnt = set(np.unique(target.values[parts.train]))
    if lacking := [label for code, label in enumerate(target.labels) if code not in learnt]:
        listed = ", ".join(f"'{label}'" for label in lacking[:20])
        raise DataError(f"{place}: the training part of a split by {name} has no row of {listed}; {_REMEDIES[name]}")


def _check_weights(parts: Parts, weights: NDArray[np.float64] | None, spec: Spec) -> None:
    if weights is None:
        return
    for field in fields(parts):
        if not weights[getattr(parts, field.name)].any():
            place = spec.place("data", "weight")
            raise DataError(f"{place}: '{spec.data.weight}' is 0 in every row of the {field.name} part")


_REMEDIES = {
    "random": "give it more rows, or set other shares",
    "stratified": "give it more rows, or set other shares",
    "group": "it needs more groups, or other shares",
    "time": "move the dates or shares",
}
