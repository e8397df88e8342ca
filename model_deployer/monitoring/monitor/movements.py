"""Which fields and predictions have left what the days of the table were like, within a budget of false alarms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from model_deployer.contract.features import Integer, Numeric
from model_deployer.contract.number_format import number
from model_deployer.contract.reference import CategoryDistribution, NumberDistribution
from model_deployer.monitoring.monitor.days import Days
from model_deployer.monitoring.monitor.watched import Watched
from model_deployer.monitoring.observation import Alarm, Movement, TestGroup
from model_deployer.monitoring.statistics.evidence import Ints
from model_deployer.monitoring.statistics.field_drift import FieldDrift, field_drift
from model_deployer.monitoring.statistics.many_fields import ManyFields, many_fields

#: The days that show how values are now, where nothing has changed.
RECENT_DAYS = 7

#: The last days that show whether a change is over.
_LAST_DAYS = 3

#: The largest common logarithm of an e-value that is written.
MAX_LOG10 = 300.0


@dataclass(frozen=True)
class Movements:
    """What the days say about several fields or predictions.

    Attributes:
        each: The movement of each, the largest e-value first.
        alarm: The alarm of all of them together; None if there is none.
    """

    each: tuple[Movement, ...]
    alarm: Alarm | None


def movements(watched: Sequence[Watched], rows: pl.DataFrame, days: Days, group: TestGroup, alpha: float) -> Movements:
    """Return what the days say.

    Args:
        watched: The fields or predictions.
        rows: The captured rows of the days, with the column ``day``.
        days: The days.
        group: The group of these tests.
        alpha: The largest probability of a false alarm of the group.
    """
    if not watched or not days.count:
        return Movements((), None)
    counts = {each.name: each.counts(rows, days.count) for each in watched}
    drifts = {each.name: field_drift(each.spread, counts[each.name]) for each in watched}
    together = many_fields({name: drift.evidence for name, drift in drifts.items()}, alpha)
    recent = rows.filter(pl.col("day") >= days.count - RECENT_DAYS)
    evidence = [_Counted(each, counts[each.name], drifts[each.name], each.name in together.moved) for each in watched]
    ordered = tuple(sorted((_movement(each, recent, days) for each in evidence), key=lambda each: -each.log10_e))
    return Movements(ordered, _alarm(ordered, together, days, group))


def log10_e(log_value: float) -> float:
    """Return the common logarithm of an e-value from its natural one, in the range that documents have."""
    return round(float(np.clip(log_value / np.log(10), -MAX_LOG10, MAX_LOG10)), 3)


def bin_text(bins: Sequence[str], index: int) -> str:
    """Return the name of a bin of numbers for people: ``2 to 4``, ``up to 2``, ``above 4``, ``missing``."""
    if bins[index] == "missing":
        return bins[index]
    below = bins[index - 1] if index else None
    if bins[index] == "+Inf":
        return f"above {below}" if below else "any value"
    return f"{below} to {bins[index]}" if below else f"up to {bins[index]}"


def bin_texts(watched: Watched) -> list[str]:
    """Return the names of all bins of a field or prediction for people."""
    bins = watched.bins
    if isinstance(watched.distribution, CategoryDistribution):
        return bins
    edges = [name if name in ("missing", "+Inf") else number(float(name)).replace(",", "") for name in bins]
    readable = edges if len(set(edges)) == len(edges) else bins
    return [bin_text(readable, index) for index in range(len(bins))]


def outside_share(watched: Watched, rows: pl.DataFrame) -> float | None:
    """Return the share of values below the lowest or above the highest of the table; None if they are not numbers."""
    is_outside = outside(watched, rows)
    return None if is_outside is None or not len(is_outside) else float(is_outside.mean())


def outside(watched: Watched, rows: pl.DataFrame) -> np.ndarray | None:
    """Return whether each value is outside of the table's range, bool [rows]; None if they are not numbers."""
    distribution = watched.distribution
    if not (isinstance(watched.feature, Numeric | Integer) and watched.has_values):
        return None
    if not isinstance(distribution, NumberDistribution) or not distribution.quantiles:
        return None
    values = watched.numbers(rows)
    return np.asarray((values < distribution.quantiles[0]) | (values > distribution.quantiles[-1]))


class _Counted(NamedTuple):
    """A field or prediction with its counts, [days, bins], their evidence, and whether it is named as moved."""

    watched: Watched
    counts: Ints
    drift: FieldDrift
    has_moved: bool


def _movement(counted: _Counted, recent: pl.DataFrame, days: Days) -> Movement:
    """Return a movement; ``recent`` are the rows of the last week."""
    watched, counts, drift, has_moved = counted
    start = int(drift.evidence.starts[-1]) if has_moved else max(0, days.count - RECENT_DAYS)
    names = bin_texts(watched)
    since = counts[start:].sum(axis=0)
    then = [round(share, 6) for share in watched.distribution.shares().values()]
    return Movement(
        name=watched.name,
        about=watched.about,
        log10_e=log10_e(float(drift.evidence.log_values[-1])),
        has_moved=has_moved,
        is_over=has_moved and _is_over(drift, counts),
        since=days.date(start) if has_moved else None,
        dispersion=drift.dispersion,
        bin=names[drift.bin],
        is_higher=drift.is_higher,
        share=round(drift.share, 6),
        expected=(round(drift.expected[0], 6), round(drift.expected[1], 6)),
        then=dict(zip(names, then, strict=True)),
        now=dict(zip(names, (since / max(1, since.sum())).round(6).tolist(), strict=True)),
        outside=outside_share(watched, recent),
    )


def _is_over(drift: FieldDrift, counts: Ints) -> bool:
    """Return whether the bin that moved has an expected share in the last days again."""
    last = counts[-_LAST_DAYS:].sum(axis=0)
    share = last[drift.bin] / max(1, last.sum())
    return bool(drift.expected[0] <= share <= drift.expected[1])


def _alarm(ordered: Sequence[Movement], together: ManyFields, days: Days, group: TestGroup) -> Alarm | None:
    if together.alarm is None:
        return None
    moved = [movement for movement in ordered if movement.has_moved]
    moved_then = [movement for movement in ordered if movement.name in together.moved_at_alarm]
    names = ", ".join(movement.about for movement in moved or moved_then) or f"many {group} a little"
    return Alarm(
        group=group,
        name=names,
        raised=days.date(together.alarm.period),
        since=days.date(together.alarm.since),
        is_over=all(movement.is_over for movement in moved) if moved else bool(moved_then),
        text=_sentence(moved, group) if moved or not moved_then else f"{names} moved for a time, and no longer does.",
    )


def _sentence(moved: Sequence[Movement], group: TestGroup) -> str:
    if not moved:
        return f"Many {group} moved a little: each is close to its usual range, all of them together are not."
    worst = moved[0]
    others = f", and {len(moved) - 1} more" if len(moved) > 1 else ""
    return f"{worst.text}{others}."


def by_name(movements: Sequence[Movement]) -> Mapping[str, Movement]:
    """Return movements by the name of their field or prediction."""
    return {movement.name: movement for movement in movements}
