"""Replay a table as traffic: how far its days differ from all of it, and after how many rows a fault would be found.

A threshold is above the index of every day of the test rows, and of all days but the most unusual 1 % of the training
rows, with a margin. It is never below what chance explains, nor below a shift that is small by convention. The index is
computed as the rules of Prometheus do: every hour, over the last 24 hours.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.adoption.tensor_column import axes_of, padded_tensors
from model_deployer.contract.drift import (
    Drift,
    FaultName,
    PlantedFault,
    ReplayedDistribution,
    ReplayedPart,
    Unit,
    UnusualDay,
    index_bins,
    stability_index,
)
from model_deployer.contract.features import Boolean, Categorical, Feature, Integer, Numeric
from model_deployer.contract.outputs import Arrays
from model_deployer.contract.reference import CategoryDistribution, Distribution, Reference, norms, watched_numbers
from model_deployer.training.data.traffic import DAY_HOURS, DAY_ROWS, MIN_DAY_ROWS, Origins, Traffic, traffic

#: The share of training days on which alerts may fire.
MAX_DAYS_WITH_ALERTS = 0.01

#: A threshold, as a multiple of the most unusual day: later days may be a little more unusual.
MARGIN = 1.25

#: The lowest thresholds. A shift is usually called small below 0.1, and major above 0.25. A table that does not say
#: which rows belong to a day does not show how much days differ, so that only major shifts count.
MIN_THRESHOLD: Mapping[Unit, float] = {"day": 0.1, "rows": 0.1, "group": 0.1, "random": 0.25}

#: The probability that chance alone exceeds a threshold in one comparison.
FALSE_ALARM_PROBABILITY = 1e-4

#: The length of a mile in kilometres.
_MILE = 1.609344

Values = NDArray[Any]
Predict = Callable[[pl.DataFrame], Arrays]


@dataclass(frozen=True)
class ReplayedRows:
    """The rows of a part of the table as traffic.

    Attributes:
        arrivals: Their order.
        frame: The features of the arrivals, conformed.
        predictions: The outputs of the graph for them, [arrivals, columns] each.
    """

    arrivals: Traffic
    frame: pl.DataFrame
    predictions: Arrays

    def values(self, name: str) -> Values:
        """Return the values of a feature (norms, counts), or of a prediction by tensor and column, [arrivals]."""
        if name in self.frame.columns:
            if axes_of(self.frame[name].dtype) > 1:
                return norms(padded_tensors(self.frame[name]))
            if self.frame[name].dtype == pl.List:
                numbers = self.frame[name].list.len().to_numpy().astype(np.float64)
                return np.where(numbers > 0, numbers, np.nan)
            values = self.frame[name].to_numpy()
            return norms(values) if values.ndim > 1 else values
        return watched_numbers(self.predictions, name)


def replayed_rows(
    origins: Origins, part: NDArray[np.int64], frame: pl.DataFrame, predict: Predict, seed: int
) -> ReplayedRows:
    """Return a part of the table as traffic.

    Args:
        origins: The origins of all rows of the table.
        part: Indices of the rows of the part, int64 [rows].
        frame: The features of all rows of the table, conformed.
        predict: Returns the outputs of the graph.
        seed: The seed of what is drawn at random.
    """
    arrivals = traffic(origins, part, seed)
    distinct, positions = np.unique(arrivals.rows, return_inverse=True)
    predictions = {name: array[positions] for name, array in predict(frame[distinct]).items()}
    return ReplayedRows(arrivals, frame[arrivals.rows], predictions)


def replay(
    features: Sequence[Feature], reference: Reference, training: ReplayedRows, test: ReplayedRows, rows: int
) -> Drift:
    """Return the thresholds of all features and predictions, with the faults that they find.

    Args:
        features: The features of the model.
        reference: The expected distributions.
        training: The training and validation rows.
        test: The test rows.
        rows: The number of rows of the smaller part, whose shares chance moves most.
    """
    by_name = {feature.name: feature for feature in features if feature.kind not in ("datetime", "image")}
    distributions = {name: reference.features[name] for name in by_name} | dict(reference.predictions)
    min_rows = _min_rows(training.arrivals)
    training_days, test_days = _Days(training.arrivals), _Days(test.arrivals)
    fault_rows, fault_days = (test, test_days) if test_days.count > 1 else (training, training_days)
    watched = {name: _Watched(distribution) for name, distribution in distributions.items()}
    series = {
        name: _Series(
            training_days.counts(each.distribution.codes(training.values(name)), each),
            test_days.counts(each.distribution.codes(test.values(name)), each),
        )
        for name, each in watched.items()
    }
    in_training = {name: training_days.indices(series[name].training, watched[name]) for name in watched}
    is_usual = training_days.without_most_unusual(list(in_training.values()))
    in_test = {name: test_days.indices(series[name].test, watched[name]) for name in watched}

    replayed = {}
    for name, each in watched.items():
        kept = np.where(is_usual, in_training[name], -np.inf)
        highest = max(kept.max(initial=0), in_test[name].max(initial=0))
        lowest = max(MIN_THRESHOLD[training.arrivals.unit], _chance_limit(len(each.bins) + 1, min_rows, rows))
        threshold = _rounded_up(max(lowest, MARGIN * highest))
        values = fault_rows.values(name)
        normal = series[name].test if fault_rows is test else series[name].training
        replayed[name] = ReplayedDistribution(
            threshold=threshold,
            training=training_days.most_unusual(series[name].training, kept, each),
            test=test_days.most_unusual(series[name].test, in_test[name], each),
            faults=tuple(
                fault_days.plant(fault, normal, each, threshold)
                for fault in _faults(by_name.get(name), each.distribution, values)
                if fault_days.count > 1
            ),
        )
    thresholds = {name: each.threshold for name, each in replayed.items() if each.is_watched}
    return Drift(
        min_rows=min_rows,
        training=training_days.summary(in_training, thresholds),
        test=test_days.summary(in_test, thresholds),
        features={name: replayed[name] for name in by_name},
        predictions={name: replayed[name] for name in reference.predictions},
    )


def describe_drift(drift: Drift) -> str:
    """Return a line about the replay, for the console."""
    watched = [each.is_watched for each in (*drift.features.values(), *drift.predictions.values())]
    training, test = drift.training, drift.test
    return (
        f"{sum(watched)} of {len(watched)} distributions have an alert on drift, which fires on "
        f"{training.days_with_alerts} of {training.days} days of the train and validation parts, and on "
        f"{test.days_with_alerts} of {test.days} of the test part"
    )


class _Series(NamedTuple):
    """The counts of a distribution by hour and bin in both parts, [hours, bins]."""

    training: NDArray[np.int64]
    test: NDArray[np.int64]


class _Watched:
    """A distribution with the terms of its index.

    Attributes:
        bins: The names of all bins that are counted.
    """

    def __init__(self, distribution: Distribution) -> None:
        self.distribution = distribution
        shares = distribution.shares()
        self.bins = list(shares)
        terms = index_bins(shares, isinstance(distribution, CategoryDistribution))
        self._positions = [self.bins.index(bin) for bin in terms]
        self._expected = [shares[bin] for bin in terms]

    def indices(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the index of each row of counts, [days, bins] -> [days]."""
        shares = counts[:, self._positions] / np.maximum(1, counts.sum(axis=1, keepdims=True))
        return stability_index(shares, self._expected)


