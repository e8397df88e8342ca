"""Whether days have combinations of values that the table does not have, although each field alone looks as ever.

A day is described by the correlations of its fields with each other: within one day, so that fields that rise or fall
together for a season do not count. An ordered field has two columns, its position and its distance from the middle, so
that both monotone and U-shaped relations show; a category has a column for each frequent value.

The score of a day is its most unusual correlation: the distance from its usual level, in units of the noise of days. A
correlation may be anywhere between the lowest and highest weekly level of the table, extended as in
:mod:`model_deployer.contract.unit_spread`, in any order and for any time. A day is compared with the
other days of its week, and a live one only as far as these are within that range. So scores of live days can be in any
order with those of the table as long as combinations of values are of one kind, whatever the distribution of a score:
:mod:`~model_deployer.monitoring.statistics.exchangeability` bets against that.

All days have the same number of rows: a correlation of fewer rows has more noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.unit_spread import range_growth, upper_factor
from model_deployer.monitoring.statistics.evidence import Floats, Ints

#: The share of the rows that a value has at least, and leaves at least, if it has a column of its own.
MIN_SHARE = 0.05

#: What :class:`Combination` has for the distance of an ordered field from its middle.
MIDDLE = -1

#: The values of a category that have a column at most.
MAX_VALUES = 3

#: The largest correlation that counts: Fisher's transformation of 1 is infinite.
_MAX_CORRELATION = 0.99

Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class CodedField:
    """A field whose values are codes of bins.

    Attributes:
        name: Its name.
        missing: The code of a missing value.
        is_ordered: Whether larger codes are larger values.
    """

    name: str
    missing: int
    is_ordered: bool


@dataclass(frozen=True)
class _Column:
    """A column of numbers that is made of a field.

    Attributes:
        field: The index of the field.
        value: The code that it marks; None for the position of an ordered field.
        middle: The code that it is the distance from; None for the position itself, and for marks.
    """

    field: int
    value: int | None = None
    middle: float | None = None


@dataclass(frozen=True)
class Combination:
    """Two fields whose correlation left its range.

    Attributes:
        index: The index of the correlation among all of them.
        fields: The names of the fields.
        values: The code that is meant of each; None for the position of an ordered field, :data:`MIDDLE` for its
            distance from the middle.
        correlation: The mean correlation of some days, from -1 to 1.
        expected: The lowest and the highest level of the correlation in the table.
    """

    index: int
    fields: tuple[str, str]
    values: tuple[int | None, int | None]
    correlation: float
    expected: tuple[float, float]


class UsualCombinations:
    """The combinations of a table: the correlations of its fields on each of its days.

    Args:
        fields: The fields, at least two.
        weeks: The codes of the rows of successive days, uint8 [weeks, days, rows, fields].
        table_days: The days that the table covers; with fewer than a year, the range of a level is wider.

    Attributes:
        scores: The score of each day, float64 [days].
    """

    def __init__(self, fields: Sequence[CodedField], weeks: Codes, table_days: int) -> None:
        self._fields = fields
        self._columns = _columns(fields, weeks.reshape(-1, len(fields)))
        days = self._correlations(weeks.reshape(-1, *weeks.shape[2:]))
        by_week = days.reshape(*weeks.shape[:2], -1)
        levels = by_week.mean(axis=1)
        squares = (by_week - _others(by_week)) ** 2
        of_week = squares.mean(axis=1)
        of_other_weeks = (of_week.sum(axis=0) - of_week) / (len(weeks) - 1)
        self.scores = np.sqrt(_ratio(squares, of_other_weeks[:, None]).max(axis=-1)).ravel()
        self._week = weeks.shape[1]
        # All live days share the error of this estimate: they should rather seem too usual than too unusual.
        freedom = len(days) - len(weeks)
        self._noise = np.sqrt(of_week.mean(axis=0) * upper_factor(freedom))
        lowest, highest = levels.min(axis=0), levels.max(axis=0)
        extent = range_growth(table_days, len(weeks)) * (highest - lowest) / 2
        self._lowest, self._highest = ((lowest + highest) / 2 + sign * extent for sign in (-1, 1))

    def live_scores(self, days: Codes) -> Floats:
        """Return the score of each day of the complete weeks, float64 [days of these weeks].

        Args:
            days: The codes of the rows of successive days, uint8 [days, rows, fields].
        """
        weeks = len(days) // self._week
        values = self._correlations(days[: weeks * self._week])
        by_week = values.reshape(weeks, self._week, values.shape[1])
        distances = by_week - _others(by_week).clip(self._lowest, self._highest)
        return np.asarray(np.sqrt(_ratio(distances**2, self._noise**2).max(axis=-1, initial=0)).ravel())

    def first_unusual(self, days: Codes, combination: Combination) -> int:
        """Return the index of the first of some days whose correlation is out of its range; 0 if there is none.

        Args:
            days: The codes of the rows of each of these days, uint8 [days, rows, fields].
            combination: What is correlated.
        """
        values = self._correlations(days)[:, combination.index]
        lowest, highest = self._lowest[combination.index], self._highest[combination.index]
        return int(((values < lowest) | (values > highest)).argmax())

    def unusual(self, days: Codes, count: int) -> list[Combination]:
        """Return the pairs of fields whose correlations are farthest out of their range over some days.

        Args:
            days: The codes of the rows of each of these days, uint8 [days, rows, fields].
            count: The number of pairs at most.
        """
        level = self._correlations(days).mean(axis=0)
        excess = np.maximum(level - self._highest, self._lowest - level) / np.maximum(self._noise, _TINY)
        firsts, seconds = self._pairs()
        farthest: dict[tuple[int, int], Combination] = {}
        for index in np.argsort(-excess, kind="stable").tolist():
            if excess[index] <= 0 or len(farthest) == count:
                break
            first, second = self._columns[firsts[index]], self._columns[seconds[index]]
            farthest.setdefault((first.field, second.field), self._combination(index, first, second, level))
        return list(farthest.values())

    def is_usual(self, days: Codes, combination: Combination) -> bool:
        """Return whether the mean correlation of some days is within its range.

        Args:
            days: The codes of the rows of each of these days, uint8 [days, rows, fields].
            combination: What is correlated.
        """
        level = self._correlations(days)[:, combination.index].mean()
        return bool(self._lowest[combination.index] <= level <= self._highest[combination.index])

    def _combination(self, index: int, first: _Column, second: _Column, level: Floats) -> Combination:
        value = float(np.tanh(level[index]))
        expected = (float(np.tanh(self._lowest[index])), float(np.tanh(self._highest[index])))
        names = self._fields[first.field].name, self._fields[second.field].name
        return Combination(index, names, (_meant(first), _meant(second)), value, expected)

    def _pairs(self) -> tuple[Ints, Ints]:
        """Return the indices of the columns of each correlation: those of different fields, [pairs] each."""
        owners = np.array([column.field for column in self._columns])
        firsts, seconds = np.triu_indices(len(owners), 1)
        is_kept = owners[firsts] != owners[seconds]
        return firsts[is_kept], seconds[is_kept]

    def _correlations(self, days: Codes) -> Floats:
        """Return Fisher's transformation of the correlations of each day, [days, rows, fields] -> [days, pairs]."""
        firsts, seconds = self._pairs()
        values = np.empty((len(days), len(firsts)))
        for index, rows in enumerate(days):
            columns = np.stack([_numbers(column, self._fields, rows) for column in self._columns])
            columns -= columns.mean(axis=1, keepdims=True)
            lengths = np.linalg.norm(columns, axis=1, keepdims=True)
            # A column that is constant on a day has no correlation.
            columns /= np.where(lengths > 1e-9 * columns.shape[1], lengths, np.inf)
            values[index] = (columns @ columns.T)[firsts, seconds]
        return np.asarray(np.arctanh(values.clip(-_MAX_CORRELATION, _MAX_CORRELATION)))


