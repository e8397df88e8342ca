"""Which rows are for training, for validation and for the test."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.errors import DataError
from model_deployer.contract.evaluation import SplitMethod
from model_deployer.training.data.columns import canonical
from model_deployer.training.data.target import Target
from model_deployer.training.spec import Boundary, Spec

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """The rows of each part, as ascending indices; every row is in exactly one."""

    train: Rows
    validation: Rows
    test: Rows

    @property
    def learnt(self) -> Rows:
        """All that may be learnt from: those of training and validation."""
        return np.sort(np.concatenate([self.train, self.validation]))


def split(frame: pl.DataFrame, target: Target, spec: Spec, weights: NDArray[np.float64] | None = None) -> Parts:
    """Divide the rows as ``split`` of model.yaml says; the same seed gives the same parts.

    Raises:
        DataError: A part would be empty or of no weight, the training part would lack a class, or hold a single value
            in the rows that have a weight, a row has no time or group, or there are no classes to stratify by.
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
    _check_weights(parts, target, weights, spec)
    return parts


def growing(frame: pl.DataFrame, target: Target, spec: Spec, train: Rows) -> Rows:
    """The training rows in an order whose beginnings are what a smaller table would have held.

    Under a split by time the latest rows come first, since a shorter history would end at the same day; under one by
    group whole groups follow each other, in random order; else rows are in random order, with every class in the same
    shares of each beginning, and at least once where it has as many rows as there are classes.

    Args:
        frame: The table.
        target: Its target.
        spec: Its ``split`` and ``seed`` decide.
        train: The rows of the training part.
    """
    name, random = method(target, spec), np.random.default_rng(spec.seed)
    if name == "time":
        return train[np.argsort(-_instants(frame, spec).to_numpy()[train], kind="stable")]
    if name == "group":
        groups = np.unique(_groups(frame, spec)[train], return_inverse=True)[1]
        return train[np.argsort(random.permutation(groups.max() + 1)[groups], kind="stable")]
    shuffled = random.permutation(train)
    classes = np.zeros(len(train), np.int64) if target.labels is None else target.values[shuffled]
    by_class = np.argsort(classes, kind="stable")
    counts = np.bincount(classes)
    starts = np.cumsum(counts) - counts
    place = np.empty(len(train))
    place[by_class] = (np.arange(len(train)) - np.repeat(starts, counts)) / np.repeat(counts, counts)
    return shuffled[np.argsort(place, kind="stable")]


def method(target: Target, spec: Spec) -> SplitMethod:
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
    codes = _groups(frame, spec)
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


def _groups(frame: pl.DataFrame, spec: Spec) -> Rows:
    """The group of each row, from 0."""
    column = canonical(frame[str(spec.data.group)], "categorical")
    if column.null_count():
        raise DataError(f"{spec.place('data', 'group')}: '{column.name}' is missing in {column.null_count():,} rows")
    return np.asarray(column.rank("dense").to_numpy(), dtype=np.int64) - 1


def _by_time(frame: pl.DataFrame, spec: Spec) -> Rows:
    """The latest rows are the test, those before them validation; rows of one instant stay together."""
    happened = _instants(frame, spec)
    validation, test = _boundaries(frame[str(spec.data.time)], happened, spec)
    times = happened.to_numpy()
    return np.add(times >= validation, times >= test, dtype=np.int64)


def _instants(frame: pl.DataFrame, spec: Spec) -> pl.Series:
    """When each row happened, as a number."""
    column = frame[str(spec.data.time)]
    happened = instants(column)
    if missing := happened.null_count():
        raise DataError(
            f"{spec.place('data', 'time')}: '{column.name}' is missing or no time in {missing:,} rows; expected ISO "
            f"8601 such as 2013-11-01"
        )
    return happened


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


def _check_weights(parts: Parts, target: Target, weights: NDArray[np.float64] | None, spec: Spec) -> None:
    if weights is None:
        return
    place = spec.place("data", "weight")
    for field in fields(parts):
        if not weights[getattr(parts, field.name)].any():
            raise DataError(f"{place}: '{spec.data.weight}' is 0 in every row of the {field.name} part")
    if len(np.unique(target.values[parts.train][weights[parts.train] > 0])) < 2:
        raise DataError(
            f"{place}: the target has one value in all rows of the training part whose '{spec.data.weight}' is not 0; "
            f"there is nothing to learn"
        )


_REMEDIES = {
    "random": "give it more rows, or set other shares",
    "stratified": "give it more rows, or set other shares",
    "group": "it needs more groups, or other shares",
    "time": "move the dates or shares",
}