class _Fault(NamedTuple):
    """Values with a fault: the bin of each arrival, [arrivals]."""

    name: FaultName
    is_refused: bool
    codes: NDArray[np.intp]


class _Days:
    """The windows of 24 hours that end with each hour that has arrivals, once a whole day has passed.

    Attributes:
        count: The number of days in which a whole window with enough rows ends.
    """

    def __init__(self, arrivals: Traffic) -> None:
        self._unit = arrivals.unit
        self._hours, self._positions = np.unique(arrivals.hours, return_inverse=True)
        self._first = np.searchsorted(self._hours, self._hours - (DAY_HOURS - 1))
        self._days = self._hours // DAY_HOURS
        rows = np.bincount(self._positions, minlength=len(self._hours))
        self._is_whole = self._hours >= self._hours[:1] + DAY_HOURS - 1
        self._has_enough = self._is_whole & (self._sums(rows[:, None])[:, 0] >= MIN_DAY_ROWS)
        self.count = len(np.unique(self._days[self._has_enough]))

    def counts(self, codes: NDArray[np.intp], watched: _Watched) -> NDArray[np.int64]:
        """Return the number of arrivals in each hour and bin, [hours, bins]."""
        bins = len(watched.bins)
        cells = self._positions * bins + codes
        return np.bincount(cells, minlength=len(self._hours) * bins).reshape(-1, bins)

    def indices(self, counts: NDArray[np.int64], watched: _Watched) -> NDArray[np.float64]:
        """Return the index of the window that ends with each hour, [hours]; -inf if it has too few rows."""
        sums = self._sums(counts)
        is_compared = self._is_whole & (sums.sum(axis=1) >= MIN_DAY_ROWS)
        return np.where(is_compared, watched.indices(sums), -np.inf)

    def without_most_unusual(self, indices: Sequence[NDArray[np.float64]]) -> NDArray[np.bool_]:
        """Return whether each hour belongs to the days without the few on which alerts may fire, [hours]."""
        dropped = int(MAX_DAYS_WITH_ALERTS * self.count)
        if not dropped:
            return np.ones(len(self._hours), np.bool_)
        ratios = [index / max(1e-9, np.quantile(index[self._has_enough], 0.95)) for index in indices]
        worst = np.max(ratios, axis=0)
        by_day = {day: worst[self._days == day].max() for day in np.unique(self._days[self._has_enough])}
        unusual = sorted(by_day, key=lambda day: by_day[day])[-dropped:]
        return ~np.isin(self._days, unusual)

    def most_unusual(
        self, counts: NDArray[np.int64], indices: NDArray[np.float64], watched: _Watched
    ) -> UnusualDay | None:
        """Return the window with the highest index; None if no window has enough rows."""
        if not np.isfinite(indices).any():
            return None
        hour = int(indices.argmax())
        return UnusualDay(index=round(float(indices[hour]), 6), shares=self._shares(counts, hour, watched))

    def plant(self, fault: _Fault, normal: NDArray[np.int64], watched: _Watched, threshold: float) -> PlantedFault:
        """Return what becomes of a fault in all rows that arrive after the first full day.

        Args:
            fault: The fault.
            normal: The counts without it, [hours, bins].
            watched: The distribution.
            threshold: The threshold of its index.
        """
        start = int(np.flatnonzero(self._has_enough)[0]) + 1
        end = int(np.searchsorted(self._hours, self._hours[start - 1] + DAY_HOURS, side="right"))
        faulty = self.counts(fault.codes, watched)
        counts = np.concatenate([normal[:start], faulty[start:]])
        indices = self.indices(counts, watched)
        last = end - 1
        exceeding = np.flatnonzero(indices[start:end] > threshold)
        is_found = len(exceeding) > 0 and indices[last] > threshold
        return PlantedFault(
            fault=fault.name,
            is_refused=fault.is_refused,
            index=round(float(watched.indices(self._sums(counts)[[last]])[0]), 6),
            rows=int(counts[start : start + exceeding[0] + 1].sum()) if is_found else None,
            shares=self._shares(counts, last, watched),
        )

    def summary(self, indices: Mapping[str, NDArray[np.float64]], thresholds: Mapping[str, float]) -> ReplayedPart:
        """Return the number of days, and of those on which any index exceeds its threshold."""
        exceeds = np.zeros(len(self._hours), np.bool_)
        for name, threshold in thresholds.items():
            exceeds |= indices[name] > threshold
        return ReplayedPart(unit=self._unit, days=self.count, days_with_alerts=len(np.unique(self._days[exceeds])))

    def _sums(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the counts of each window, [hours, bins]."""
        totals = np.concatenate([np.zeros((1, counts.shape[1]), np.int64), counts.cumsum(axis=0)])
        return np.asarray(totals[1:] - totals[self._first])

    def _shares(self, counts: NDArray[np.int64], hour: int, watched: _Watched) -> dict[str, float]:
        window = self._sums(counts)[hour]
        shares = window / max(1, window.sum())
        return {bin: round(float(share), 6) for bin, share in zip(watched.bins, shares, strict=True)}


def _min_rows(arrivals: Traffic) -> int:
    """Return the number of rows that 99 of 100 days have, within limits."""
    if arrivals.unit != "day":
        return DAY_ROWS
    rows = np.unique(arrivals.days, return_counts=True)[1]
    return int(np.clip(np.quantile(rows, 0.01), MIN_DAY_ROWS, DAY_ROWS))


def _chance_limit(bins: int, min_rows: int, rows: int) -> float:
    """Return the index that chance alone rarely exceeds.

    Args:
        bins: The number of bins.
        min_rows: The number of rows of a day.
        rows: The number of rows that the expected shares were computed from.
    """
    degrees = max(1, bins - 1)
    spread = 2 / (9 * degrees)  # Wilson and Hilferty's approximation of a quantile of chi-squared
    quantile = degrees * (1 - spread + NormalDist().inv_cdf(1 - FALSE_ALARM_PROBABILITY) * math.sqrt(spread)) ** 3
    return quantile * (1 / min_rows + 1 / rows)


def _rounded_up(threshold: float) -> float:
    """Return a threshold rounded up to two digits after the point."""
    return math.ceil(100 * threshold) / 100


def _faults(feature: Feature | None, distribution: Distribution, values: Values) -> Iterator[_Fault]:
    """Yield the faults of a feature, or of a prediction if there is no feature; values are [arrivals]."""
    codes, missing = distribution.codes(values), list(distribution.shares()).index("missing")
    present = codes[codes != missing]
    if not len(present):
        return
    commonest = int(np.bincount(present).argmax())
    yield _Fault("constant", False, np.full_like(codes, commonest))
    if feature is None:
        return
    yield _Fault("missing", not feature.nullable, np.full_like(codes, missing))
    if isinstance(feature, Numeric | Integer):
        for name, factor in _FACTORS.items():
            changed = values * factor if isinstance(feature, Numeric) else np.rint(values * factor)
            yield _Fault(name, _is_refused(feature, changed), distribution.codes(changed))
    if isinstance(feature, Categorical | Boolean):
        yield _Fault("vanished", False, _without(codes, commonest))


def _without(codes: NDArray[np.intp], vanished: int) -> NDArray[np.intp]:
    """Return the bins of arrivals, [arrivals], with that of the previous other arrival in place of a vanished one."""
    remaining = np.flatnonzero(codes != vanished)
    if not len(remaining):
        return codes
    previous = np.searchsorted(remaining, np.arange(len(codes)), side="right") - 1
    return codes[remaining[np.maximum(previous, 0)]]


_FACTORS: Mapping[FaultName, float] = {"thousandfold": 1000, "kilometres": _MILE}


def _is_refused(feature: Numeric | Integer, values: NDArray[np.float64]) -> bool:
    """Return whether the service refuses most of the values."""
    if feature.out_of_range != "reject":
        return False
    low = -np.inf if feature.minimum is None else feature.minimum
    high = np.inf if feature.maximum is None else feature.maximum
    present = values[np.isfinite(values)]
    return bool(np.mean((present < low) | (present > high)) > 0.5)
