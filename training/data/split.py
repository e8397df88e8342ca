"""Split the rows of a table into training, validation and test parts."""

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
    """The rows of each part; every row of the table is in exactly one.

    Attributes:
        train: Indices of the training rows, int64 [rows], ascending.
        validation: The same for the validation part.
        test: The same for the test part.
    """

    train: Rows
    validation: Rows
    test: Rows

    @property
    def train_and_validation(self) -> Rows:
        """Indices of the training and validation rows together, int64, ascending."""
        return np.sort(np.concatenate([self.train, self.validation]))


def split(frame: pl.DataFrame, target: Target, spec: Spec, weights: NDArray[np.float64] | None = None) -> Parts:
    """Split the rows as ``split`` of model.yaml describes; the same seed gives the same parts.

    Args:
        frame: The table.
        target: The target of every row.
        spec: The model.yaml.
        weights: The weight of every row, float64 [rows]; None if all rows weigh the same.

    Raises:
        DataError: if a part is empty or has no weight, if the training part lacks a class or has a single value in the
            rows with a weight, if a row has no time or group, or if there are no classes to stratify by.
    """
    name = method(target, spec)
    if name == "stratified" and target.labels is None:
        raise DataError(f"{spec.location('split', 'method')}: a stratified split needs classes; use `random`")
    assign: dict[str, Callable[[], Rows]] = {
        "random": lambda: _by_class(np.zeros(frame.height, np.int64), spec),
        "stratified": lambda: _by_class(target.values, spec),
        "group": lambda: _by_group(frame, spec),
        "time": lambda: _by_time(frame, spec),
    }
    part = assign[name]()
    parts = Parts(*(np.flatnonzero(part == index) for index in range(3)))
    _check_parts(parts, target, name, spec)
    _check_weights(parts, target, weights, spec)
    return parts


def nested_order(frame: pl.DataFrame, target: Target, spec: Spec, train: Rows) -> Rows:
    """Order the training rows so that the first N are the rows that a smaller table would hold.

    Under a split by time, the latest rows come first, because a shorter history would end on the same day. Under a
    split by group, whole groups follow each other in random order. Otherwise rows are in random order; the first N
    hold every class in its share, and at least once if N is at least the number of classes.

    Args:
        frame: The table.
        target: The target of every row.
        spec: The model.yaml; its ``split`` and ``seed`` determine the order.
        train: Indices of the training rows, int64.

    Returns:
        The same indices in another order.
    """
    name, random = method(target, spec), np.random.default_rng(spec.seed)
    if name == "time":
        return train[np.argsort(-_times(frame, spec).to_numpy()[train], kind="stable")]
    if name == "group":
        groups = np.unique(_groups(frame, spec)[train], return_inverse=True)[1]
        return train[np.argsort(random.permutation(groups.max() + 1)[groups], kind="stable")]
    shuffled = random.permutation(train)
    classes = np.zeros(len(train), np.int64) if target.labels is None else target.values[shuffled]
    by_class = np.argsort(classes, kind="stable")
    counts = np.bincount(classes)
    starts = np.cumsum(counts) - counts
    rank_in_class = np.empty(len(train))
    rank_in_class[by_class] = (np.arange(len(train)) - np.repeat(starts, counts)) / np.repeat(counts, counts)
    return shuffled[np.argsort(rank_in_class, kind="stable")]


def method(target: Target, spec: Spec) -> SplitMethod:
    """Return the method of the split: ``split.method`` of model.yaml, else the default for its columns and target."""
    if spec.split.method is not None:
        return spec.split.method
    if spec.by_time:
        return "time"
    if spec.data.group is not None:
        return "group"
    return "random" if target.labels is None else "stratified"


def time_values(column: pl.Series) -> pl.Series:
    """Return the time of each row as Float64: the numbers of a numeric column, else seconds; null if missing."""
    return canonical(column, "numeric" if column.dtype.is_numeric() else "datetime")


def validation_start(frame: pl.DataFrame, spec: Spec) -> float:
    """Return the first instant of the validation part; every row of the table must have a time."""
    column = frame[str(spec.data.time)]
    return _boundaries(column, time_values(column), spec)[0]


def _by_class(classes: Rows, spec: Spec) -> Rows:
    """Split each class in the same shares; the rows of a class too small for three parts go to training."""
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
    """Assign whole groups at random: to the test part up to its share, then to validation, the rest to training.

    Groups larger than a part are assigned last, so that they end in the training part.
    """
    codes = _groups(frame, spec)
    sizes = np.bincount(codes)
    target_rows = {2: _share(spec.split.test) * len(codes), 1: _share(spec.split.validation) * len(codes)}
    order = np.random.default_rng(spec.seed).permutation(len(sizes))
    order = order[np.argsort(sizes[order] > min(target_rows.values()), kind="stable")]
    part = np.zeros(len(sizes), np.int64)
    position = 0
    for index, rows in target_rows.items():
        assigned = 0.0
        for group in order[position : len(order) - index]:  # leaves one group for each later part
            if assigned and assigned + sizes[group] / 2 > rows:  # with this group, the part is further from its share
                break
            part[group] = index
            assigned += sizes[group]
            position += 1
    return part[codes]


