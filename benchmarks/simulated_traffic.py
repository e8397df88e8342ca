"""Simulated traffic of a model: years without a fault as counts, and rows with planted faults.

Rows are clustered: those of a client, an hour or a day share a part of every field, and of the risk.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr, ndtri

from model_deployer.monitoring.statistics.combinations import CodedField

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: The edges of the deciles of a standard normal field.
DECILES = ndtri(np.arange(1, 10) / 10)

World = Literal["independent rows", "clustered", "seasonal", "wandering", "wandering, table of 30 days", "hours"]

#: The number of periods of the training table, and of a year.
PERIODS: Mapping[World, tuple[int, int]] = {
    "independent rows": (90, 365),
    "clustered": (90, 365),
    "seasonal": (365, 365),
    "wandering": (365, 365),
    "wandering, table of 30 days": (30, 365),
    "hours": (24 * 60, 24 * 365),
}

#: The standard deviations of what the rows of a day, and of one client in one hour, share.
DAY_EFFECT, CLIENT_EFFECT = 0.1, 0.5

#: The number of clients in one hour, or of clients and hours in a day, that share something.
CLUSTERS = 12

#: The number of clients; the first ones have most of the traffic.
CLIENTS = 20

_CATEGORY_SHARES = np.array([[0.4, 0.25, 0.2, 0.1, 0.05], [0.3, 0.3, 0.2, 0.1, 0.1]])

#: The rows of a day, and of an hour.
DAY_ROWS, HOUR_ROWS = 1000, 60


@dataclass(frozen=True)
class Year:
    """A field without a fault: the counts of the table's own periods, and of a live year, [periods, bins] each."""

    units: Ints
    live: Ints


def field_year(world: World, random: np.random.Generator) -> Year:
    """Return the counts of a field in 11 bins: deciles, and missing values, which 1 % of the rows have."""
    units, year = PERIODS[world]
    counts = _counts(world, _levels(world, units + year, random), random)
    return Year(counts[:units], counts[units:])


