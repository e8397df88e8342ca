"""The labels of captured rows: how late they come, and the rows of days whose labels are almost complete.

Labels of one kind often come sooner than those of another: a fraud is reported before anything else is known to be
none. A day counts only when almost all labels that are to be expected for it have arrived.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time

import numpy as np
import polars as pl

from model_deployer.monitoring.monitor.days import Days
from model_deployer.monitoring.observation import Labels
from model_deployer.monitoring.statistics.label_delay import DelayCurve, delay_curve
from model_deployer.monitoring.traffic.traffic import LabelCounts

#: The part of the labels to be expected that a day has when it counts.
COMPLETE = 0.9

#: The points of the curve that are written.
_POINTS = 40

_DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class LabelledRows:
    """The labels of captured rows.

    Attributes:
        rows: The labelled rows of the days that count, with their columns and ``day``.
        labels: The labels, for the document.
    """

    rows: pl.DataFrame
    labels: Labels


def labelled_rows(rows: pl.DataFrame, counts: LabelCounts, days: Days, now: datetime) -> LabelledRows:
    """Return the labels of captured rows.

    Args:
        rows: The captured rows of the days, with ``day``, ``label`` and ``label_time``.
        counts: What came in as labels.
        days: The days.
        now: The present.
    """
    ages = _days_between(rows, pl.lit(now)).clip(0)
    delays = np.minimum(_days_between(rows, pl.col("label_time")).clip(0), ages)
    curve = delay_curve(delays, ages)
    end = datetime.combine(days.date(days.count), time(), UTC)
    since_last = (now - end).total_seconds() / _DAY_SECONDS
    day_ages = since_last + np.arange(days.count - 1, -1, -1)
    is_complete = np.array([_completeness(curve, age) >= COMPLETE for age in day_ages], np.bool_)
    labelled = rows.filter(pl.col("label").is_not_null())
    counting = labelled.filter(is_complete[labelled["day"].to_numpy()]) if len(labelled) else labelled
    is_waiting = ~np.isfinite(delays)
    expected = curve.expected(ages[is_waiting]).sum() if curve.labelled else 0.0
    return LabelledRows(
        counting,
        Labels(
            received=counts.received,
            rows=len(rows),
            labelled=len(labelled),
            corrected=counts.corrected,
            unmatched=counts.unmatched,
            median_days=_median(curve),
            delays=_points(curve),
            expected=round(float(expected), 1),
        ),
    )


def _days_between(rows: pl.DataFrame, later: pl.Expr) -> np.ndarray:
    """Return the days from each row to a later time, float64 [rows]; NaN if there is none."""
    seconds = rows.select((later - pl.col("time")).dt.total_microseconds() / 1e6).to_series()
    return seconds.cast(pl.Float64).fill_null(np.nan).to_numpy() / _DAY_SECONDS


def _completeness(curve: DelayCurve, age: float) -> float:
    """Return the part of the labels to be expected that arrives within an age in days."""
    if not len(curve.shares) or curve.shares[-1] <= 0:
        return 0.0
    return float(curve.share_within(np.array([age], np.float64))[0] / curve.shares[-1])


def _median(curve: DelayCurve) -> float | None:
    if not len(curve.shares):
        return None
    return round(float(curve.delays[np.searchsorted(curve.shares, curve.shares[-1] / 2)]), 3)


def _points(curve: DelayCurve) -> tuple[tuple[float, float], ...]:
    """Return some points of the curve, at equal distances of their rank."""
    if not len(curve.delays):
        return ()
    steps = np.unique(np.linspace(0, len(curve.delays) - 1, _POINTS).astype(int))
    return tuple((round(float(curve.delays[step]), 3), round(float(curve.shares[step]), 4)) for step in steps)