def _groups(frame: pl.DataFrame, spec: Spec) -> Rows:
    """Return the code of each row's group, counted from 0."""
    column = canonical(frame[str(spec.data.group)], "categorical")
    if column.null_count():
        raise DataError(f"{spec.location('data', 'group')}: '{column.name}' is missing in {column.null_count():,} rows")
    return np.asarray(column.rank("dense").to_numpy(), dtype=np.int64) - 1


def _by_time(frame: pl.DataFrame, spec: Spec) -> Rows:
    """Assign the latest rows to the test part, those before to validation; rows of one instant stay together."""
    times = _times(frame, spec)
    validation, test = _boundaries(frame[str(spec.data.time)], times, spec)
    instants = times.to_numpy()
    return np.add(instants >= validation, instants >= test, dtype=np.int64)


def _times(frame: pl.DataFrame, spec: Spec) -> pl.Series:
    """Return the time of each row as a number; every row must have one."""
    column = frame[str(spec.data.time)]
    times = time_values(column)
    if missing := times.null_count():
        raise DataError(
            f"{spec.location('data', 'time')}: '{column.name}' is missing or not a time in {missing:,} rows; expected "
            f"ISO 8601 such as 2013-11-01"
        )
    return times


def _boundaries(column: pl.Series, times: pl.Series, spec: Spec) -> tuple[float, float]:
    """Return the first instants of the validation and the test part."""
    validation, test = spec.split.validation, spec.split.test
    if isinstance(validation, datetime) and isinstance(test, datetime):
        return _seconds(validation, column, spec), _seconds(test, column, spec)
    ordered = times.sort()
    test_share = _share(test)
    starts = [round(len(ordered) * (1 - share)) for share in (test_share + _share(validation), test_share)]
    first, second = (float(ordered[min(start, len(ordered) - 1)]) for start in starts)
    return first, second


def _seconds(boundary: datetime, column: pl.Series, spec: Spec) -> float:
    """Convert a date of model.yaml to the time column's seconds; a date without an offset is in the column's zone."""
    location = spec.location("split")
    if column.dtype.is_numeric():
        raise DataError(f"{location}: '{column.name}' holds numbers, so `split` must be given as shares, not dates")
    zone = getattr(column.dtype, "time_zone", None)
    if boundary.tzinfo is not None and zone is None:
        raise DataError(f"{location}: '{column.name}' holds local times, so the dates must not have an offset")
    return boundary.replace(tzinfo=boundary.tzinfo or ZoneInfo(zone or "UTC")).timestamp()


def _share(boundary: Boundary) -> float:
    assert isinstance(boundary, float), "Spec allows dates only for a split by time"
    return boundary


def _check_parts(parts: Parts, target: Target, name: str, spec: Spec) -> None:
    location = f"{spec.location('split')}: {_SPLITS[name]}"
    for field in fields(parts):
        if not len(getattr(parts, field.name)):
            raise DataError(f"{location}: the {field.name} part has no rows; {_REMEDIES[name]}")
    if target.labels is None:
        if len(np.unique(target.values[parts.train])) < 2:
            raise DataError(f"{location}: the target has a single value in the training part; {_REMEDIES[name]}")
        return
    present = set(np.unique(target.values[parts.train]))
    if absent := [label for code, label in enumerate(target.labels) if code not in present]:
        listed = ", ".join(f"'{label}'" for label in absent[:20])
        raise DataError(f"{location}: the training part has no row of {listed}; {_REMEDIES[name]}")


def _check_weights(parts: Parts, target: Target, weights: NDArray[np.float64] | None, spec: Spec) -> None:
    if weights is None:
        return
    location = spec.location("data", "weight")
    for field in fields(parts):
        if not weights[getattr(parts, field.name)].any():
            raise DataError(f"{location}: '{spec.data.weight}' is 0 in every row of the {field.name} part")
    if len(np.unique(target.values[parts.train][weights[parts.train] > 0])) < 2:
        raise DataError(
            f"{location}: the target has a single value in the training rows with a '{spec.data.weight}' above 0; "
            f"there is nothing to learn"
        )


_SPLITS = {
    "random": "random split",
    "stratified": "stratified split",
    "group": "split by group",
    "time": "split by time",
}

_REMEDIES = {
    "random": "use a table with more rows, or set other shares",
    "stratified": "use a table with more rows, or set other shares",
    "group": "use a table with more groups, or set other shares",
    "time": "set other dates or shares",
}