def _levels(world: World, periods: int, random: np.random.Generator) -> Floats:
    """Return the mean of a field in each period, [periods]."""
    time = np.arange(periods)
    if world == "independent rows":
        return np.zeros(periods)
    if world == "hours":
        of_day = 0.5 * np.sin(2 * np.pi * time / 24)
        return of_day + DAY_EFFECT * random.standard_normal(periods // 24 + 1)[time // 24]
    levels = DAY_EFFECT * random.standard_normal(periods)
    if world == "seasonal":
        phase = random.uniform(0, 365)
        levels += 0.6 * np.sin(2 * np.pi * (time + phase) / 365) + 0.3 * (time % 7 >= 5)
    if world.startswith("wandering"):
        levels += _autoregressive(periods, random)
    return levels


def _autoregressive(periods: int, random: np.random.Generator) -> Floats:
    """Return a process that remembers nine tenths of each step, with a standard deviation of 0.3, [periods]."""
    value, values = 0.3 * random.standard_normal(), np.empty(periods)
    for period, shock in enumerate(0.3 * np.sqrt(1 - 0.9**2) * random.standard_normal(periods)):
        value = 0.9 * value + shock
        values[period] = value
    return values


def _counts(world: World, levels: Floats, random: np.random.Generator) -> Ints:
    clusters = {"independent rows": 1, "hours": 5}.get(world, CLUSTERS)
    effect = 0.0 if world == "independent rows" else CLIENT_EFFECT
    rows = random.poisson(HOUR_ROWS if world == "hours" else DAY_ROWS, len(levels))
    means = levels[:, None] + effect * random.standard_normal((len(levels), clusters))
    shares = np.diff(ndtr(DECILES - means[..., None]).mean(axis=1), axis=1, prepend=0, append=1)
    return np.asarray(random.multinomial(rows, np.column_stack([0.99 * shares, np.full(len(levels), 0.01)])))


#: The fields of :func:`coded_days`: numbers in bins of deciles, categories, and the client.
CODED_FIELDS = (
    *(CodedField(f"number {index}", len(DECILES) + 1, True) for index in range(6)),
    *(CodedField(f"category {index}", bins, False) for index, bins in enumerate((6, 6, CLIENTS))),
)


def coded_days(world: World, days: int, rows: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """Return the codes of the rows of days without a fault, uint8 [days, rows, fields].

    The fields of a row depend on its client; two numbers are correlated. In ``seasonal``, levels and the correlation
    have a year and weekends, and in ``wandering`` they remember nine tenths of the day before.
    """
    shares = 1 / np.arange(2, CLIENTS + 2)
    client = random.choice(CLIENTS, (days, rows), p=shares / shares.sum())
    values = random.standard_normal((days, rows, 6))
    correlation = np.full(days, 0.3)
    if world != "independent rows":
        values += DAY_EFFECT * random.standard_normal((days, 1, 6))
        values += CLIENT_EFFECT * np.random.default_rng(1).standard_normal((CLIENTS, 6))[client]
        values += 0.2 * random.standard_normal((days, CLIENTS, 6))[np.arange(days)[:, None], client]
    if world == "seasonal":
        phases = random.uniform(0, 365, 7)
        of_year = np.sin(2 * np.pi * (np.arange(days)[:, None] + phases) / 365)
        is_weekend = np.arange(days) % 7 >= 5
        values += (0.6 * of_year[:, :6] + 0.3 * is_weekend[:, None])[:, None]
        correlation += 0.2 * of_year[:, 6] + 0.1 * is_weekend
    if world.startswith("wandering"):
        values += np.column_stack([_autoregressive(days, random) for _ in range(6)])[:, None]
        correlation = np.tanh(correlation + 0.5 * _autoregressive(days, random))
    values[..., 1] += correlation[:, None] * (values[..., 0] - values[..., 1])
    codes = np.searchsorted(DECILES, values)
    codes[random.random((days, rows)) < 0.01, 0] = len(DECILES) + 1
    categories = [np.searchsorted(each.cumsum(), random.random(client.shape)).clip(0, 4) for each in _CATEGORY_SHARES]
    return np.concatenate([codes, np.stack([*categories, client], axis=-1)], axis=-1).astype(np.uint8)


@dataclass(frozen=True)
class Rows:
    """Rows in order of time.

    Attributes:
        numbers: Numeric fields, float64 [rows, 5], NaN if missing. The last one has no influence on the label.
        distance: A positive number, float64 [rows].
        categories: Two categorical fields, int64 [rows, 2], from 0 to 4; 5 is a new category.
        client: The client of each row, int64 [rows].
        odds: The true log odds of the label, float64 [rows].
        days: The day of each row, int64 [rows].
    """

    numbers: Floats
    distance: Floats
    categories: Ints
    client: Ints
    odds: Floats
    days: Ints

    def only(self, kept: NDArray[np.bool_]) -> "Rows":
        """Return the rows that are kept."""
        return Rows(*(getattr(self, name)[kept] for name in self.__dataclass_fields__))


_WEIGHTS = np.array([0.8, 0.6, -0.5, 0.4, 0.0])
_CATEGORY_EFFECTS = np.array([[0.0, 0.5, -0.5, 0.8, -0.8, 0.0], [0.3, 0.0, -0.3, 0.6, 0.0, 0.0]])


def traffic(days: int, random: np.random.Generator) -> Rows:
    """Return days of rows; each day and each client of a day has an effect on every field and on the label."""
    shares = 1 / np.arange(2, CLIENTS + 2)
    per_day = random.poisson(DAY_ROWS, days)
    day = np.repeat(np.arange(days), per_day)
    client = random.choice(CLIENTS, len(day), p=shares / shares.sum())
    of_day = DAY_EFFECT * random.standard_normal((days, 6))
    of_client = CLIENT_EFFECT * np.random.default_rng(1).standard_normal((CLIENTS, 6))
    of_both = 0.2 * random.standard_normal((days, CLIENTS, 6))
    values = random.standard_normal((len(day), 6)) + of_day[day] + of_client[client] + of_both[day, client]
    categories = [np.searchsorted(each.cumsum(), random.random(len(day))).clip(0, 4) for each in _CATEGORY_SHARES]
    rows = Rows(values[:, :5], np.exp(2 + 0.6 * values[:, 5]), np.column_stack(categories), client, np.empty(0), day)
    noise = 0.1 * random.standard_normal(days)
    return replace(rows, odds=model_odds(rows) + noise[day])


def model_odds(rows: Rows) -> Floats:
    """Return the log odds that the model predicts, [rows]: without a fault, the true ones without the day's effect."""
    effects = sum(_CATEGORY_EFFECTS[field][rows.categories[:, field]] for field in range(2))
    distance = 0.05 * (rows.distance - np.exp(2))
    return np.asarray(-0.9 + np.nan_to_num(rows.numbers) @ _WEIGHTS + distance.clip(-3, 3) + effects)


Fault = Callable[[Rows, np.random.Generator], Rows]


def _with_number(rows: Rows, column: int, values: Floats | float) -> Rows:
    numbers = rows.numbers.copy()
    numbers[:, column] = values
    return replace(rows, numbers=numbers)


def _with_category(rows: Rows, values: Ints) -> Rows:
    return replace(rows, categories=np.column_stack([values, rows.categories[:, 1]]))


def _vanished(rows: Rows, random: np.random.Generator) -> Rows:
    first = rows.categories[:, 0]
    return _with_category(rows, np.where(first == 1, random.integers(2, 5, len(first)), first))


def _new(rows: Rows, random: np.random.Generator) -> Rows:
    first = rows.categories[:, 0]
    return _with_category(rows, np.where(random.random(len(first)) < 0.1, 5, first))


def _slow(rows: Rows, random: np.random.Generator) -> Rows:
    return _with_number(rows, 1, rows.numbers[:, 1] + 0.02 * (rows.days - rows.days.min() + 1))


def _flipped(rows: Rows, random: np.random.Generator) -> Rows:
    return replace(rows, odds=np.where(rows.categories[:, 1] == 2, -rows.odds, rows.odds))


def _more_labels(rows: Rows, random: np.random.Generator) -> Rows:
    """The rows whose label is the one of interest are twice as frequent, and otherwise look as before."""
    is_kept = random.random(len(rows.odds)) < (1 + expit(rows.odds)) / 2
    return replace(rows, odds=rows.odds + np.log(2)).only(is_kept)


def _correlated(rows: Rows, random: np.random.Generator) -> Rows:
    """The values of a field are given to other rows of the same day: its margin is the same, to the last digit."""
    values = rows.numbers[:, 4].copy()
    wanted = 0.5 * rows.numbers[:, 0] + random.standard_normal(len(values))
    for day in np.unique(rows.days):
        of_day = np.flatnonzero(rows.days == day)
        values[of_day[np.argsort(wanted[of_day])]] = np.sort(values[of_day])
    return _with_number(rows, 4, values)


#: The planted faults, by name.
FAULTS: Mapping[str, Fault] = {
    "a field is missing": lambda rows, _: _with_number(rows, 0, np.nan),
    "a unit is thousandfold": lambda rows, _: replace(rows, distance=1000 * rows.distance),
    "kilometres instead of miles": lambda rows, _: replace(rows, distance=1.609344 * rows.distance),
    "a category vanishes": _vanished,
    "a new category (10 % of the rows)": _new,
    "a slow mean shift (0.02 deviations a day)": _slow,
    "a field shifts without harm (0.5 deviations)": lambda rows, _: _with_number(rows, 4, rows.numbers[:, 4] + 0.5),
    "labels flip in a slice (20 % of the rows)": _flipped,
    "probabilities are too extreme (slope 0.6)": lambda rows, _: replace(rows, odds=0.6 * rows.odds),
    "twice as many labels of interest": _more_labels,
    "a field is frozen": lambda rows, _: _with_number(rows, 2, 0.1),
    "two fields become correlated (0.45), each alone as before": _correlated,
    "the rows of the largest client are dropped": lambda rows, _: rows.only(rows.client > 0),
}
