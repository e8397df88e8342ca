"""Fields whose values are broken before the model sees them: what a backend engineer can fix, and no training should.

Each is a rule on top of a field that moved within the budget of false alarms, so that it needs none of its own.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from model_deployer.contract.features import Boolean, Integer, Numeric
from model_deployer.contract.number_format import percent
from model_deployer.contract.reference import CategoryDistribution, NumberDistribution
from model_deployer.contract.unit_spread import shares_of_levels
from model_deployer.monitoring.monitor.days import Days
from model_deployer.monitoring.monitor.watched import Watched
from model_deployer.monitoring.observation import DataFault, FaultName, Movement
from model_deployer.monitoring.statistics.unit_change import unit_change

#: How much the share of missing or unknown values rises above its usual range if they are broken.
MIN_RISE = 0.05

#: The share of one bin above which a field is constant, where no day of the table came near it.
CONSTANT = 0.99

#: The share of values outside of the table's range above which a field alone is broken.
MIN_OUTSIDE = 0.5

#: The rows that are compared with other units at most.
_MAX_ROWS = 20_000


def data_faults(
    watched: Sequence[Watched], moved: Mapping[str, Movement], rows: pl.DataFrame, days: Days
) -> tuple[DataFault, ...]:
    """Return the fields that are broken now.

    Args:
        watched: The fields that are watched.
        moved: What the days say about each of them, by name.
        rows: The captured rows of the days, with the column ``day``.
        days: The days.
    """
    faults: list[DataFault] = []
    current = [each for each in watched if moved[each.name].has_moved and not moved[each.name].is_over]
    outside = [name for name, movement in moved.items() if (movement.outside or 0) >= MIN_RISE]
    for each in current:
        faults += list(_faults(each, moved[each.name], rows, days, is_alone=outside == [each.name]))
    return tuple(faults)


def _faults(
    watched: Watched, movement: Movement, rows: pl.DataFrame, days: Days, is_alone: bool
) -> Iterator[DataFault]:
    """Yield the fault of a field that moved, if there is one."""
    since = movement.since
    assert since is not None
    part = rows.filter(pl.col("day") >= (since - days.first).days)
    name = watched.name
    faults: tuple[tuple[str, FaultName], ...] = (("missing", "missing"), ("other", "unknown"))
    for bin, fault in faults:
        if bin == "other" and not isinstance(watched.distribution, CategoryDistribution):
            continue
        share, high = movement.now[bin], _highest(watched, bin)
        if share >= high + MIN_RISE:
            what = "has no value" if bin == "missing" else "has a value that the table does not have"
            text = f"'{name}' {what} in {percent(share)} of the rows, and in at most {percent(high)} on usual days"
            yield DataFault(field=name, fault=fault, since=since, share=share, text=text)
            return
    if isinstance(watched.feature, Numeric | Integer) and watched.has_values:
        assert isinstance(watched.distribution, NumberDistribution)
        part = part.tail(_MAX_ROWS)
        quantiles = np.array(watched.distribution.quantiles)
        if change := unit_change(quantiles, watched.numbers(part), part["day"].to_numpy()):
            text = f"'{name}' arrives {_unit_text(change.name)} in {percent(change.share)} of the rows"
            yield DataFault(field=name, fault="unit", since=since, share=round(change.share, 6), text=text)
            return
    value, share = _commonest(watched, movement, part)
    if share >= CONSTANT and movement.then.get(value, 0) < CONSTANT - MIN_RISE:
        text = f"'{name}' has the same value in {percent(share)} of the rows"
        yield DataFault(field=name, fault="constant", since=since, share=round(share, 6), text=text)
    elif is_alone and movement.outside is not None and movement.outside >= MIN_OUTSIDE:
        text = f"'{name}' is outside of the range of the table in {percent(movement.outside)} of the rows"
        yield DataFault(field=name, fault="out of range", since=since, share=movement.outside, text=text)


def _commonest(watched: Watched, movement: Movement, part: pl.DataFrame) -> tuple[str, float]:
    """Return the bin of the commonest value, and its share; bins of numbers alone do not say whether values are equal.

    Args:
        watched: The field.
        movement: How it moved.
        part: The rows since then.
    """
    if isinstance(watched.distribution, CategoryDistribution):
        return max(movement.now.items(), key=lambda item: item[1])
    if not (watched.has_values and isinstance(watched.feature, Numeric | Integer | Boolean)):
        return "", 0.0
    counts = part[watched.column].drop_nulls().unique_counts().to_numpy()
    return "", float(counts.max(initial=0) / max(1, len(part)))


def _unit_text(name: str) -> str:
    return name if name.startswith(("multiplied", "divided")) else f"in {name}"


def _highest(watched: Watched, bin: str) -> float:
    """Return the highest usual share of a bin."""
    return float(shares_of_levels(watched.spread.highest, watched.spread.rows)[watched.bins.index(bin)])