_TINY = float(np.finfo(np.float64).tiny)


def _columns(fields: Sequence[CodedField], rows: Codes) -> list[_Column]:
    """Return the columns of the fields; ``rows`` are all rows of the table, [rows, fields]."""
    columns = []
    for index, field in enumerate(fields):
        codes, counts = np.unique(rows[:, index], return_counts=True)
        is_frequent = (counts >= MIN_SHARE * len(rows)) & (counts <= (1 - MIN_SHARE) * len(rows))
        if field.is_ordered:
            present = rows[rows[:, index] != field.missing, index]
            columns.append(_Column(index))
            if len(np.unique(present)) > 2:
                columns.append(_Column(index, middle=float(np.median(present))))
            values = codes[is_frequent & (codes == field.missing)]
        else:
            values = codes[is_frequent][np.argsort(-counts[is_frequent], kind="stable")][:MAX_VALUES]
        columns += [_Column(index, value=int(value)) for value in values]
    return columns


def _numbers(column: _Column, fields: Sequence[CodedField], rows: Codes) -> Floats:
    """Return the numbers of a column, [rows]; a missing value has the mean of the others."""
    codes = rows[:, column.field]
    if column.value is not None:
        return np.asarray(codes == column.value, np.float64)
    is_present = codes != fields[column.field].missing
    numbers = codes.astype(np.float64)
    if column.middle is not None:
        numbers = np.abs(numbers - column.middle)
    mean = numbers[is_present].mean() if is_present.any() else 0.0
    return np.where(is_present, numbers, mean)


def _meant(column: _Column) -> int | None:
    """Return what a column means in a :class:`Combination`."""
    return column.value if column.middle is None else MIDDLE


def _others(by_week: Floats) -> Floats:
    """Return the mean of the other days of the week of each day, [weeks, days, ...] -> [weeks, days, ...]."""
    return np.asarray((by_week.sum(axis=1, keepdims=True) - by_week) / (by_week.shape[1] - 1))


def _ratio(squares: Floats, variances: Floats) -> Floats:
    """Return squares in units of variances; 0 where both are 0."""
    return np.asarray(squares / np.maximum(variances, _TINY) * (squares > 0))
